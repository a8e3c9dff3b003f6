"""Connections of tests; each is closed before its test ends, and this is checked."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial

from exporter.simulator import SimulatedCluster


@asynccontextmanager
async def connected(
    host: str, port: int, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a connection for as long as the context lasts; with TLS if there is a context."""
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        yield reader, writer
    finally:
        await close(writer)


async def close(writer: asyncio.StreamWriter) -> None:
    """Close a connection; return when it is closed, even if the other side broke it."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def serving(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]],
    start: Callable[..., Awaitable[asyncio.Server]],
) -> AsyncIterator[asyncio.Server]:
    """Serve each connection in a task, which is cancelled at the end; start is given what begins one."""
    connections: set[asyncio.Task[None]] = set()

    def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.create_task(serve(reader, writer)))

    server = await start(on_connection)
    try:
        yield server
    finally:
        server.close()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


@asynccontextmanager
async def forwarding(
    cluster: SimulatedCluster, *, before: Callable[[], Awaitable[None]]
) -> AsyncIterator[int]:
    """Forward connections to a cluster, each once ``before`` has returned; give the port at its address."""
    host, _, port = cluster.address.rpartition(":")

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError):
                while data := await reader.read(65536):
                    writer.write(data)
                    await writer.drain()
        finally:
            await close(writer)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await before()
            async with connected(host, int(port)) as (onward_reader, onward_writer):
                await asyncio.gather(copy(reader, onward_writer), copy(onward_reader, writer))
        finally:
            await close(writer)

    async with serving(forward, partial(asyncio.start_server, host=host)) as server:
        yield server.sockets[0].getsockname()[1]
