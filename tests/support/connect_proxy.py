"""A proxy that makes tunnels (CONNECT), and remembers all that it gets to see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

from support.client_connections import close, serving


class ConnectProxy:
    """Makes a tunnel to wherever a client asks, or refuses to.

    Attributes:
        port: on 127.0.0.1.
        heads: the requests to the proxy itself, each with its headers.
        seen: every byte that clients have sent, those in the tunnels too.
        refusal: the answer to every request instead of a tunnel; empty: none.
        destinations: where a tunnel to a name leads, for names that nobody else knows.
    """

    def __init__(self) -> None:
        self.port = 0
        self.heads: list[str] = []
        self.seen = bytearray()
        self.refusal = b""
        self.destinations: dict[str, tuple[str, int]] = {}

    @property
    def targets(self) -> list[str]:
        """Where clients wanted to go: the second word of each request."""
        return [head.split()[1] for head in self.heads]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                self.seen += head
                self.heads.append(head.decode())
                if self.refusal:
                    writer.write(self.refusal)
                    await writer.drain()
                    return
                target = self.targets[-1]
                host, _, port = target.rpartition(":")
                onward = await asyncio.open_connection(*self.destinations.get(target, (host, int(port))))
                try:
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._carry(reader, onward[1], is_from_client=True))
                        group.create_task(self._carry(onward[0], writer, is_from_client=False))
                finally:
                    await close(onward[1])
        finally:
            await close(writer)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_from_client: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if is_from_client:
                    self.seen += data
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def connect_proxy() -> AsyncIterator[ConnectProxy]:
    """Run a proxy on loopback for as long as the context lasts."""
    proxy = ConnectProxy()
    async with serving(proxy.serve, partial(asyncio.start_server, host="127.0.0.1")) as server:
        proxy.port = server.sockets[0].getsockname()[1]
        yield proxy
