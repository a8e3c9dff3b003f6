"""Sockets on which connections are taken: as many as leave files for the rest, with TLS that can change.

The loop's own servers accept until no file descriptor is left, then log that without end, and keep what does
not speak for ever. So connections are accepted here, one by one, and handed to the loop.
"""

from __future__ import annotations

import asyncio
import errno
import resource
import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from socket import SO_SNDBUF, SOL_SOCKET, socket
from typing import Final

import structlog
from aiohttp import web

from exporter.web.connection import FIRST_REQUEST_SECONDS, Connection
from exporter.web.listen import BACKLOG

_HANDSHAKE_SECONDS: Final = 10.0
_MOMENT_SECONDS: Final = 1.0
"""How long a handshake may go on where the settings that it began with are no longer in force."""
_GOODBYE_SECONDS: Final = 1.0
"""How long a client may take to agree that a connection ends."""
_OWED_SECONDS: Final = 30.0
"""How long an answer may take on a connection that ends."""
_SEND_BUFFER_BYTES: Final = 256 * 1024
_MOST_CONNECTIONS: Final = 512
_SHARE_OF_FILES: Final = 4
"""One in so many of the files that the process may open is for a client; polls need the rest."""
_PAUSE_SECONDS: Final = 0.2
"""How long nothing is accepted where nothing can be; meanwhile, clients wait in the queue of the system."""
_SILENCE_SECONDS: Final = 60.0
"""How often the log tells that there are too many connections."""
_NO_MORE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class _Opening:
    """From being accepted to the end of the handshake."""

    accepted: socket
    until: float
    """When the first request must have come, by the loop's clock."""
    connection: Connection | None = None
    """Once its first byte has come."""

    @property
    def is_open(self) -> bool:
        return self.connection is not None and self.connection.is_open


