"""Stands between a client and a server, and may fall silent or garble what it carries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from support.client_connections import close, serving


class SilentProxy:
    """Forwards bytes both ways, in whole or not at all.

    Args:
        upstream: the server's socket.
    """

    def __init__(self, upstream: Path) -> None:
        self._upstream = upstream
        self._speaking = asyncio.Event()
        self._speaking.set()
        self._garbling = False
        self.connections = 0

    def fall_silent(self) -> None:
        """Keep all connections, accept further ones, and carry nothing."""
        self._speaking.clear()

    def speak(self) -> None:
        """Carry what has come meanwhile, and everything from now on, as it is."""
        self._garbling = False
        self._speaking.set()

    def garble(self) -> None:
        """Change what the server answers."""
        self._garbling = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        try:
            with suppress(OSError):
                up_reader, up_writer = await asyncio.open_unix_connection(self._upstream)
                try:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._carry(reader, up_writer, answers=False))
                        group.create_task(self._carry(up_reader, writer, answers=True))
                finally:
                    await close(up_writer)
        finally:
            await close(writer)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._speaking.wait()
                if answers and self._garbling:
                    data = bytes(byte ^ 0x55 for byte in data)
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def silent_proxy(upstream: Path, folder: Path) -> AsyncIterator[SilentProxy]:
    """Listen in a folder, on a socket of the same name as the server's."""
    proxy = SilentProxy(upstream)
    async with serving(proxy.serve, partial(asyncio.start_unix_server, path=folder / upstream.name)):
        yield proxy
