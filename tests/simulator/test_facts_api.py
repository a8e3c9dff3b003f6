"""What a simulated cluster states of itself, and downloads."""

from typing import Any

import pytest
from simulator.asking import PACKAGES, Client

from exporter.simulator import (
    DownloadState,
    JobOutcome,
    JobScript,
    Node,
    SimulatedCluster,
    UpdateState,
)

JSON = {"Accept": "application/json"}


async def read(client: Client, cluster: SimulatedCluster, path: str) -> Any:
    got = await client.ask(cluster, f"/api/cluster{path}", headers=JSON)
    assert got.status == 200
    return got.json


async def test_the_cluster_states_its_name_and_version(client: Client, cluster: SimulatedCluster) -> None:
    document = await read(client, cluster, "?fields=name,uuid,version")
    assert document == {
        "name": "ams-01",
        "uuid": cluster.uuid,
        "version": {
            "full": "NetApp Release 9.14.1P2: Sun Feb 04 19:00:00 UTC 2024",
            "generation": 9,
            "major": 14,
            "minor": 1,
        },
    }
    assert await read(client, cluster, "") == document
    assert (await read(client, cluster, "?fields=version.major"))["version"] == {"major": 14}


async def test_an_odd_version_has_its_text_alone(client: Client, cluster: SimulatedCluster) -> None:
    cluster.version = "Nightly"
    document = await read(client, cluster, "?fields=version")
    assert document["version"] == {"full": "NetApp Release Nightly: Sun Feb 04 19:00:00 UTC 2024"}


async def test_nodes_are_listed_page_by_page(client: Client, cluster: SimulatedCluster) -> None:
    pages = await client.pages(cluster, "/api/cluster/nodes?fields=name,state,version.minor&max_records=1")
    records = [record for page in pages for record in page.json["records"]]
    assert [record["name"] for record in records] == ["ams-01-01", "ams-01-02"]
    assert records[0]["version"] == {"minor": 1}
    assert records[0]["state"] == "up"
    assert set((await read(client, cluster, "/nodes"))["records"][0]) == {"uuid", "name"}


async def test_software_states_versions_and_update(client: Client, cluster: SimulatedCluster) -> None:
    path = "/software?fields=version,pending_version,state,nodes"
    nodes = [{"name": "ams-01-01", "version": "9.14.1P2"}, {"name": "ams-01-02", "version": "9.14.1P2"}]
    assert await read(client, cluster, path) == {"version": "9.14.1P2", "nodes": nodes}
    cluster.pending_version = "9.15.1"
    cluster.update_state = UpdateState.IN_PROGRESS
    cluster.node_key = "node"
    cluster.nodes = (Node("n1", "9.15.1"),)
    assert await read(client, cluster, path) == {
        "version": "9.14.1P2",
        "pending_version": "9.15.1",
        "state": "in_progress",
        "nodes": [{"node": "n1", "version": "9.15.1"}],
    }
    assert await read(client, cluster, "/software?fields=nodes.version") == {"nodes": [{"version": "9.15.1"}]}
    cluster.software_document = {}
    assert await read(client, cluster, path) == {}


async def test_a_download_takes_time_and_adds_a_package(client: Client, cluster: SimulatedCluster) -> None:
    assert await read(client, cluster, "/software/download") == {"state": "not_started"}
    cluster.hold_jobs()
    cluster.download_seconds = 0.0
    body = b'{"url": "http://server/images/9151P2_q_image.tgz"}'
    got = await client.ask(cluster, "/api/cluster/software/download", "POST", body=body)
    assert got.status == 202
    running = await read(client, cluster, "/software/download?fields=state,code")
    assert running == {"state": "running", "code": 10551382}
    again = await client.ask(cluster, "/api/cluster/software/download", "POST", body=body)
    assert again.error == (409, "10551367", None)
    cluster.release_jobs()
    assert (await read(client, cluster, "/software/download"))["state"] == "success"
    assert cluster.versions[-1] == "9.15.1P2"
    assert (await client.ask(cluster, f"{PACKAGES}/9.15.1P2")).json["create_time"].endswith("+00:00")
    assert (await client.job(cluster, got.json["job"]["uuid"])).json["state"] == "success"
    cluster.download_state = DownloadState.RUNNING
    assert (await read(client, cluster, "/software/download"))["state"] == "running"


@pytest.mark.parametrize(
    ("url", "version"),
    [
        ("http://server/991P20_q_image.tgz", "9.9.1P20"),
        ("http://server/9161RC1_image.tgz", "9.16.1RC1"),
        ("http://server/ontap-9.17.1P3.tgz", "9.17.1P3"),
        ("http://server/nightly", "nightly"),
    ],
)
async def test_a_download_is_named_by_its_file(
    client: Client, cluster: SimulatedCluster, url: str, version: str
) -> None:
    cluster.download_seconds = 0.0
    got = await client.ask(
        cluster,
        "/api/cluster/software/download?return_timeout=5",
        "POST",
        body=f'{{"url": "{url}"}}'.encode(),
    )
    assert got.status == 200
    assert cluster.versions[-1] == version


async def test_a_failed_download_adds_nothing(client: Client, cluster: SimulatedCluster) -> None:
    cluster.download_script = JobScript(outcome=JobOutcome.FAILURE, seconds=0.0)
    await client.ask(cluster, "/api/cluster/software/download", "POST", body=b'{"url": "http://a/9.15.1"}')
    assert (await read(client, cluster, "/software/download"))["state"] == "failure"
    assert len(cluster.versions) == 5


@pytest.mark.parametrize(("body", "code"), [(b"", "2"), (b'{"url": 7}', "2"), (b"[]", "2"), (b"{", "262199")])
async def test_a_download_needs_a_url(
    client: Client, cluster: SimulatedCluster, body: bytes, code: str
) -> None:
    got = await client.ask(cluster, "/api/cluster/software/download", "POST", body=body)
    assert got.error[:2] == (400, code)


@pytest.mark.parametrize("path", ["?fields=size", "/nodes?fields=size", "/software?fields=node"])
async def test_unknown_fields_are_refused(client: Client, cluster: SimulatedCluster, path: str) -> None:
    assert (await client.ask(cluster, f"/api/cluster{path}")).error == (400, "262197", "fields")


@pytest.mark.parametrize("path", ["", "/jobs/x", "/software", "/software/download?a=1"])
async def test_unknown_arguments_are_refused(client: Client, cluster: SimulatedCluster, path: str) -> None:
    joint = "&" if "?" in path else "?"
    got = await client.ask(cluster, f"/api/cluster{path}{joint}size=1")
    assert got.error[:2] in ((400, "262179"), (404, "4"))


@pytest.mark.parametrize("path", ["/", "/api", "/api/storage/volumes", f"{PACKAGES}/9.1/x"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_unknown_path_is_not_found(
    client: Client, cluster: SimulatedCluster, path: str, method: str
) -> None:
    assert (await client.ask(cluster, path, method)).error == (404, "3", None)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", PACKAGES),
        ("PATCH", f"{PACKAGES}/9.12.1"),
        ("DELETE", "/api/cluster/jobs/x"),
        ("DELETE", "/api/cluster"),
        ("PUT", "/api/cluster/software/download"),
    ],
)
async def test_a_wrong_method_is_not_allowed(
    client: Client, cluster: SimulatedCluster, method: str, path: str
) -> None:
    assert (await client.ask(cluster, path, method)).error == (405, "3", None)
