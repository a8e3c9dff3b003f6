"""Deleting packages on a simulated cluster, and the jobs that do it."""

import asyncio
from datetime import datetime, timedelta

import pytest

from exporter.simulator import (
    JobOutcome,
    JobScript,
    Node,
    SimulatedClock,
    SimulatedCluster,
    UpdateState,
)
from support.simulated_api import PACKAGES, Client


async def test_delete_is_answered_with_a_job_that_succeeds(client: Client, cluster: SimulatedCluster) -> None:
    got = await client.delete(cluster, "9.12.1", "?return_timeout=0")
    uuid = got.json["job"]["uuid"]
    assert got.status == 202
    assert got.json == {"job": {"uuid": uuid, "_links": {"self": {"href": f"/api/cluster/jobs/{uuid}"}}}}
    job = (await client.job(cluster, uuid)).json
    assert (job["state"], job["message"], job["code"]) == ("success", "success", 0)
    assert job["description"] == "DELETE /api/cluster/software/packages/9.12.1"
    assert job["node"] == {"name": "ams-01-01"}
    assert "error" not in job
    (deletion,) = cluster.deletions
    assert (deletion.version, deletion.job_uuid) == ("9.12.1", uuid)
    assert "9.12.1" not in cluster.versions


async def test_with_plain_json_the_job_has_no_link(client: Client, cluster: SimulatedCluster) -> None:
    got = await client.ask(cluster, f"{PACKAGES}/9.12.1", "DELETE", headers={"Accept": "application/json"})
    assert set(got.json["job"]) == {"uuid"}


async def test_a_held_job_runs_until_it_is_released(client: Client, cluster: SimulatedCluster) -> None:
    cluster.hold_jobs()
    uuid = (await client.delete(cluster, "9.12.1")).json["job"]["uuid"]
    assert (await client.job(cluster, uuid, "?fields=state")).json["state"] == "running"
    assert "9.12.1" in cluster.versions
    waiting = asyncio.create_task(cluster.wait_for_deletions())
    cluster.release_jobs()
    assert [deletion.version for deletion in await waiting] == ["9.12.1"]
    assert (await client.job(cluster, uuid, "?fields=state")).json["state"] == "success"


async def test_a_job_is_queued_then_runs_then_ends_then_vanishes(
    client: Client, cluster: SimulatedCluster
) -> None:
    clock = cluster.clock = cluster.jobs.clock = SimulatedClock(speed=0)
    cluster.job_seconds = 100.0
    uuid = (await client.delete(cluster, "9.12.1")).json["job"]["uuid"]
    states = []
    for step in (0.0, 50.0, 50.0, 299.0):
        clock.advance(step)
        states.append((await client.job(cluster, uuid, "?fields=state,start_time,end_time")).json)
    assert [job["state"] for job in states] == ["queued", "running", "success", "success"]
    assert ["end_time" in job for job in states] == [False, False, True, True]
    start, end = (datetime.fromisoformat(states[-1][name]) for name in ("start_time", "end_time"))
    assert end - start == timedelta(seconds=100)
    clock.advance(1)
    assert (await client.job(cluster, uuid)).error == (404, "4", "uuid")


async def test_delete_waits_for_its_job_as_long_as_return_timeout(
    client: Client, cluster: SimulatedCluster
) -> None:
    clock = SimulatedClock(speed=200)
    cluster.clock = cluster.jobs.clock = clock
    cluster.job_seconds = 5.0
    assert (await client.delete(cluster, "9.12.1", "?return_timeout=120")).status == 200
    assert clock.seconds() >= 5
    cluster.job_seconds = 600.0
    assert (await client.delete(cluster, "9.13.1", "?return_timeout=20")).status == 202
    assert clock.seconds() >= 25
    assert [deletion.version for deletion in cluster.deletions] == ["9.12.1"]


