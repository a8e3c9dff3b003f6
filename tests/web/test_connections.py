"""A connection that asks for nothing, or takes nothing, ends; while it lasts, it keeps nobody out."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import ssl
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import structlog
import trustme
import uvloop
from aiohttp import web

from exporter.web.admission import LIMITS, ClientLimits
from exporter.web.answers import SLICE_BYTES
from exporter.web.routes import build_application, serving
from support.stub_sources import sources
from support.waiting import eventually

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
HEALTHY = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = HEALTHY.replace(b"/-/healthy", b"/large")
SLOW = HEALTHY.replace(b"/-/healthy", b"/slow")
HUNG_UP = (LARGE, LARGE * 30, HEALTHY, HEALTHY[:20], b"\x16\x03\x01", b"\x00\xff\r\n" * 9000, b"")
"""What clients have sent when they hang up."""
WAIT_SECONDS = 10.0
LARGE_BYTES = 16 * 1024 * 1024
SOME_SLICES = 10
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Run = Callable[[Coroutine[Any, Any, None]], None]

AUTHORITY = trustme.CA()
SERVER_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
AUTHORITY.issue_cert("127.0.0.1").configure_cert(SERVER_TLS)
CLIENT_TLS = ssl.create_default_context()
AUTHORITY.configure_trust(CLIENT_TLS)


class Tls:
    """Protects with TLS alone."""

    def protect(self, server: Any) -> None:
        server.context = SERVER_TLS


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """Run on a loop of either kind, under a deadline."""

    def run(scene: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(asyncio.wait_for(scene, 3 * WAIT_SECONDS))

    return run


class Mark:
    """Lives as long as the frame that holds it."""


class Server:
    """A running server; calling it connects to it."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.answering: list[web.RequestHandler] = []
        self.go_on = asyncio.Event()
        self.frames: weakref.WeakSet[Mark] = weakref.WeakSet()
        self.opened: list[asyncio.StreamWriter] = []
        self._address = address

    async def __call__(self, client: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Streams:
        """Connect from an address of loopback."""
        reader, writer = await asyncio.open_connection(*self._address, local_addr=(client, 0), ssl=tls)
        self.opened.append(writer)
        return reader, writer

    async def large(self, request: web.Request) -> web.StreamResponse:
        """Answer with more than the buffers of the system take."""
        self.answering.append(request.protocol)
        in_frame = Mark()
        self.frames.add(in_frame)
        response = web.StreamResponse(headers={"Content-Length": str(LARGE_BYTES)})
        await response.prepare(request)
        for _ in range(LARGE_BYTES // SLICE_BYTES):
            await response.write(bytes(SLICE_BYTES))
            await asyncio.sleep(0)  # as exporter.web.answers does
        return response

    async def slow(self, request: web.Request) -> web.Response:
        """Answer when told to."""
        self.answering.append(request.protocol)
        await self.go_on.wait()
        return web.Response(text="done")


async def is_true(value: object) -> bool:
    return bool(value)


@asynccontextmanager
async def server(limits: ClientLimits = LIMITS, *, tls: bool = False) -> AsyncIterator[Server]:
    """Serve on a free port."""
    application = build_application(sources())
    with socket.create_server(("127.0.0.1", 0)) as bound:
        connect = Server(bound.getsockname())
        application.add_routes([web.get("/large", connect.large), web.get("/slow", connect.slow)])
        protection: Any = Tls() if tls else None
        async with serving(application, [bound], protection, limits=limits):
            yield connect
        for writer in connect.opened:
            writer.transport.abort()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes = HEALTHY) -> bytes:
    writer.write(request)
    return await reader.readuntil(b"is healthy.\n")


async def at_end(reader: asyncio.StreamReader) -> bytes:
    """Return what comes before the end of the connection, whichever way it ends."""
    received = b""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while part := await reader.read(1 << 20):
                received += part
    except (ConnectionResetError, BrokenPipeError):
        pass
    return received


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("sent", [b"", b"GET /-/healthy HT"])
def test_a_connection_without_a_whole_first_request_ends(sent: bytes, run: Run, *, tls: bool) -> None:
    async def scene() -> None:
        async with server(replace(LIMITS, first_request_seconds=1.0), tls=tls) as connect:
            reader, writer = await connect()
            writer.write(sent)
            with_requests = await connect(tls=CLIENT_TLS if tls else None)
            assert b"200 OK" in await ask(*with_requests)
            assert b"200" not in await at_end(reader)
            assert b"200 OK" in await ask(*with_requests)

    run(scene())


def test_a_connection_between_requests_ends(run: Run) -> None:
    async def scene() -> None:
        async with server(replace(LIMITS, idle_seconds=0.3)) as connect:
            reader, writer = await connect()
            assert b"200 OK" in await ask(reader, writer)
            assert await at_end(reader) == b""

    run(scene())


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(
    ("most", "whose"),
    [
        (4, "of all clients"),
        (32, "of one client"),
    ],
)
def test_the_oldest_connection_that_asks_for_nothing_makes_room(
    most: int, whose: str, run: Run, *, tls: bool
) -> None:
    context = CLIENT_TLS if tls else None

    async def scene() -> None:
        with structlog.testing.capture_logs() as lines:
            async with server(ClientLimits(connections=most), tls=tls) as connect:
                kept = await connect(tls=context)
                assert b"200 OK" in await ask(*kept)
                silent = [await connect() for _ in range(20)]
                new = await connect(tls=context)
                assert b"200 OK" in await ask(*new)
                ended = await asyncio.gather(*(at_end(reader) for reader, _ in silent[:13]))
                assert set(ended) == {b""}
                # Those that have asked for something before are the last to go.
                assert b"200 OK" in await ask(*kept)
        assert [line["whose"] for line in lines] == [whose]

    run(scene())


def test_a_new_connection_ends_at_once_if_no_client_keeps_the_server_waiting(run: Run) -> None:
    async def scene() -> None:
        async with server(ClientLimits(connections=2)) as connect:
            busy = [await connect() for _ in range(2)]
            for _, writer in busy:
                writer.write(SLOW)
            await eventually(lambda: is_true(len(connect.answering) == 2), seconds=WAIT_SECONDS, what="both")
            refused, _ = await connect()
            assert await at_end(refused) == b""
            connect.go_on.set()
            for reader, _ in busy:
                assert b"200 OK" in await reader.readuntil(b"done")
            assert b"200 OK" in await ask(*await connect())

    run(scene())


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("greedy", [["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2", "127.0.0.3", "127.0.0.4"]])
def test_clients_that_never_read_shut_nobody_out(greedy: list[str], run: Run, *, tls: bool) -> None:
    context = CLIENT_TLS if tls else None

    async def scene() -> None:
        async def is_stalled(number: int) -> bool:
            answering: Any = connect.answering[number:]
            return bool(answering) and answering[0].stalled_since is not None

        async with server(ClientLimits(connections=16), tls=tls) as connect:
            for number in range(20):  # more than there may be
                _, never_reads = await connect(greedy[number % len(greedy)], context)
                handled = len(connect.answering)
                never_reads.write(LARGE * 20)
                await eventually(partial(is_stalled, handled), seconds=WAIT_SECONDS, what="the full buffers")
                good = await connect("127.0.0.1", context)
                good[1].write(LARGE)
                assert b"200 OK" in await good[0].readuntil(b"\r\n\r\n")
                for _ in range(SOME_SLICES):
                    await good[0].readexactly(SLICE_BYTES)
                good[1].transport.abort()

    run(scene())


@pytest.mark.parametrize("tls", [False, True])
def test_pipelined_requests_are_all_answered(run: Run, *, tls: bool) -> None:
    async def scene() -> None:
        async with server(tls=tls) as connect:
            reader, writer = await connect(tls=CLIENT_TLS if tls else None)
            writer.write(HEALTHY * 2000)  # much more than one request may have
            for _ in range(2000):
                assert b"200 OK" in await reader.readuntil(b"is healthy.\n")

    run(scene())


@pytest.mark.parametrize("tls", [False, True])
def test_a_client_that_does_not_take_its_answer_is_given_up(run: Run, *, tls: bool) -> None:
    async def scene() -> None:
        async with server(replace(LIMITS, answer_seconds=0.3), tls=tls) as connect:
            reader, writer = await connect(tls=CLIENT_TLS if tls else None)
            writer.write(LARGE)
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            # Nobody reads on: the reader itself holds no more than its limit.
            (answering,) = connect.answering

            async def given_up() -> bool:
                return not answering.connected

            await eventually(given_up, seconds=WAIT_SECONDS, what="the end of the connection")
            assert len(await at_end(reader)) < LARGE_BYTES

    run(scene())


@pytest.mark.parametrize("sent", [b"\x00\xff" * 500, b"GET / HTTP/9.9\r\n\r\n", b"A" * 100_000])
def test_a_request_that_is_not_http_is_answered_with_400_and_not_repeated(
    sent: bytes, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    async def scene() -> None:
        async with server() as connect:
            reader, writer = await connect()
            writer.write(sent)
            answer = await at_end(reader)
            assert answer.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
            assert answer.endswith(b"\r\n\r\nBad Request\n")

    run(scene())
    assert caplog.records == []


@pytest.mark.parametrize("tls", [False, True])
def test_what_is_too_much_for_a_request_waits_until_an_answer_is_made(run: Run, *, tls: bool) -> None:
    """Every read that is no HTTP would be kept with its error, and many come before anything else runs."""

    async def scene() -> None:
        async with server(tls=tls) as connect:
            reader, writer = await connect(tls=CLIENT_TLS if tls else None)
            writer.write(SLOW)
            await eventually(lambda: is_true(connect.answering), seconds=WAIT_SECONDS, what="the request")
            (answering,) = connect.answering
            stream: Any = answering.transport
            assert stream.is_reading()
            answering.data_received(b"\x00\xff\r\n" * 9000)
            assert not stream.is_reading()
            connect.go_on.set()
            answer = await at_end(reader)
            assert b"done" in answer
            assert answer.endswith(b"\r\n\r\nBad Request\n")

    run(scene())


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("way", ["abort", "close"])
def test_a_client_that_hangs_up_leaves_no_trace_in_the_log(
    way: str, run: Run, caplog: pytest.LogCaptureFixture, *, tls: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    context = CLIENT_TLS if tls else None

    async def scene() -> None:
        async with server(tls=tls) as connect:
            for request in HUNG_UP * 3:
                # With TLS, some hang up before the handshake, or in its middle.
                for handshaken in {context, None}:
                    reader, writer = await connect(tls=handshaken)
                    writer.write(request)
                    if request[:9] == LARGE[:9] and handshaken is context:
                        await reader.readexactly(100)
                    getattr(writer.transport, way)()
            assert b"200 OK" in await ask(*await connect(tls=context))

    run(scene())
    assert [line for line in caplog.records if line.exc_info or line.levelno > logging.DEBUG] == []


@pytest.mark.parametrize("tls", [False, True])
def test_a_client_that_hangs_up_leaves_nothing_for_the_garbage_collector(run: Run, *, tls: bool) -> None:
    async def scene() -> None:
        async with server(tls=tls) as connect:
            for _ in range(20):
                reader, writer = await connect(tls=CLIENT_TLS if tls else None)
                writer.write(LARGE)
                assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
                writer.transport.abort()
            connect.answering.clear()
            await eventually(
                lambda: is_true(not connect.frames), seconds=WAIT_SECONDS, what="all answers to be freed"
            )

    gc.collect()
    gc.disable()
    try:
        run(scene())
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "request_of_20_kb",
    [
        HEALTHY[:-2] + b"Cookie: _oauth2_proxy=" + b"x" * 20_000 + b"\r\n\r\n",
        HEALTHY.replace(b"/-/healthy", b"/-/healthy?" + b"name[]=ontap_up&" * 1250),
    ],
    ids=["cookies", "a long query"],
)
def test_a_line_of_a_request_may_be_long(run: Run, request_of_20_kb: bytes) -> None:
    """Cookies of a proxy with single sign-on stand in one line."""

    async def scene() -> None:
        async with server() as connect:
            assert b"200 OK" in await ask(*await connect(), request_of_20_kb)

    run(scene())


def test_a_request_that_is_too_large_and_never_ends_is_given_up(run: Run) -> None:
    async def scene() -> None:
        async with server() as connect:
            reader, writer = await connect()
            writer.write(b"GET /-/healthy HTTP/1.1\r\n" + b"A: " + b"x" * 1000 + b"\r\n")
            writer.write((b"A: " + b"x" * 1000 + b"\r\n") * 60)
            assert b"200" not in await at_end(reader)

    run(scene())
