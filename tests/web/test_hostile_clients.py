"""Clients that send nonsense, take nothing or hang up cost little memory and keep nobody out."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from support.guarded import TLS, Certificates, basic, hashed, write
from support.large_server import LargeServer, large_server
from support.waiting import eventually

USERS = f"basic_auth_users:\n  alice: {hashed('right')}\n"
SCRAPE = f"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: {basic('alice', 'right')}\r\n\r\n".encode()
NONSENSE = b"\x00\xff\r\n" * 8192
CLIENTS = 60
SECONDS = 2.0
HOSTILE = "127.0.0.2"
Connect = Callable[[str], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@pytest.fixture(params=["http", "https"])
def setting(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, ssl.SSLContext | None]:
    """Return a web configuration, and what a client needs for it."""
    if request.param == "http":
        return write(tmp_path / "web.yaml", USERS), None
    return write(tmp_path / "web.yaml", TLS + USERS), Certificates(tmp_path).client()


def connecting(server: LargeServer, tls: ssl.SSLContext | None) -> Connect:
    async def connect(client: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            "127.0.0.1", server.port, local_addr=(client, 0), ssl=tls, limit=4096
        )

    return connect


async def scrape(connect: Connect) -> int:
    """Take a whole answer; return its length."""
    reader, writer = await connect("127.0.0.1")
    try:
        async with asyncio.timeout(20):
            writer.write(SCRAPE)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            taken = 0
            while taken < length:
                taken += len(await reader.read(1 << 20))
    finally:
        writer.transport.abort()
    return taken


async def test_nonsense_without_end_costs_little(setting: tuple[Path, ssl.SSLContext | None]) -> None:
    file, tls = setting
    async with large_server(file) as server:
        connect = connecting(server, tls)
        await scrape(connect)
        before = server.rss_mib(peak=True)
        until = time.monotonic() + SECONDS

        async def send() -> None:
            while time.monotonic() < until:
                with contextlib.suppress(OSError, asyncio.TimeoutError):
                    _, writer = await connect(HOSTILE)
                    try:
                        async with asyncio.timeout_at(until):
                            while not writer.transport.is_closing():
                                writer.write(NONSENSE)
                                await writer.drain()
                                await asyncio.sleep(0)  # a broken TLS connection takes everything
                    finally:
                        writer.transport.abort()
                await asyncio.sleep(0)

        await asyncio.gather(*(send() for _ in range(CLIENTS)))
        assert await scrape(connect) > 1_000_000
        grown = server.rss_mib(peak=True) - before
    assert grown < 60
    assert "Traceback" not in server.log.read_text()


async def test_requests_without_end_cost_little_and_are_answered(
    setting: tuple[Path, ssl.SSLContext | None],
) -> None:
    file, tls = setting
    async with large_server(file) as server:
        connect = connecting(server, tls)
        await scrape(connect)
        before = server.rss_mib(peak=True)
        reader, writer = await connect(HOSTILE)

        async def ask() -> None:
            while True:
                writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n" * 2000)
                await writer.drain()

        asking = asyncio.create_task(ask())
        try:
            async with asyncio.timeout(60):
                for _ in range(5000):
                    await reader.readuntil(b"HTTP/1.1 401 ")
        finally:
            asking.cancel()
            writer.transport.abort()
        assert server.rss_mib(peak=True) < before + 20


async def test_clients_that_hang_up_leave_neither_memory_nor_lines_behind(
    setting: tuple[Path, ssl.SSLContext | None],
) -> None:
    file, tls = setting
    async with large_server(file) as server:
        connect = connecting(server, tls)

        async def wave() -> None:
            opened = await asyncio.gather(*(connect(HOSTILE) for _ in range(2 * CLIENTS)))
            for _, writer in opened:
                writer.write(SCRAPE)
            for reader, _ in opened:
                async with asyncio.timeout(20):
                    assert await reader.readexactly(15) == b"HTTP/1.1 200 OK"
            for _, writer in opened:
                writer.transport.abort()

        await scrape(connect)
        before = server.rss_mib()
        for _ in range(4):
            await wave()

        async def is_back() -> bool:
            return server.rss_mib() < before + 15

        await eventually(is_back, seconds=30, what="the memory to be free again")
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "level=error" not in log


async def test_a_good_scraper_gets_through_while_others_take_nothing_and_pipeline(
    setting: tuple[Path, ssl.SSLContext | None],
) -> None:
    file, tls = setting
    async with large_server(file) as server:
        connect = connecting(server, tls)
        length = await scrape(connect)
        greedy: deque[asyncio.StreamWriter] = deque()

        async def take_nothing() -> None:
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await connect(HOSTILE)
                    greedy.append(writer)
                    writer.write(SCRAPE * 50)
                if len(greedy) > 2 * CLIENTS:
                    greedy[0].transport.abort()
                    greedy.popleft()
                await asyncio.sleep(0)

        tasks = [asyncio.create_task(take_nothing()) for _ in range(4)]
        try:
            for _ in range(6):
                assert await scrape(connect) >= length - 1000
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for writer in greedy:
                writer.transport.abort()
        # Three versions of the answer at most, whoever holds them.
        assert server.rss_mib(peak=True) < 300
