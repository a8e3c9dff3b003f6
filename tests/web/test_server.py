"""Every path answers from memory, in the format that its client asked for."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from urllib.parse import quote, urlencode

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from yarl import URL

from exporter.metrics.cluster_metrics import CLUSTER_FAMILIES, update_cluster
from exporter.metrics.exporter_metrics import EXPORTER_FAMILIES
from exporter.metrics.exposition import Exposition
from exporter.metrics.text import Format
from exporter.ontap.errors import Reason
from exporter.ontap.requests.facts import ClusterIdentity
from exporter.ontap.requests.inventory import Inventory
from exporter.ontap.requests.listing import Listing, Package
from exporter.polling.board import Board, ClusterStatus, Poll, PollFailure
from exporter.web.routes import build_application
from support.stub_sources import NOW, STATE, sources

FAILURE = PollFailure(reason=Reason.TIMEOUT, message='<script>alert("no")</script>')
Client = TestClient[Request, Application]


def fresh_status(name: str) -> ClusterStatus:
    packages = (
        Package(version="9.13.1", create_timestamp_seconds=NOW - 86_400 * 400),
        Package(version="9.14.1<b>", create_timestamp_seconds=None),
    )
    inventory = Inventory(
        listing=Listing(packages=packages, unnamed=0, pages=2),
        identity=ClusterIdentity(name=name, uuid="u-1", ontap_version="9.13.1"),
        versions_in_use=frozenset({"9.13.1"}),
    )
    poll = Poll(ended_timestamp_seconds=NOW - 10, duration_seconds=0.5, failure=None)
    return unpolled_status(name).after_success(poll, inventory)


def unpolled_status(name: str) -> ClusterStatus:
    return ClusterStatus(
        name=name, address="https://10.20.0.5:443", labels=(("site", "ams"),), stale_after_seconds=900
    )


def failed_status(name: str) -> ClusterStatus:
    poll = Poll(ended_timestamp_seconds=NOW, duration_seconds=60, failure=FAILURE)
    return unpolled_status(name).after_failure(poll, FAILURE)


@pytest.fixture
def board_and_exposition() -> tuple[Board, Exposition[ClusterStatus]]:
    exposition = Exposition(CLUSTER_FAMILIES)
    board = Board(on_change=partial(update_cluster, exposition))
    board.put(fresh_status("good"))
    board.put(failed_status("bad"))
    return board, exposition


@pytest.fixture
async def client(board_and_exposition: tuple[Board, Exposition[ClusterStatus]]) -> AsyncIterator[Client]:
    board, exposition = board_and_exposition
    application = build_application(sources(board=board, exposition=exposition))
    async with TestClient(TestServer(application), auto_decompress=False) as client:
        yield client


async def text_of(client: Client, path: str, **headers: str) -> str:
    async with client.get(path, headers={"Accept-Encoding": "identity", **headers}) as response:
        assert response.status == 200
        return await response.text()


async def test_metrics_in_text_hold_every_family_and_the_process(client: Client) -> None:
    families = {family.name for family in parse_text(await text_of(client, "/metrics"))}
    ours = {row.name.removesuffix("_total") for row in CLUSTER_FAMILIES}
    ours |= {
        row.name.removesuffix("_total") if row.kind == "counter" else row.name for row in EXPORTER_FAMILIES
    }
    assert ours <= families
    assert {"process_cpu_seconds", "process_resident_memory_bytes", "python_info"} <= families


async def test_metrics_in_openmetrics_are_valid_and_end_once(client: Client) -> None:
    text = await text_of(client, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert text.count("# EOF") == 1
    assert text.endswith("# EOF\n")
    assert len(list(parse_openmetrics(text))) > len(CLUSTER_FAMILIES)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("*/*", Format.TEXT), ("application/openmetrics-text", Format.OPENMETRICS)],
)
async def test_the_content_type_names_the_format(client: Client, accept: str, content_type: str) -> None:
    async with client.get("/metrics", headers={"Accept": accept}) as response:
        assert response.headers["Content-Type"] == content_type
        assert response.headers["Vary"] == "Accept, Accept-Encoding"


async def test_gzip_carries_the_same_body(client: Client) -> None:
    path = "/metrics?name[]=ontap_software_packages"
    plain = await text_of(client, path)
    async with client.get(path, headers={"Accept-Encoding": "gzip"}) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(await response.read()).decode() == plain


async def test_names_filter_all_kinds_of_metrics(client: Client) -> None:
    path = "/metrics?name[]=ontap_up&name[]=process_cpu_seconds_total&name[]=ontap_exporter_clusters"
    for accept in ("*/*", "application/openmetrics-text"):
        lines = (await text_of(client, path, Accept=accept)).splitlines()
        names = {line.split("{")[0].split(" ")[0] for line in lines if not line.startswith("#")}
        assert names == {"ontap_up", "process_cpu_seconds_total", "ontap_exporter_clusters"}


async def test_a_probe_gives_one_cluster_only(client: Client) -> None:
    text = await text_of(client, "/probe?target=good")
    assert 'ontap_up{cluster="good",site="ams"} 1.0' in text
    assert 'cluster="bad"' not in text
    assert "process_" not in text
    assert "ontap_exporter_" not in text


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/probe", 400, "Name one cluster"),
        ("/probe?target=", 400, "Name one cluster"),
        ("/probe?target=good&target=bad", 400, "Name one cluster"),
        ("/probe?target=other", 404, "No cluster named 'other' is configured."),
        ("/probe?target=bad", 503, "No good poll of 'bad' within stale_after"),
    ],
)
async def test_a_probe_that_cannot_be_answered_says_why(
    client: Client, path: str, status: int, says: str
) -> None:
    async with client.get(path) as response:
        assert response.status == status
        assert says in await response.text()
        assert response.content_type == "text/plain"


async def test_a_probe_of_a_stale_cluster_is_503(
    client: Client, board_and_exposition: tuple[Board, Exposition[ClusterStatus]]
) -> None:
    board, _ = board_and_exposition
    status = fresh_status("old")
    poll = Poll(ended_timestamp_seconds=NOW - 901, duration_seconds=0.5, failure=None)
    assert status.inventory is not None
    board.put(status.after_success(poll, status.inventory))
    async with client.get("/probe?target=old") as response:
        assert response.status == 503


async def test_healthy_and_ready_answer_get_and_head(client: Client) -> None:
    for path in ("/-/healthy", "/-/ready"):
        for method in ("GET", "HEAD"):
            async with client.request(method, path) as response:
                assert response.status == 200
                assert (await response.text() == "") == (method == "HEAD")


async def test_readiness_waits_for_every_first_poll_and_stays() -> None:
    board = Board(on_change=lambda _: None)
    async with TestClient(TestServer(build_application(sources(board=board)))) as client:

        async def ready() -> tuple[int, str]:
            async with client.get("/-/ready") as response:
                return response.status, await response.text()

        board.put(unpolled_status("a"))
        board.put(unpolled_status("b"))
        assert await ready() == (503, "2 of 2 clusters not polled yet.\n")
        board.put(failed_status("a"))
        assert await ready() == (503, "1 of 2 clusters not polled yet.\n")
        async with client.get("/-/healthy") as response:
            assert response.status == 200
        board.put(fresh_status("b"))
        board.put(unpolled_status("c"))  # nobody has asked in between
        assert (await ready())[0] == 200
        board.keep(["c"])
        assert (await ready())[0] == 200


async def test_readiness_does_not_wait_for_a_cluster_that_is_removed() -> None:
    board = Board(on_change=lambda _: None)
    async with TestClient(TestServer(build_application(sources(board=board)))) as client:
        board.put(fresh_status("a"))
        board.put(unpolled_status("b"))
        board.keep(["a"])
        async with client.get("/-/ready") as response:
            assert response.status == 200


async def test_readiness_waits_for_clusters_that_are_about_to_be_added() -> None:
    board = Board(on_change=lambda _: None)
    async with TestClient(TestServer(build_application(sources(board=board)))) as client:

        async def status() -> int:
            async with client.get("/-/ready") as response:
                return response.status

        board.keep(["a", "b"])
        board.put(fresh_status("a"))
        assert await status() == 503
        board.put(failed_status("b"))
        assert await status() == 200


async def test_a_cluster_that_was_not_polled_yet_is_not_one_that_does_not_answer(
    client: Client, board_and_exposition: tuple[Board, Exposition[ClusterStatus]]
) -> None:
    board_and_exposition[0].put(unpolled_status("new"))
    assert "1 of 3 clusters answered their last poll; 1 not polled yet." in await text_of(client, "/")
    assert json.loads(await text_of(client, "/api/v1/clusters/new"))["up"] is None
    async with client.get("/probe?target=new") as response:
        assert (response.status, await response.text()) == (503, "'new' has not been polled yet.\n")


async def test_clusters_as_json_can_be_asked_for_by_name(
    client: Client, board_and_exposition: tuple[Board, Exposition[ClusterStatus]]
) -> None:
    strange = "a b/ü?%2F<c>"
    board_and_exposition[0].put(fresh_status(strange))
    everything = json.loads(await text_of(client, "/api/v1/clusters"))["clusters"]
    for number, name in enumerate(["good", "bad", strange]):
        one = json.loads(await text_of(client, f"/api/v1/clusters?{urlencode({'cluster': name})}"))
        assert one == {"clusters": [everything[number]]}
        path = URL(f"/api/v1/clusters/{quote(name, safe='')}", encoded=True)
        async with client.get(path) as response:
            assert await response.json() == everything[number]
    two = json.loads(await text_of(client, "/api/v1/clusters?cluster=bad&cluster=good"))
    assert two == {"clusters": everything[:2]}
    async with client.get("/api/v1/clusters/nobody") as response:
        assert (response.status, await response.text()) == (404, "No cluster named 'nobody' is configured.\n")


async def test_the_configuration_is_text_that_browsers_show(client: Client) -> None:
    async with client.get("/config") as response:
        assert response.content_type == "text/plain"
        assert "Content-Disposition" not in response.headers


async def test_clusters_as_json_show_the_same_facts(client: Client) -> None:
    document = json.loads(await text_of(client, "/api/v1/clusters"))
    good, bad = document["clusters"]
    assert good["up"] is True
    assert good["packages"] == [
        {
            "version": "9.13.1",
            "create_timestamp_seconds": NOW - 86_400 * 400,
            "age_seconds": 86_400 * 400,
            "in_use": True,
        },
        {"version": "9.14.1<b>", "create_timestamp_seconds": None, "age_seconds": None, "in_use": False},
    ]
    assert good["identity"] == {"name": "good", "uuid": "u-1", "ontap_version": "9.13.1"}
    assert bad["up"] is False
    assert bad["packages"] is None
    assert bad["last_poll"]["failure"] == {"reason": "timeout", "message": FAILURE.message}
    assert bad["poll_failures"]["timeout"] == 1


async def test_the_status_page_escapes_what_clusters_say(client: Client) -> None:
    page = await text_of(client, "/")
    assert "1 of 2 clusters answered" in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert page.index("bad") < page.index("good")


async def test_the_status_page_shows_files_that_are_not_applied(client: Client) -> None:
    page = await text_of(client, "/")
    assert "1 of 2 cluster files cannot be used" in page
    assert "The configuration was refused" not in page
    assert "Shard" not in page


async def test_the_status_page_reports_a_refused_configuration_and_shards() -> None:
    state = replace(
        STATE, last_reload_successful=False, cluster_files_failed=0, shard_ordinal=1, total_shards=3
    )
    application = build_application(sources(exporter_state=lambda: state))
    async with TestClient(TestServer(application)) as client:
        page = await text_of(client, "/")
    assert "The configuration was refused when it was last read" in page
    assert "cluster files" not in page
    assert "Shard 1 of 3." in page


async def test_cleanup_that_is_not_configured_says_so(client: Client) -> None:
    document = json.loads(await text_of(client, "/api/v1/cleanup"))
    assert document == {"configured": False, "policies": [], "clusters": [], "runs": []}
    assert "ontap_cleanup" not in await text_of(client, "/metrics")


async def test_the_configuration_is_served_as_given(client: Client) -> None:
    assert await text_of(client, "/config") == "clusters: []\n"


async def status_of(response: ClientResponse) -> int:
    await response.read()
    return response.status


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "/-/", "/api/v1"])
async def test_unknown_paths_are_404(client: Client, path: str) -> None:
    assert await status_of(await client.get(path)) == 404


@pytest.mark.parametrize("path", ["/", "/metrics", "/probe", "/config", "/api/v1/clusters", "/-/healthy"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_other_methods_are_405(client: Client, path: str, method: str) -> None:
    response = await client.request(method, path)
    assert await status_of(response) == 405
    assert response.headers["Allow"] == "GET,HEAD"


async def test_several_scrapers_are_served_at_once(client: Client) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(text_of(client, "/metrics?name[]=ontap_up")) for _ in range(20)]
    assert len({task.result() for task in tasks}) == 1
