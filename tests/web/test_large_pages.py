"""Pages of large fleets are made outside of the event loop, whole, and no faster than they are taken."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from aiohttp.test_utils import TestClient, TestServer

from exporter.polling.board import Board
from exporter.web.sending import CHUNK_BYTES
from exporter.web.server import build_application
from support.large import CLUSTERS, Client, CountingExecutor, status
from support.sources import sources
from support.waiting import eventually

LARGE = ("/", "/api/v1/clusters", "/sd", "/config")
CONFIG = "clusters:\n" + "- {name: cluster}\n" * 50_000


@pytest.fixture
def threads() -> CountingExecutor:
    return CountingExecutor()


@pytest.fixture
async def client(threads: CountingExecutor) -> AsyncIterator[Client]:
    board = Board(on_change=lambda _: None)
    for number in range(CLUSTERS):
        board.put(status(number))
    application = build_application(sources(board=board, renderers=threads, masked_config=lambda: CONFIG))
    async with TestClient(TestServer(application)) as client:
        yield client


async def test_large_pages_are_whole(client: Client) -> None:
    names = [f"cluster-{number}" for number in range(CLUSTERS)]
    async with client.get("/api/v1/clusters") as response:
        clusters = (await response.json())["clusters"]
        assert [cluster["cluster"] for cluster in clusters] == names
        assert all(len(cluster["packages"]) == 20 for cluster in clusters)
    async with client.get("/sd") as response:
        assert [group["targets"] for group in await response.json()] == [[name] for name in names]
    async with client.get("/") as response:
        page = await response.text()
        assert f"{CLUSTERS} of {CLUSTERS} clusters answered" in page
        assert page.count("/probe?target=") == CLUSTERS
        assert page.endswith("</html>")
    async with client.get("/config") as response:
        assert await response.text() == CONFIG


@pytest.mark.parametrize("path", LARGE)
async def test_large_pages_are_made_in_threads_a_chunk_at_a_time(
    path: str, client: Client, threads: CountingExecutor
) -> None:
    async with client.get(path) as response:
        body = await response.read()
    assert len(body) > CHUNK_BYTES
    assert threads.submitted > len(body) // (2 * CHUNK_BYTES)


async def test_what_nobody_reads_is_hardly_made(client: Client, threads: CountingExecutor) -> None:
    async with client.get("/api/v1/clusters") as response:
        chunks = len(await response.read()) // CHUNK_BYTES
    before = threads.submitted
    with contextlib.ExitStack() as unread:
        for _ in range(5):
            connection = unread.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setblocking(False)  # noqa: FBT003 - its only parameter
            assert client.port is not None
            await asyncio.get_running_loop().sock_connect(connection, (client.host, client.port))
            connection.sendall(b"GET /api/v1/clusters HTTP/1.1\r\nHost: localhost\r\n\r\n")

        async def begun() -> bool:
            return bool(threads.submitted >= before + 10)

        await eventually(begun, seconds=10, what="the first chunks")
        async with client.get("/-/healthy") as response:
            assert response.status == 200
        # Whatever the kernel's buffers took, most of the answers has not even been made.
        assert threads.submitted - before < 5 * chunks * 3 // 4


async def test_who_asks_for_the_configuration_at_once_shares_one_text() -> None:
    asked: list[None] = []
    go_on = threading.Event()

    def masked_config() -> str:
        asked.append(None)
        assert go_on.wait(10)
        return CONFIG

    with ThreadPoolExecutor(2) as threads:
        application = build_application(sources(renderers=threads, masked_config=masked_config))
        async with TestClient(TestServer(application)) as client:

            async def ask(path: str) -> str:
                async with client.get(path) as response:
                    return await response.text()

            all_at_once = [asyncio.create_task(ask("/config")) for _ in range(5)]

            async def is_asked() -> bool:
                return bool(asked)

            await eventually(is_asked, seconds=10, what="the text to be asked for")
            # A thread is left for the rest.
            assert json.loads(await ask("/sd")) == []
            go_on.set()
            assert set(await asyncio.gather(*all_at_once)) == {CONFIG}
            assert len(asked) == 1
            assert await ask("/config") == CONFIG
            assert len(asked) == 2
