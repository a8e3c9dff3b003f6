"""The control of a simulator over HTTP."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from exporter.simulator import FaultKind, SimulatedCluster, Simulator
from exporter.simulator.control_interface import control_served
from support.simulated_api import PACKAGES, Client


class Control:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else None
        sent = None if data is not None else body
        async with self.session.request(method, path, json=sent, data=data) as response:
            return response.status, await response.json()

    async def ok(self, method: str, path: str, body: object = None) -> Any:
        status, document = await self.ask(method, path, body)
        assert status in (200, 201), document
        return document


@pytest.fixture
async def control(simulator: Simulator) -> AsyncIterator[Control]:
    async with control_served(simulator) as url, aiohttp.ClientSession(url) as session:
        yield Control(session)


async def test_clusters_are_listed(control: Control, cluster: SimulatedCluster) -> None:
    (summary,) = (await control.ok("GET", "/clusters"))["clusters"]
    assert summary == await control.ok("GET", "/clusters/ams-01")
    assert summary["name"] == "ams-01"
    assert summary["address"] == cluster.address
    assert summary["listens"] is True
    assert summary["version"] == "9.14.1P2"
    assert len(summary["packages"]) == 5
    assert (summary["faults"], summary["requests"], summary["deletions"]) == (0, 0, 0)


async def test_faults_come_and_go(control: Control, cluster: SimulatedCluster, client: Client) -> None:
    sent = {
        "kind": "unavailable",
        "path": PACKAGES,
        "method": "GET",
        "page": 1,
        "times": 3,
        "skip": 0,
        "retry_after": 30,
        "seconds": 0.5,
        "status": 503,
        "code": 7,
        "message": "later",
        "location": "/x",
        "body": "b",
        "content_type": "c",
    }
    added = await control.ok("POST", "/clusters/ams-01/faults", sent)
    assert added == {name: value for name, value in sent.items() if name != "skip"}
    got = await client.ask(cluster, PACKAGES)
    assert (got.error, got.headers["Retry-After"]) == ((503, "7", None), "30")
    assert (await control.ok("GET", "/clusters/ams-01/faults"))["faults"] == [{**added, "struck": 1}]
    await control.ok("DELETE", "/clusters/ams-01/faults")
    assert cluster.faults.active == ()


@pytest.mark.parametrize("kind", FaultKind)
async def test_every_kind_of_fault_can_be_added(
    control: Control, cluster: SimulatedCluster, kind: str
) -> None:
    await control.ok("POST", "/clusters/ams-01/faults", {"kind": kind, "times": 0})
    assert [fault.kind for fault in cluster.faults.active] == [kind]


@pytest.mark.parametrize(
    ("request_line", "body", "error"),
    [
        ("POST faults", {}, "kind: field required"),
        ("POST faults", {"kind": "explosion"}, "kind: input should be 'latency', 'hang', "),
        ("POST faults", {"kind": "latency", "second": 1}, "second: unknown key"),
        ("POST faults", {"kind": "latency", "seconds": "1"}, "seconds: input should be a valid number"),
        ("POST faults", {"kind": "latency", "seconds": True}, "seconds: input should be a valid number"),
        ("POST faults", {"kind": "latency", "seconds": -1}, "seconds: input should be greater than or equal"),
        ("POST faults", {"kind": "latency", "times": 1.5}, "times: input should be a valid integer"),
        ("POST faults", {"kind": "latency", "page": 0}, "page: input should be greater than or equal to 1"),
        (
            "POST faults",
            {"kind": "error", "status": 99},
            "status: input should be greater than or equal",
        ),
        ("POST faults", {"kind": "error", "message": 5}, "message: input should be a valid string"),
        ("POST faults", {"kind": "error", "retry_after": []}, "retry_after: input should be a valid "),
        ("POST faults", [], "input should be an object"),
        ("POST faults", b"{", "invalid JSON: "),
        ("POST packages", {}, "version: field required"),
        ("POST packages", {"version": 9}, "version: input should be a valid string"),
        ("POST packages", {"version": "9.1", "a": 1, "b": 2}, "a: unknown key; b: unknown key"),
        ("PATCH", {"update_state": "done"}, "update_state: input should be 'in_progress', "),
        ("PATCH", {"download_state": None}, "download_state: input should be 'not_started', "),
        ("PATCH", {"reachable": 1}, "reachable: input should be a valid boolean"),
        ("PATCH", {"name": "x"}, "name: unknown key"),
    ],
)
async def test_a_mistake_is_answered_with_its_key(
    control: Control, cluster: SimulatedCluster, request_line: str, body: object, error: str
) -> None:
    method, _, path = request_line.partition(" ")
    status, document = await control.ask(method, f"/clusters/ams-01/{path}".rstrip("/"), body)
    assert (status, document["error"].startswith(error)) == (400, True)
    assert cluster.faults.active == ()
    assert len(cluster.packages) == 5


async def test_packages_come_and_go(control: Control, cluster: SimulatedCluster) -> None:
    added = await control.ok("POST", "/clusters/ams-01/packages", {"version": "9.16.1"})
    assert added["create_time"].endswith("+00:00")
    await control.ok("POST", "/clusters/ams-01/packages", {"version": None, "create_time": None})
    await control.ok("DELETE", "/clusters/ams-01/packages/9.12.1")
    assert cluster.versions == ("9.13.1", "9.13.1P4", "9.14.1", "9.14.1P2", "9.16.1", None)
    assert await control.ask("DELETE", "/clusters/ams-01/packages/9.12.1") == (
        404,
        {"error": "there is no package '9.12.1' on ams-01"},
    )


async def test_a_cluster_is_changed(control: Control, cluster: SimulatedCluster) -> None:
    changes = {
        "version": "9.15.1",
        "pending_version": "9.16.1",
        "update_state": "waiting",
        "download_state": "running",
        "job_seconds": 5,
        "record_seconds": 0.5,
        "num_records": False,
        "password": "another",
    }
    summary = await control.ok("PATCH", "/clusters/ams-01", changes)
    assert (summary["version"], summary["pending_version"]) == ("9.15.1", "9.16.1")
    assert (summary["update_state"], summary["download_state"]) == ("waiting", "running")
    assert {node.version for node in cluster.nodes} == {"9.15.1"}
    assert (cluster.job_seconds, cluster.record_seconds, cluster.num_records) == (5.0, 0.5, False)
    assert cluster.password == "another"
    await control.ok("PATCH", "/clusters/ams-01", {"update_state": None, "pending_version": None})
    assert (cluster.update_state, cluster.pending_version) == (None, None)


async def test_a_cluster_is_taken_down_and_up(
    control: Control, cluster: SimulatedCluster, client: Client
) -> None:
    assert (await control.ok("PATCH", "/clusters/ams-01", {"reachable": False}))["listens"] is False
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.ask(cluster, "/api/cluster")
    assert (await control.ok("PATCH", "/clusters/ams-01", {"reachable": True}))["listens"] is True
    assert (await client.ask(cluster, "/api/cluster")).status == 200


async def test_an_unknown_path_is_not_found(control: Control) -> None:
    assert await control.ask("GET", "/clusters/x") == (404, {"error": "there is no cluster 'x'"})
    assert await control.ask("GET", "/x") == (404, {"error": "Not Found"})
    assert await control.ask("PUT", "/clusters") == (405, {"error": "Method Not Allowed"})
