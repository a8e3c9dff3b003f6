"""Long answers are complete, made once a second for all clients, and outside of the event loop."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from exporter.metrics.cluster_metrics import CLUSTER_FAMILIES, update_cluster
from exporter.metrics.exposition import Exposition
from exporter.metrics.text import Format
from exporter.polling.board import Board, ClusterStatus
from exporter.web.answers import SLICE_BYTES, SharedAnswers, Slices
from exporter.web.routes import build_application
from support.exposed import text_of
from support.large import CLUSTERS, Client, CountingExecutor, status
from support.stub_sources import NOW, sources
from support.waiting import eventually

LARGE = ("/", "/metrics", "/api/v1/clusters", "/sd", "/config")
CONFIG = "clusters:\n" + "- {name: cluster}\n" * 50_000
EXPOSITION: Exposition[ClusterStatus] = Exposition(CLUSTER_FAMILIES)
BOARD = Board(on_change=lambda _: None)
for one in range(CLUSTERS):
    BOARD.put(status(one))
    update_cluster(EXPOSITION, status(one))


def expected(form: Format) -> bytes:
    return text_of(EXPOSITION.all(), form=form, now=NOW).encode()


@pytest.fixture
def threads() -> CountingExecutor:
    return CountingExecutor()


@pytest.fixture
async def client(threads: CountingExecutor) -> AsyncIterator[Client]:
    made_up = sources(board=BOARD, exposition=EXPOSITION, renderers=threads, masked_config=lambda: CONFIG)
    application = build_application(made_up, shared_seconds=60)
    async with TestClient(TestServer(application), auto_decompress=False) as client:
        yield client


async def scrape(client: Client, path: str = "/metrics", **headers: str) -> bytes:
    async with client.get(path, headers={"Accept-Encoding": "identity", **headers}) as response:
        assert response.status == 200
        return await response.read()


async def test_large_pages_are_whole(client: Client) -> None:
    names = [f"cluster-{number}" for number in range(CLUSTERS)]
    clusters = json.loads(await scrape(client, "/api/v1/clusters"))["clusters"]
    assert [cluster["cluster"] for cluster in clusters] == names
    assert all(len(cluster["packages"]) == 20 for cluster in clusters)
    groups = json.loads(await scrape(client, "/sd"))
    assert [group["targets"] for group in groups] == [[name] for name in names]
    assert (await scrape(client, "/config")).decode() == CONFIG


@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("form", Format)
async def test_a_large_exposition_is_whole_in_either_format_and_coding(
    client: Client, form: Format, coding: str
) -> None:
    accept = "application/openmetrics-text" if form is Format.OPENMETRICS else "text/plain"
    async with client.get("/metrics", headers={"Accept": accept, "Accept-Encoding": coding}) as response:
        body = await response.read()
        assert response.headers.get("Content-Encoding", "identity") == coding
        assert int(response.headers["Content-Length"]) == len(body)
    plain = gzip.decompress(body) if coding == "gzip" else body
    assert plain.startswith(expected(form))
    assert plain.count(b"# EOF") == (form is Format.OPENMETRICS)
    assert len(plain) > 50 * SLICE_BYTES


@pytest.mark.parametrize("path", LARGE)
async def test_a_head_request_gets_the_length_and_no_body(client: Client, path: str) -> None:
    length = len(await scrape(client, path))
    async with client.head(path, headers={"Accept-Encoding": "identity"}) as response:
        assert int(response.headers["Content-Length"]) == length
        assert await response.read() == b""
    assert b"healthy" in await scrape(client, "/-/healthy")


async def test_a_client_of_http_1_0_that_would_keep_its_connection_gets_a_whole_answer_and_the_end(
    client: Client,
) -> None:
    assert client.port is not None
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(b"GET /metrics HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    async with asyncio.timeout(10):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert b"Connection: close" in head
    assert body.startswith(expected(Format.TEXT))
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("path", LARGE)
async def test_a_large_answer_is_made_in_threads_some_slices_at_a_time(
    path: str, client: Client, threads: CountingExecutor
) -> None:
    body = await scrape(client, path)
    assert len(body) > SLICE_BYTES
    if path != "/config":  # which is one text
        assert threads.submitted > len(body) // (16 * SLICE_BYTES)


@pytest.mark.parametrize("path", LARGE)
async def test_all_who_ask_within_the_time_get_the_same_answer(
    path: str, client: Client, threads: CountingExecutor
) -> None:
    bodies = await asyncio.gather(*(scrape(client, path) for _ in range(8)))
    submitted = threads.submitted
    assert {await scrape(client, path), *bodies} == {bodies[0]}
    assert threads.submitted == submitted


async def test_each_format_and_selection_has_an_answer_of_its_own(client: Client) -> None:
    text = await scrape(client)
    assert (await scrape(client, Accept="application/openmetrics-text")).endswith(b"# EOF\n")
    assert len(await scrape(client, "/metrics?name[]=ontap_up")) < len(text)
    compressed = await scrape(client, **{"Accept-Encoding": "gzip"})
    assert gzip.decompress(compressed).startswith(expected(Format.TEXT))


async def test_an_answer_is_made_anew_after_a_while_and_for_another_configuration() -> None:
    versions, texts = [1], ["first"]
    made_up = sources(masked_config=lambda: texts[0], configuration_version=lambda: versions[0])
    async with TestClient(TestServer(build_application(made_up, shared_seconds=60))) as client:
        assert await scrape(client, "/config") == b"first"
        texts[0] = "second"
        assert await scrape(client, "/config") == b"first"
        versions[0] = 2
        assert await scrape(client, "/config") == b"second"
    async with TestClient(TestServer(build_application(made_up, shared_seconds=0))) as client:
        assert await scrape(client, "/config") == b"second"
        texts[0] = "third"
        assert await scrape(client, "/config") == b"third"


async def test_a_slow_client_holds_up_nobody_else(client: Client) -> None:
    assert client.port is not None
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((client.host, client.port))
        slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await scrape(client)).startswith(expected(Format.TEXT))
        assert slow.recv(15) == b"HTTP/1.1 200 OK"


async def test_who_asks_while_an_answer_is_made_waits_for_it_and_others_do_not() -> None:
    asked: list[None] = []
    go_on = threading.Event()

    def masked_config() -> str:
        asked.append(None)
        assert go_on.wait(10)
        return CONFIG

    with ThreadPoolExecutor(2) as threads:
        application = build_application(sources(renderers=threads, masked_config=masked_config))
        async with TestClient(TestServer(application)) as client:
            all_at_once = [asyncio.create_task(scrape(client, "/config")) for _ in range(5)]

            async def is_asked() -> bool:
                return bool(asked)

            await eventually(is_asked, seconds=10, what="the text to be asked for")
            # A thread is left for the rest.
            assert json.loads(await scrape(client, "/sd")) == []
            go_on.set()
            assert {body.decode() for body in await asyncio.gather(*all_at_once)} == {CONFIG}
    assert len(asked) == 1


class Counted:
    """Makes answers that hold how many have been made."""

    def __init__(self) -> None:
        self.made = 0

    async def __call__(self) -> Iterator[bytes]:
        self.made += 1
        return iter([str(self.made).encode()])


@pytest.fixture
def shared(threads: CountingExecutor) -> SharedAnswers:
    return SharedAnswers(threads, shared_seconds=0, most_keys=2)


async def test_no_more_than_three_versions_are_in_memory(shared: SharedAnswers) -> None:
    make, taken = Counted(), []
    for _ in range(5):
        context = shared.take("key", make)
        taken.append((context, await context.__aenter__()))
    versions: list[Slices] = [slices for _, slices in taken]
    assert versions == [(b"1",), (b"2",), (b"3",), (b"3",), (b"3",)]
    await taken[0][0].__aexit__(None, None, None)
    async with shared.take("key", make) as newest:
        assert newest == (b"4",)
    for context, _ in taken[1:]:
        await context.__aexit__(None, None, None)


async def test_only_so_many_selections_are_sent_at_once(shared: SharedAnswers) -> None:
    make = Counted()
    async with shared.take("a", make), shared.take("b", make):
        with pytest.raises(web.HTTPServiceUnavailable):
            await shared.take("c", make).__aenter__()
        async with shared.take("a", make):
            pass
    async with shared.take("c", make):
        pass


async def test_an_answer_that_cannot_be_made_is_tried_again(shared: SharedAnswers) -> None:
    async def broken() -> Iterator[bytes]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await shared.take("key", broken).__aenter__()
    async with shared.take("key", Counted()) as slices:
        assert slices == (b"1",)


class Waiting(Executor):
    """Threads that are busy for ever."""

    def submit(self, *_: object, **__: object) -> Future[Any]:
        return Future()


@pytest.mark.parametrize("path", ["/clusters/cluster-1", "/nothing-here"])
async def test_pages_that_are_made_for_one_client_hold_up_no_scrape(path: str) -> None:
    made_up = sources(board=BOARD, exposition=EXPOSITION, page_renderers=Waiting())
    async with TestClient(TestServer(build_application(made_up))) as client:
        pages = [asyncio.create_task(get_page(client, path)) for _ in range(10)]
        await asyncio.wait(pages, return_when=asyncio.FIRST_COMPLETED, timeout=0.1)
        assert await scrape(client)
        assert not any(page.done() for page in pages)
        for page in pages:
            page.cancel()


async def get_page(client: Client, path: str) -> None:
    async with client.get(path, headers={"Accept": "text/html"}) as response:
        await response.read()
