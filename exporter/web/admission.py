"""Limits the connections of clients, and ends one if there are too many."""

from __future__ import annotations

import asyncio
import ctypes
import resource
import ssl
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

import structlog
from aiohttp import web

from exporter.background import begin
from exporter.web.connections import Connection

_SHARE_OF_FILES: Final = 4
"""Clients may use one in this many of the files that the process may open; polls need the rest."""
_SHARE_OF_ONE_CLIENT: Final = 4
_LEAST_OF_ONE_CLIENT: Final = 8
_LOG_SECONDS: Final = 60.0
_MANY_CONNECTIONS: Final = 32
"""After this many connections at once, freed memory is returned to the system."""
_TRIM_SECONDS: Final = 2.0
"""How long after many connections have ended: by then, their shared answers have been dropped too."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """The limits for clients."""

    connections: int = 512
    """Of all clients together, if the process may open enough files."""
    first_request_seconds: float = 15.0
    """From the start of a connection to the head of its first request."""
    idle_seconds: float = 75.0
    """Between two requests; longer than the usual minute between scrapes."""
    answer_seconds: float = 60.0
    """To receive one answer; the longest ``scrape_timeout`` in use."""
    request_bytes: int = 32 * 1024

    def most_connections(self) -> int:
        """Return how many connections there may be; fewer if this process may open few files."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files == resource.RLIM_INFINITY:
            return self.connections
        return max(1, min(self.connections, files // _SHARE_OF_FILES))


LIMITS: Final = ClientLimits()


class BoundedServer(web.Server):
    """Gives the answers of another server of aiohttp; limits connections, in all and of each client."""

    def __init__(self, unbounded: web.Server, limits: ClientLimits) -> None:
        super().__init__(unbounded.request_handler, request_factory=self._begin_request)
        self.context: ssl.SSLContext | None = None
        """The TLS of new connections; None: plain HTTP."""
        self.limits = limits
        self._make_request_of_application = unbounded.request_factory
        self._open: dict[Connection, None] = {}
        """The oldest first."""
        self._next_warning = 0.0
        self._had_many = False

    def __call__(self) -> Connection:
        """Return the protocol of one connection."""
        return Connection(self)

    def pre_shutdown(self) -> None:
        """End handshakes too when the server stops."""
        for connection in tuple(self._open):
            if not connection.connected:
                connection.abort()
        super().pre_shutdown()

    def end_connections(self) -> None:
        """End every connection as soon as its answer has been sent."""
        for connection in tuple(self._open):
            connection.end()

    def admit(self, connection: Connection) -> bool:
        """Count a new connection; return False if it must end at once."""
        most = self.limits.most_connections()
        counts = Counter(one.client for one in self._open)
        if counts[connection.client] >= max(_LEAST_OF_ONE_CLIENT, most // _SHARE_OF_ONE_CLIENT):
            has_room = self._make_room("of one client", {connection.client}, most=most)
        elif len(self._open) >= most:
            largest = max(counts.values())
            with_most = {client for client, count in counts.items() if count == largest}
            has_room = self._make_room("of all clients", with_most, most=most)
        else:
            has_room = True
        if has_room:
            self._open[connection] = None
            self._had_many = self._had_many or len(self._open) >= _MANY_CONNECTIONS
        return has_room

    def forget(self, connection: Connection) -> None:
        """Remove a connection from the count; after many connections, return memory to the system."""
        self._open.pop(connection, None)
        if self._had_many and len(self._open) <= _MANY_CONNECTIONS // 2:
            self._had_many = False
            asyncio.get_running_loop().call_later(_TRIM_SECONDS, partial(begin, trim_heap, name="trim-heap"))

    def _make_room(self, whose: str, clients: Collection[str], *, most: int) -> bool:
        """End a connection of these clients; return False if each of them waits for an answer of ours.

        Idle ones end first, beginning with those that have sent no request; then the one whose client has
        read nothing for longest. Among equals, the oldest ends.
        """
        if (now := asyncio.get_running_loop().time()) >= self._next_warning:
            self._next_warning = now + _LOG_SECONDS
            log.warning("too many connections of clients", whose=whose, most=most)
        connections = [one for one in self._open if one.client in clients]
        if idle := [one for one in connections if not one.is_busy]:
            min(idle, key=lambda one: (one.has_begun_request, one.has_asked)).abort()
        elif stalled := [one for one in connections if one.stalled_since is not None]:
            min(stalled, key=lambda one: one.stalled_since or 0.0).abort()
        else:
            return False
        return True

    def _begin_request(
        self,
        message: Any,  # noqa: ANN401 - as aiohttp's, which has no public name for it
        payload: Any,  # noqa: ANN401 - likewise
        protocol: web.RequestHandler,
        writer: Any,  # noqa: ANN401 - likewise
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        cast("Connection", protocol).begin_request()
        return self._make_request_of_application(message, payload, protocol, writer, task)


def trim_heap() -> None:
    """Return freed memory to the system; glibc would keep it. Does nothing with another C library."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
