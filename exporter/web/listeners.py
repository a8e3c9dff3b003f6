"""Sockets on which connections are taken, with TLS that can change while they are."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from contextlib import ExitStack
from socket import socket
from typing import Final

from aiohttp import web

from exporter.web.listen import BACKLOG

_HANDSHAKE_SECONDS: Final = 10.0
_GOODBYE_SECONDS: Final = 1.0
"""How long a client may take to agree that a connection ends."""
_OWED_SECONDS: Final = 30.0
"""How long an answer may take on a connection that ends."""


class Listeners:
    """Takes connections for a server of aiohttp.

    Each version of the TLS settings listens on a duplicate of the same sockets. While one version makes room
    for the next, connections wait in the queue that both share.
    """

    def __init__(self, server: web.Server, sockets: Iterable[socket]) -> None:
        self._server = server
        self._sockets = tuple(sockets)
        self._taking: list[asyncio.Server] = []
        self._ending: set[asyncio.Task[None]] = set()

    async def take(self, context: ssl.SSLContext | None, renew: bool = False) -> None:  # noqa: FBT001, FBT002
        """Take connections with these settings from now on, without TLS where there are none.

        Those that are open go on, unless ``renew``: then each ends as soon as no answer is owed on it.

        Raises:
            OSError: there are no more file descriptors; the settings before stay in force.
        """
        with ExitStack() as unused:
            # First what can fail, while connections are still taken with the settings before.
            duplicates = [unused.enter_context(bound.dup()) for bound in self._sockets]
            await self.stop()
            unused.pop_all()
        await self._listen(duplicates, context)
        if renew:
            self._end_connections()

    async def close(self) -> None:
        """Take no more connections, and leave those that are open to the server's own end."""
        await self.stop()
        for ending in self._ending:
            ending.cancel()

    def _end_connections(self) -> None:
        for connection in self._server.connections:
            # The first lets no request begin; the second waits for an answer that is owed, then closes.
            connection.close()
            ending = asyncio.create_task(connection.shutdown(_OWED_SECONDS), name="end of a connection")
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def _listen(self, sockets: Iterable[socket], context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        for listening in sockets:
            server = await loop.create_server(
                self._server,
                sock=listening,
                backlog=BACKLOG,
                ssl=context,
                ssl_handshake_timeout=None if context is None else _HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=None if context is None else _GOODBYE_SECONDS,
            )
            self._taking.append(server)

    async def stop(self) -> None:
        """Take no more connections."""
        taking, self._taking = self._taking, []
        for server in taking:
            for bound in server.sockets:
                asyncio.get_running_loop().remove_reader(bound.fileno())
        # What has been accepted a moment ago gets its transport now; asyncio would drop it at the close.
        await asyncio.sleep(0)
        for server in taking:
            server.close()