async def test_a_failed_job_states_its_error(client: Client, cluster: SimulatedCluster) -> None:
    cluster.job_scripts["9.12.1"] = JobScript(outcome=JobOutcome.FAILURE, code=10551892)
    got = await client.delete(cluster, "9.12.1", "?return_timeout=1")
    job = (await client.job(cluster, got.json["job"]["uuid"])).json
    message = "A node is not healthy. Restore it, then try again."
    assert got.status == 200
    assert (job["state"], job["code"], job["message"]) == ("failure", 10551892, message)
    assert job["error"] == {"message": message, "code": "10551892"}
    assert not cluster.deletions


async def test_an_old_release_states_a_failure_in_the_job_itself(
    client: Client, cluster: SimulatedCluster
) -> None:
    cluster.job_script = JobScript(outcome=JobOutcome.FAILURE, code=4, old_style=True)
    got = await client.delete(cluster, "9.12.1")
    job = (await client.job(cluster, got.json["job"]["uuid"], "?fields=state,message,code,error")).json
    assert (job["state"], job["message"], job["code"]) == ("failure", "entry doesn't exist", 4)
    assert "error" not in job


@pytest.mark.parametrize(
    ("version", "unknown"),
    [("9.6", {"error", "node"}), ("9.8P1", {"error", "node"}), ("9.9.1", {"node"}), ("9.11.1", set())],
)
async def test_a_release_refuses_the_fields_of_jobs_that_it_does_not_know(
    client: Client, cluster: SimulatedCluster, version: str, unknown: set[str]
) -> None:
    cluster.version = version
    cluster.job_script = JobScript(outcome=JobOutcome.FAILURE, code=4)
    uuid = (await client.delete(cluster, "9.12.1", "?return_timeout=1")).json["job"]["uuid"]
    for field in ("error", "node"):
        for got in (
            await client.job(cluster, uuid, f"?fields={field}"),
            await client.ask(cluster, f"/api/cluster/jobs?fields={field}"),
        ):
            assert (got.status == 400) == (field in unknown)
            assert got.status == 200 or got.error == (400, "262197", "fields")
    job = (await client.job(cluster, uuid)).json
    assert unknown.isdisjoint(job)
    assert (job["state"], job["message"], job["code"]) == ("failure", "entry doesn't exist", 4)


@pytest.mark.parametrize(
    ("script", "state", "deleted"),
    [
        (JobScript(outcome=JobOutcome.NEVER), "running", False),
        (JobScript(outcome=JobOutcome.NEVER, running_state="paused"), "paused", False),
        (JobScript(outcome=JobOutcome.FAILURE, code=10551388, takes_effect=True), "failure", True),
        (JobScript(takes_effect=False), "success", False),
    ],
)
async def test_jobs_go_as_their_script_says(
    client: Client, cluster: SimulatedCluster, script: JobScript, state: str, *, deleted: bool
) -> None:
    clock = cluster.clock = cluster.jobs.clock = SimulatedClock(speed=0)
    cluster.job_script = script
    got = await client.delete(cluster, "9.12.1")
    clock.advance(3000 if script.outcome is JobOutcome.NEVER else 0)
    assert (await client.job(cluster, got.json["job"]["uuid"])).json["state"] == state
    assert bool(cluster.deletions) is deleted


async def test_a_job_may_vanish_at_its_end(client: Client, cluster: SimulatedCluster) -> None:
    cluster.job_script = JobScript(retention_seconds=0.0)
    got = await client.delete(cluster, "9.12.1")
    assert (await client.job(cluster, got.json["job"]["uuid"])).error == (404, "4", "uuid")
    assert len(cluster.deletions) == 1


async def test_jobs_are_listed(client: Client, cluster: SimulatedCluster) -> None:
    cluster.hold_jobs()
    for version in ("9.12.1", "9.13.1"):
        await client.delete(cluster, version)
    got = await client.ask(cluster, "/api/cluster/jobs?fields=state,description")
    assert [(record["state"], record["description"]) for record in got.json["records"]] == [
        ("running", f"DELETE {PACKAGES}/9.12.1"),
        ("running", f"DELETE {PACKAGES}/9.13.1"),
    ]
    assert cluster.jobs.peak == 2


