"""What a simulated cluster states of itself."""

from typing import Any

import pytest

from exporter.simulator import (
    DownloadState,
    Node,
    SimulatedCluster,
    UpdateState,
)
from support.simulated_api import PACKAGES, Client

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
    assert set(await read(client, cluster, "?fields=name")) == {"name", "uuid"}


async def test_an_odd_version_has_its_text_alone(client: Client, cluster: SimulatedCluster) -> None:
    cluster.version = "Nightly"
    document = await read(client, cluster, "?fields=version")
    assert document["version"] == {"full": "NetApp Release Nightly: Sun Feb 04 19:00:00 UTC 2024"}


async def test_nodes_are_listed_page_by_page(client: Client, cluster: SimulatedCluster) -> None:
    pages = await client.pages(cluster, "/api/cluster/nodes?fields=name,state,version&max_records=1")
    records = [record for page in pages for record in page.json["records"]]
    assert [record["name"] for record in records] == ["ams-01-01", "ams-01-02"]
    assert records[0]["version"]["minor"] == 1
    assert records[0]["state"] == "up"
    assert set((await read(client, cluster, "/nodes"))["records"][0]) == {"uuid", "name"}


async def test_software_states_versions_and_update(client: Client, cluster: SimulatedCluster) -> None:
    path = "/software?fields=version,pending_version,state,nodes"
    nodes = [{"name": "ams-01-01", "version": "9.14.1P2"}, {"name": "ams-01-02", "version": "9.14.1P2"}]
    assert await read(client, cluster, path) == {"version": "9.14.1P2", "nodes": nodes}
    cluster.pending_version = "9.15.1"
    cluster.update_state = UpdateState.IN_PROGRESS
    cluster.nodes = (Node("n1", "9.15.1"),)
    assert await read(client, cluster, path) == {
        "version": "9.14.1P2",
        "pending_version": "9.15.1",
        "state": "in_progress",
        "nodes": [{"name": "n1", "version": "9.15.1"}],
    }
    assert set(await read(client, cluster, "/software?fields=nodes")) == {"nodes"}
    cluster.software_document = {}
    assert await read(client, cluster, path) == {}


async def test_a_node_that_is_down_names_no_version(client: Client, cluster: SimulatedCluster) -> None:
    cluster.nodes = (Node("n1", "9.14.1P2"), Node("n2", "9.13.1", state="down"))
    nodes = (await read(client, cluster, "/nodes?fields=state,version"))["records"]
    assert [(node["state"], "version" in node) for node in nodes] == [("up", True), ("down", False)]
    software = await read(client, cluster, "/software?fields=nodes")
    assert software["nodes"] == [{"name": "n1", "version": "9.14.1P2"}]


async def test_the_first_release_knows_neither_the_state_of_nodes_nor_of_a_download(
    client: Client, cluster: SimulatedCluster
) -> None:
    for version, status in (("9.6", 400), ("9.7", 200)):
        cluster.version = version
        assert (await client.ask(cluster, "/api/cluster/nodes?fields=state")).status == status
    assert await read(client, cluster, "/software/download") == {"state": "not_started"}
    cluster.version = "9.6P1"
    assert (await client.ask(cluster, "/api/cluster/software/download")).error == (404, "3", None)


async def test_the_download_states_how_far_it_is(client: Client, cluster: SimulatedCluster) -> None:
    assert await read(client, cluster, "/software/download") == {"state": "not_started"}
    cluster.download_state = DownloadState.RUNNING
    running = await read(client, cluster, "/software/download?fields=state,code")
    assert running == {"state": "running"}
    cluster.download_code = 10551382
    running = await read(client, cluster, "/software/download?fields=state,code")
    assert running == {"state": "running", "code": 10551382}


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
