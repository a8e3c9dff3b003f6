"""A connection that asks for nothing, or takes nothing, ends; while it lasts, it keeps nobody out."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
import uvloop
from aiohttp import web

from exporter.web.server import build_application, serving
from support.sources import sources
from support.waiting import eventually

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
HEALTHY = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
WAIT_SECONDS = 10.0
LARGE_BYTES = 32 * 1024 * 1024
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """Run on a loop of either kind, under a deadline."""

    def run(scene: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(asyncio.wait_for(scene, 3 * WAIT_SECONDS))

    return run


class Server:
    """A running server; calling it connects to it."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.answering: list[web.RequestHandler] = []
        self.opened: list[asyncio.StreamWriter] = []
        self._address = address

    async def __call__(self) -> Streams:
        reader, writer = await asyncio.open_connection(*self._address)
        self.opened.append(writer)
        return reader, writer

    async def large(self, request: web.Request) -> web.Response:
        """Answer with more than the buffers of the system take."""
        self.answering.append(request.protocol)
        return web.Response(body=bytes(LARGE_BYTES))


@asynccontextmanager
async def server() -> AsyncIterator[Server]:
    """Serve on a free port."""
    application = build_application(sources())
    with socket.create_server(("127.0.0.1", 0)) as bound:
        connect = Server(bound.getsockname())
        application.add_routes([web.get("/large", connect.large)])
        async with serving(application, [bound]):
            yield connect
        for writer in connect.opened:
            writer.close()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(HEALTHY)
    return await reader.readuntil(b"is healthy.\n")


@pytest.mark.parametrize("sent", [b"", b"GET /-/healthy HT"])
def test_a_connection_without_a_whole_first_request_ends(
    sent: bytes, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.web.listeners.FIRST_REQUEST_SECONDS", 0.3)

    async def scene() -> None:
        async with server() as connect:
            reader, writer = await connect()
            writer.write(sent)
            with_requests = await connect()
            assert b"200 OK" in await ask(*with_requests)
            assert await at_end(reader) == b""
            assert b"200 OK" in await ask(*with_requests)

    run(scene())


async def at_end(reader: asyncio.StreamReader) -> bytes:
    """Return what comes before the end of the connection, whichever way it ends."""
    received = b""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while part := await reader.read(1 << 20):
                received += part
    except ConnectionResetError:
        pass
    return received


def test_a_connection_between_requests_ends(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.web.connection.IDLE_SECONDS", 0.3)

    async def scene() -> None:
        async with server() as connect:
            reader, writer = await connect()
            assert b"200 OK" in await ask(reader, writer)
            assert await at_end(reader) == b""

    run(scene())


def test_the_oldest_connection_that_asks_for_nothing_makes_room(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.web.listeners._MOST_CONNECTIONS", 4)

    async def scene() -> None:
        with structlog.testing.capture_logs() as lines:
            async with server() as connect:
                kept = await connect()
                assert b"200 OK" in await ask(*kept)
                silent = [await connect() for _ in range(20)]
                new = await connect()
                assert b"200 OK" in await ask(*new)
                ended = await asyncio.gather(*(at_end(reader) for reader, _ in silent[:17]))
                assert set(ended) == {b""}
                # Those that have asked for something before are the last to go.
                assert b"200 OK" in await ask(*kept)
        assert [line["why"] for line in lines] == ["as many connections as there may be"]

    run(scene())


def test_nothing_makes_room_where_every_connection_waits_for_its_answer(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.web.listeners._MOST_CONNECTIONS", 2)

    async def scene() -> None:
        async with server() as connect:
            busy = [await connect() for _ in range(2)]
            for reader, writer in busy:
                writer.write(HEALTHY.replace(b"/-/healthy", b"/large"))
                assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            new = asyncio.create_task(ask(*await connect()))
            for reader, _ in busy:
                assert not new.done()
                assert len(await reader.readexactly(LARGE_BYTES)) == LARGE_BYTES
            assert b"200 OK" in await new

    run(scene())


def test_a_client_that_does_not_take_its_answer_is_given_up(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.web.connection.SEND_SECONDS", 0.3)

    async def scene() -> None:
        async with server() as connect:
            reader, writer = await connect()
            writer.write(HEALTHY.replace(b"/-/healthy", b"/large"))
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            # Nobody reads on: the reader itself holds no more than its limit.
            (answering,) = connect.answering

            async def given_up() -> bool:
                return not answering.connected

            await eventually(given_up, seconds=WAIT_SECONDS, what="the end of the connection")
            assert len(await at_end(reader)) < LARGE_BYTES

    run(scene())