class Listeners:
    """Takes connections for a server of aiohttp.

    Where there are as many as there may be, a new one takes the place of one that asks for nothing.
    """

    def __init__(self, server: web.Server, sockets: Iterable[socket]) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = server
        self._sockets = tuple(sockets)
        self._context: ssl.SSLContext | None = None
        self._opening: dict[asyncio.Task[None], _Opening] = {}
        """The oldest first."""
        self._ending: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._silent_until = 0.0

    async def take(self, context: ssl.SSLContext | None, renew: bool = False) -> None:  # noqa: FBT001, FBT002
        """Take connections with these settings from now on, without TLS where there are none.

        Those that are open go on, unless ``renew``: then each ends as soon as no answer is owed on it. A
        handshake that has begun may end and lead to an answer, if that is done in a moment.
        """
        self._context = context
        if renew:
            self._end(self._connections())
            begun = [(task, one) for task, one in self._opening.items() if one.connection is not None]
            task = asyncio.create_task(self._end_later(begun), name="end of handshakes")
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        self._listen()

    async def close(self) -> None:
        """Take no more connections, and leave those that are open to the server's own end."""
        if self._pause is not None:
            self._pause.cancel()
        self._stop()
        for task, opening in self._opening.items():
            _drop(task, opening)
        for task in self._ending:
            task.cancel()
        tasks = [*self._opening, *self._ending]
        await asyncio.gather(*tasks, return_exceptions=True)

    def _end(self, connections: Iterable[Connection]) -> None:
        for connection in connections:
            # The first lets no request begin; the second waits for an answer that is owed, then closes.
            connection.close()
            ending = asyncio.create_task(connection.shutdown(_OWED_SECONDS), name="end of a connection")
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def _end_later(self, begun: Iterable[tuple[asyncio.Task[None], _Opening]]) -> None:
        await asyncio.sleep(_MOMENT_SECONDS)
        for task, opening in begun:
            if not task.done():
                _drop(task, opening)
        connections = [opening.connection for _, opening in begun]
        self._end([one for one in connections if one is not None and one.is_open])

    def _listen(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        for bound in self._sockets:
            bound.setblocking(False)  # noqa: FBT003 - its only parameter
            bound.listen(BACKLOG)
            self._loop.add_reader(bound.fileno(), self._accept, bound)

    def _stop(self) -> None:
        for bound in self._sockets:
            self._loop.remove_reader(bound.fileno())

    def _accept(self, bound: socket) -> None:
        """Take one connection: others that wait are taken in the next rounds of the loop."""
        if not self._make_room():
            self._wait("all connections are in use")
            return
        try:
            accepted, _ = bound.accept()
        except OSError as error:
            if error.errno in _NO_MORE:
                self._end_one_that_asks_for_nothing()
                self._wait(error.strerror or str(error))
            return  # else the client has given up in the meantime
        accepted.setblocking(False)  # noqa: FBT003 - its only parameter
        opening = _Opening(accepted=accepted, until=self._loop.time() + FIRST_REQUEST_SECONDS)
        task = asyncio.create_task(self._open(opening), name="new connection")
        self._opening[task] = opening
        task.add_done_callback(self._opened)

    async def _open(self, opening: _Opening) -> None:
        """Let a connection begin with its first byte, by the settings that are in force then."""

        def begin() -> Connection:
            opening.connection = Connection(self._server, loop=self._loop, first_request_until=opening.until)
            return opening.connection

        with suppress(OSError, TimeoutError):  # nothing came, or no handshake: that is the client's affair
            async with asyncio.timeout_at(opening.until):
                await self._first_byte(opening.accepted)
                # Else the system takes megabytes of an answer that nobody reads, and they have to be made.
                opening.accepted.setsockopt(SOL_SOCKET, SO_SNDBUF, _SEND_BUFFER_BYTES)
                context = self._context
                await self._loop.connect_accepted_socket(
                    begin,
                    opening.accepted,
                    ssl=context,
                    ssl_handshake_timeout=None if context is None else _HANDSHAKE_SECONDS,
                    ssl_shutdown_timeout=None if context is None else _GOODBYE_SECONDS,
                )

    async def _first_byte(self, accepted: socket) -> None:
        came = asyncio.Event()
        self._loop.add_reader(accepted.fileno(), came.set)
        try:
            await came.wait()
        finally:
            self._loop.remove_reader(accepted.fileno())

    def _opened(self, task: asyncio.Task[None]) -> None:
        opening = self._opening.pop(task)
        if opening.connection is None:
            opening.accepted.close()  # else it is the transport's

    def _make_room(self) -> bool:
        """Say whether one more connection may be taken, if need be for one that asks for nothing."""
        opening = sum(not one.is_open and not task.cancelling() for task, one in self._opening.items())
        if opening + len(self._connections()) < most_connections():
            return True
        self._tell("as many connections as there may be")
        return self._end_one_that_asks_for_nothing()

    def _end_one_that_asks_for_nothing(self) -> bool:
        for task, opening in self._opening.items():
            if not opening.is_open and not task.cancelling():
                _drop(task, opening)
                return True
        idle = [one for one in self._connections() if one.is_idle]
        ended = next((one for one in idle if one.is_new), idle[0] if idle else None)
        if ended is not None:
            ended.abort()
        return ended is not None

    def _connections(self) -> list[Connection]:
        """Return what is open, the oldest first."""
        found = self._server.connections
        return [one for one in found if isinstance(one, Connection) and one.is_open]

    def _wait(self, why: str) -> None:
        self._tell(why)
        self._stop()
        if self._pause is None:
            self._pause = self._loop.call_later(_PAUSE_SECONDS, self._listen)

    def _tell(self, why: str) -> None:
        if (now := self._loop.time()) >= self._silent_until:
            self._silent_until = now + _SILENCE_SECONDS
            log.warning("too many connections of clients", why=why, most=most_connections())


def _drop(task: asyncio.Task[None], opening: _Opening) -> None:
    """End what has not become a connection yet, and does not become one any more."""
    if opening.connection is not None:
        opening.connection.abort()
    task.cancel()


def most_connections() -> int:
    """Return how many connections there may be, by the files that this process may open now."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return max(1, min(_MOST_CONNECTIONS, files // _SHARE_OF_FILES))
