"""Long answers: made at most once a second, shared by all clients that ask for them, and sent in slices.

Memory and CPU time therefore do not grow with the number of clients. A thread makes each slice, which is
short enough not to delay other work. A slice is sent when the client has received the one before.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from aiohttp import hdrs, web

from exporter.metrics.exposition import in_chunks
from exporter.web.sources import SOURCES

SLICE_BYTES: Final = 64 * 1024
"""The size of a slice before it is compressed. Larger ones are sent slower."""
_SLICES_AT_ONCE: Final = 8
"""How many slices a thread makes before it is asked for more: a few milliseconds of work."""
SHARED_SECONDS: Final = 1.0
MOST_SELECTIONS: Final = 4
_MOST_IN_USE: Final = 3
"""How many versions of an answer are in memory at most while clients receive them."""

Slices = tuple[bytes, ...]
Make = Callable[[], Awaitable[Iterator[bytes]]]
"""Returns the content of an answer; the iterator runs in threads."""


@dataclass(slots=True, eq=False)
class _Versions:
    """The versions of one answer."""

    newest: asyncio.Task[Slices]
    begun: float
    in_use: Counter[asyncio.Task[Slices]] = field(default_factory=Counter)


class SharedAnswers:
    """Makes answers and keeps each for as long as it is shared or sent.

    There may be ``most_keys`` different answers at once; None: any number.
    """

    def __init__(
        self, threads: Executor, *, shared_seconds: float = SHARED_SECONDS, most_keys: int | None = None
    ) -> None:
        self._threads = threads
        self._shared_seconds = shared_seconds
        self._most_keys = most_keys
        self._kept: dict[Hashable, _Versions] = {}
        """The answer that was begun first comes first."""

    @asynccontextmanager
    async def take(self, key: Hashable, make: Make) -> AsyncIterator[Slices]:
        """Yield the slices of an answer, for as long as the context lasts; all with one key share it.

        If clients are still receiving several old versions, the newest version is given even if it is old.

        Raises:
            HTTPServiceUnavailable: too many different answers are being sent.
        """
        versions = self._kept.get(key)
        if versions is None or self._is_due(versions):
            versions = self._begin(key, make)
        version = versions.newest
        versions.in_use[version] += 1
        try:
            yield await asyncio.shield(version)
        finally:
            versions.in_use[version] -= 1
            versions.in_use += Counter()  # drops what is in use no longer
            self._drop_if_old(key)

    def _is_due(self, versions: _Versions) -> bool:
        newest = versions.newest
        if not newest.done():
            return False
        if newest.cancelled() or newest.exception() is not None:
            return True
        return self._age(versions) >= self._shared_seconds and len(versions.in_use) < _MOST_IN_USE

    def _begin(self, key: Hashable, make: Make) -> _Versions:
        before = self._kept.pop(key, None)
        if self._most_keys is not None and len(self._kept) >= self._most_keys:
            unused = next((other for other, versions in self._kept.items() if not versions.in_use), None)
            if unused is None:
                text = "Too many different selections are being sent.\n"
                raise web.HTTPServiceUnavailable(text=text, headers={hdrs.RETRY_AFTER: "1"})
            del self._kept[unused]
        loop = asyncio.get_running_loop()
        making = asyncio.create_task(self._made(make), name="answer")
        versions = _Versions(
            newest=making, begun=loop.time(), in_use=Counter() if before is None else before.in_use
        )
        self._kept[key] = versions
        loop.call_later(self._shared_seconds, self._drop_if_old, key)
        return versions

    async def _made(self, make: Make) -> Slices:
        slices = in_chunks(await make(), at_least_bytes=SLICE_BYTES)
        loop = asyncio.get_running_loop()
        made: list[bytes] = []
        while some := await loop.run_in_executor(self._threads, list, islice(slices, _SLICES_AT_ONCE)):
            made += some
        return tuple(made)

    def _drop_if_old(self, key: Hashable) -> None:
        versions = self._kept.get(key)
        if versions is not None and not versions.in_use and self._age(versions) >= self._shared_seconds:
            del self._kept[key]

    @staticmethod
    def _age(versions: _Versions) -> float:
        return asyncio.get_running_loop().time() - versions.begun


ANSWERS = web.AppKey("answers", SharedAnswers)
SELECTED_ANSWERS = web.AppKey("selected answers", SharedAnswers)
"""Answers that hold what their client has chosen; there could be any number of them."""


async def answer(
    request: web.Request,
    make: Make,
    headers: Mapping[str, str],
    *,
    variant: Hashable = None,
    is_selected: bool = False,
) -> web.StreamResponse:
    """Answer with what is shared by all who ask for the same; ``make`` makes it if there is none to share.

    ``variant`` is what the answer depends on beside the path and the configuration; it ``is_selected`` if
    there could be any number of variants.
    """
    version = request.app[SOURCES].configuration_version()
    shared = request.app[SELECTED_ANSWERS if is_selected else ANSWERS]
    async with shared.take((request.path, variant, version), make) as slices:
        return await _send(request, slices, headers)


async def _send(request: web.Request, slices: Slices, headers: Mapping[str, str]) -> web.StreamResponse:
    """Send slices with their length, each once the client has taken the one before."""
    response = web.StreamResponse(headers=headers)
    response.content_length = sum(map(len, slices))
    # A client that has gone away is no error here: aiohttp would keep the error, with its traceback and the
    # slices, in a cycle until the next full garbage collection. aiohttp notices by itself that it is gone.
    with suppress(ConnectionError):
        await response.prepare(request)
        if request.method != hdrs.METH_HEAD:
            for one in slices:
                await response.write(one)
                # A write waits only where the client is slow. Without a pause, asyncio would go on writing to
                # a TLS client that has gone away, with a warning for each slice, before it says so.
                await asyncio.sleep(0)
    return response
