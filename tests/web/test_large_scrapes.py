"""Large answers are made as their clients take them: whole, by several at once, and no faster than that."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from aiohttp.test_utils import TestClient, TestServer

from exporter.metrics.clusters import CLUSTER_FAMILIES, update_cluster
from exporter.metrics.exposition import Exposition, names_filter
from exporter.metrics.text import Format
from exporter.polling.board import ClusterStatus
from exporter.web.sending import CHUNK_BYTES
from exporter.web.server import build_application
from support.large import CLUSTERS, Client, CountingExecutor, status
from support.sources import NOW, sources
from support.waiting import eventually

EXPOSITION: Exposition[ClusterStatus] = Exposition(CLUSTER_FAMILIES)
for one in range(CLUSTERS):
    update_cluster(EXPOSITION, status(one))


def expected(form: Format) -> bytes:
    return EXPOSITION.all().join(now=NOW, form=form, wanted=names_filter(()))


@pytest.fixture
def threads() -> CountingExecutor:
    return CountingExecutor()


@pytest.fixture
async def client(threads: CountingExecutor) -> AsyncIterator[Client]:
    application = build_application(sources(exposition=EXPOSITION, renderers=threads))
    async with TestClient(TestServer(application), auto_decompress=False) as client:
        yield client


@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("form", Format)
async def test_a_large_answer_is_whole_in_either_format_and_coding(
    client: Client, form: Format, coding: str
) -> None:
    accept = "application/openmetrics-text" if form is Format.OPENMETRICS else "text/plain"
    async with client.get("/metrics", headers={"Accept": accept, "Accept-Encoding": coding}) as response:
        body = await response.read()
        assert response.headers.get("Content-Encoding", "identity") == coding
    plain = gzip.decompress(body) if coding == "gzip" else body
    assert plain.startswith(expected(form))
    assert plain.count(b"# EOF") == (form is Format.OPENMETRICS)
    assert len(plain) > 50 * CHUNK_BYTES


async def test_head_of_a_large_answer_has_no_body(client: Client) -> None:
    async with client.head("/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == Format.TEXT
        assert await response.read() == b""
    async with client.get("/-/healthy") as after:
        assert after.status == 200


async def test_a_small_answer_tells_its_length(client: Client) -> None:
    async with client.get("/metrics?name[]=python_info") as response:
        assert int(response.headers["Content-Length"]) == len(await response.read())


async def test_several_scrapers_get_the_same_whole_answer_at_once(client: Client) -> None:
    async def scrape() -> bytes:
        async with client.get("/metrics", headers={"Accept-Encoding": "gzip"}) as response:
            return gzip.decompress(await response.read())

    bodies = await asyncio.gather(*(scrape() for _ in range(4)))
    assert all(body.startswith(expected(Format.TEXT)) for body in bodies)


def slow_connection(client: Client) -> socket.socket:
    """Ask for everything, take little of it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    assert client.port is not None
    connection.connect((client.host, client.port))
    connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return connection


async def test_a_slow_client_holds_back_its_own_answer_and_nobody_elses(
    client: Client, threads: CountingExecutor
) -> None:
    chunks = len(expected(Format.TEXT)) // CHUNK_BYTES
    with slow_connection(client) as connection:

        async def begun() -> bool:
            return threads.submitted > 1

        await eventually(begun, seconds=10, what="the slow client's first chunks")
        async with client.get("/metrics", headers={"Accept-Encoding": "identity"}) as response:
            assert (await response.read()).startswith(expected(Format.TEXT))
        made_for_the_other = chunks + 3
        # Whatever the kernel's buffers took, most of the slow client's answer has not even been made.
        assert threads.submitted - made_for_the_other < chunks // 2
        assert connection.recv(15) == b"HTTP/1.1 200 OK"


async def test_a_client_that_takes_too_long_is_given_up(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.web.sending.SEND_SECONDS", 0.2)
    with structlog.testing.capture_logs() as lines, slow_connection(client) as connection:

        async def told() -> list[Any]:
            return [line for line in lines if line["event"].startswith("answer given up")]

        assert len(await eventually(told, seconds=10, what="the log to tell")) == 1
        received = await asyncio.to_thread(_rest, connection)
        assert received.startswith(b"HTTP/1.1 200 OK")
        assert not received.endswith(b"0\r\n\r\n")
        assert len(received) < len(expected(Format.TEXT))
    async with client.get("/-/healthy") as response:
        assert response.status == 200


def _rest(connection: socket.socket) -> bytes:
    """Read until the other side has closed the connection."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(1 << 20):
            received += part
    return received