async def test_a_second_delete_is_refused_while_the_first_is_live(
    client: Client, cluster: SimulatedCluster
) -> None:
    cluster.hold_jobs()
    assert (await client.delete(cluster, "9.12.1")).status == 202
    assert (await client.delete(cluster, "9.12.1")).error == (409, "10551367", None)
    cluster.release_jobs()
    assert (await client.delete(cluster, "9.12.1")).error == (404, "10551325", "version")
    assert cluster.delete_attempts["9.12.1"] == 3
    assert len(cluster.deletions) == 1


async def test_a_version_in_use_is_refused(client: Client, cluster: SimulatedCluster) -> None:
    assert (await client.delete(cluster, "9.14.1P2")).error == (409, "8", "version")
    cluster.nodes = (Node("n1", "9.13.1"),)
    assert (await client.delete(cluster, "9.13.1")).error == (409, "8", "version")
    assert not cluster.deletions


async def test_an_update_refuses_deletions_unless_the_release_is_a_new_one(
    client: Client, cluster: SimulatedCluster
) -> None:
    cluster.update_state = UpdateState.PAUSED_ON_ERROR
    assert (await client.delete(cluster, "9.12.1")).error == (409, "10551347", None)
    cluster.refuses_during_update = False
    assert (await client.delete(cluster, "9.12.1")).status == 202
    cluster.refuses_during_update = True
    cluster.update_state = UpdateState.COMPLETED
    assert (await client.delete(cluster, "9.13.1")).status == 202


async def test_an_empty_repository_says_so(client: Client, cluster: SimulatedCluster) -> None:
    for version in cluster.versions:
        assert cluster.remove_package(str(version))
    assert (await client.delete(cluster, "9.12.1")).error == (404, "10551315", "version")
    assert not cluster.remove_package("9.12.1")


@pytest.mark.parametrize("body", [b"", b"{}", b" {} \n"])
async def test_an_empty_body_is_taken(client: Client, cluster: SimulatedCluster, body: bytes) -> None:
    got = await client.ask(cluster, f"{PACKAGES}/9.12.1", "DELETE", body=body)
    assert got.status == 202
    assert cluster.requests[0].body == body


@pytest.mark.parametrize("body", [b'{"version": "9.12.1"}', b"[]", b"text", b"\xff"])
async def test_any_other_body_is_refused(client: Client, cluster: SimulatedCluster, body: bytes) -> None:
    got = await client.ask(cluster, f"{PACKAGES}/9.12.1", "DELETE", body=body)
    assert got.error == (400, "262198", None)


@pytest.mark.parametrize(
    ("query", "code", "target"),
    [("return_timeout=121", "262197", "return_timeout"), ("force=true", "262179", "force")],
)
async def test_bad_parameters_of_delete_are_refused(
    client: Client, cluster: SimulatedCluster, query: str, code: str, target: str
) -> None:
    assert (await client.delete(cluster, "9.12.1", f"?{query}")).error == (400, code, target)


async def test_a_delete_on_the_collection_deletes_every_match(
    client: Client, cluster: SimulatedCluster
) -> None:
    got = await client.ask(cluster, f"{PACKAGES}?version=9.13*", "DELETE")
    assert got.status == 202
    assert len(got.json["jobs"]) == 2
    assert [one.version for one in cluster.deletions] == ["9.13.1", "9.13.1P4"]
    assert cluster.collection_deletes == 1


@pytest.mark.parametrize("path", [PACKAGES, f"{PACKAGES}/", f"{PACKAGES}/.", f"{PACKAGES}/9.12.1/%2E%2E"])
async def test_dots_and_a_missing_segment_reach_the_collection(
    client: Client, cluster: SimulatedCluster, path: str
) -> None:
    got = await client.ask(cluster, path, "DELETE")
    assert got.status == 202
    assert cluster.versions == ()
    assert cluster.requests[0].path == path
