"""``/api/v1/cleanup`` has everything: policies, next and last runs, with every verdict and outcome."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from exporter.simulator import Fault, FaultKind, JobOutcome, JobScript, Package, SimulatedCluster, Simulator
from exporter.simulator.exporter_configuration import exporter_config, write_secret
from support.daemon_process import Daemon, program
from support.journal.journal_steps import opened
from support.waiting import eventually

NOW = datetime.now(UTC)
LISTEN = "--web.listen-address=127.0.0.1:0"
CLEANUP = """
cleanup:
  state: sqlite:///state.db
  policies:
    - name: retire-old
      every: 24h
      older_than: 90d
      exclude: ["9.11*"]
      max_deletes_per_run: 3
      retry_busy_for: 0s
      dry_run: false
      seen_for: 0s
    - name: keep-two
      clusters: {names: [c1]}
      schedule: "0 3 * * sat"
      timezone: Europe/Amsterdam
      keep_newest: 2
"""


def dirty_cluster() -> SimulatedCluster:
    ages = {
        "9.9.1": 600,
        "9.10.1": 500,
        "9.10.1P4": 450,
        "9.11.1": 400,
        "9.12.1": 300,
        "9.14.1P2": 200,
        "9.15.1": 5,
    }
    cluster = SimulatedCluster(
        "c1",
        packages=[Package(version, NOW - timedelta(days=days)) for version, days in ages.items()],
        job_seconds=0.05,
    )
    path = "/api/cluster/software/packages/9.10.1"
    cluster.faults.add(Fault(FaultKind.DELETE_ERROR, path=path, exact=True, code=10551367))
    cluster.job_scripts["9.10.1P4"] = JobScript(outcome=JobOutcome.FAILURE, code=10551892)
    return cluster


async def account(daemon: Daemon) -> dict[str, Any]:
    status, text = await daemon.get("/api/v1/cleanup")
    assert status == 200
    document = json.loads(text)
    assert isinstance(document, dict)
    return document


async def account_after_a_run(daemon: Daemon) -> dict[str, Any]:
    """Wait until a run is over and its totals are shown, with the next run a day after its start."""

    async def planned() -> dict[str, Any] | None:
        document = await account(daemon)
        policy = document["clusters"][0]
        if policy["last_run_timestamp_seconds"] is None or not document["runs"]:
            return None
        due = document["runs"][0]["started_timestamp_seconds"] + 86_400
        return document if policy["next_run_timestamp_seconds"] == pytest.approx(due, rel=0, abs=1) else None

    document = await eventually(planned, seconds=20, what="a run")
    assert document is not None
    return document


async def test_the_report_has_policies_next_runs_and_every_verdict_and_outcome(tmp_path: Path) -> None:
    begun = time.time()
    async with Simulator([dirty_cluster()], directory=tmp_path) as simulator:
        config = tmp_path / "config.yaml"
        write_secret(config, exporter_config(simulator, extra=CLEANUP))
        async with program("run", f"--config.file={config}", LISTEN) as daemon:
            document = await account_after_a_run(daemon)
    now = time.time()
    assert (document["configured"], document["halted"], document["problem"]) == (True, False, "")
    assert document["policies"] == [
        {
            "policy": "retire-old",
            "schedule": None,
            "timezone": None,
            "every": "1d",
            "keep_newest": None,
            "older_than": "90d",
            "include": ["*"],
            "exclude": ["9.11*"],
            "seen_for": "0s",
            "start_within": "1h",
            "stop_after_failures": 3,
            "approved_plan": None,
            "max_deletes_per_run": 3,
            "dry_run": False,
        },
        {
            "policy": "keep-two",
            "schedule": "0 3 * * sat",
            "timezone": "Europe/Amsterdam",
            "every": None,
            "keep_newest": 2,
            "older_than": None,
            "include": ["*"],
            "exclude": [],
            "seen_for": "1w",
            "start_within": "1h",
            "stop_after_failures": 3,
            "approved_plan": None,
            "max_deletes_per_run": 5,
            "dry_run": True,
        },
    ]
    old, two = document["clusters"]
    assert (old["cluster"], old["policy"], old["dry_run"], old["candidates"]) == (
        "c1",
        "retire-old",
        False,
        3,
    )
    assert {name: count for name, count in old["outcomes"].items() if count} == {
        "success": 1,
        "busy": 1,
        "failure": 1,
    }
    assert len(old["outcomes"]) == 7
    assert old["error_codes"] == {"10551367": 1, "10551892": 1}
    assert (old["jobs_in_progress"], old["last_run_success"], old["skipped_runs"]) == (0, False, 0)
    assert old["last_success_timestamp_seconds"] is None
    assert begun < old["last_run_timestamp_seconds"] < now
    assert (two["policy"], two["dry_run"], two["candidates"], two["last_run_success"]) == (
        "keep-two",
        True,
        None,
        None,
    )
    saturday = datetime.fromtimestamp(two["next_run_timestamp_seconds"], tz=UTC)
    assert now < two["next_run_timestamp_seconds"] < now + 8 * 86_400
    assert (saturday.strftime("%a"), saturday.minute, saturday.hour in {1, 2}) == ("Sat", 0, True)

    (run,) = document["runs"]
    assert (run["cluster"], run["policy"], run["dry_run"]) == ("c1", "retire-old", False)
    assert (run["success"], run["error"]) == (False, "the deletion of 9.10.1 ended as busy")
    assert begun < run["started_timestamp_seconds"] <= run["ended_timestamp_seconds"] < now
    verdicts = {one["version"]: (one["verdict"], one["reason"]) for one in run["plan"]}
    assert verdicts == {
        "9.9.1": ("delete", "retired"),
        "9.10.1": ("delete", "retired"),
        "9.10.1P4": ("delete", "retired"),
        "9.11.1": ("keep", "excluded"),
        "9.12.1": ("keep", "over_limit"),
        "9.14.1P2": ("keep", "in_use"),
        "9.15.1": ("keep", "too_young"),
    }
    assert all(one["detail"] and one["age_seconds"] > 86_400 for one in run["plan"])
    outcomes = [(one["version"], one["outcome"], one["code"], one["phase"]) for one in run["deletions"]]
    assert outcomes == [
        ("9.9.1", "success", "", "ended"),
        ("9.10.1", "busy", "10551367", "ended"),
        ("9.10.1P4", "failure", "10551892", "ended"),
    ]
    (done,) = simulator["c1"].deletions
    assert (done.version, done.job_uuid) == ("9.9.1", run["deletions"][0]["job"])
    for one in run["deletions"]:
        assert one["attempts"] >= 1
        assert one["intended_timestamp_seconds"] <= one["ended_timestamp_seconds"]
        assert one["message"]


async def test_a_run_that_goes_on_is_shown_with_its_deletion(tmp_path: Path) -> None:
    cluster = dirty_cluster()
    cluster.hold_jobs()
    async with Simulator([cluster], directory=tmp_path) as simulator:
        config = tmp_path / "config.yaml"
        write_secret(config, exporter_config(simulator, extra=CLEANUP))
        async with program("run", f"--config.file={config}", LISTEN) as daemon:

            async def followed() -> dict[str, Any] | None:
                document = await account(daemon)
                phases = [one["phase"] for run in document["runs"] for one in run["deletions"]]
                return document if phases == ["followed"] else None

            document = await eventually(followed, seconds=20, what="a job to be followed")
            assert document is not None
            (run,) = document["runs"]
            assert (run["ended_timestamp_seconds"], run["success"]) == (None, None)
            assert (run["deletions"][0]["outcome"], run["deletions"][0]["ended_timestamp_seconds"]) == (
                None,
                None,
            )
            assert document["clusters"][0]["jobs_in_progress"] == 1


async def test_a_journal_that_another_process_holds_is_reported_while_polls_go_on(tmp_path: Path) -> None:
    async with (
        Simulator([dirty_cluster()], directory=tmp_path) as simulator,
        opened(f"sqlite:///{tmp_path}/state.db"),
    ):
        config = tmp_path / "config.yaml"
        write_secret(config, exporter_config(simulator, extra=CLEANUP))
        async with program("run", f"--config.file={config}", LISTEN) as daemon:
            await daemon.until_ready()

            async def shown() -> bool:
                return "holds it" in (await account(daemon))["problem"]

            await eventually(shown, seconds=20, what="the problem on the page")
            document = await account(daemon)
            assert (document["runs"], len(document["clusters"])) == ([], 2)
            metrics = (await daemon.get("/metrics"))[1].splitlines()
            assert {'ontap_up{cluster="c1"} 1.0', "ontap_cleanup_journal_open 0.0"} <= set(metrics)
            assert simulator["c1"].requests_to(method="DELETE") == ()
            assert await daemon.stop() == 0


async def test_a_policy_that_is_paused_is_shown_with_the_reason(tmp_path: Path) -> None:
    begun = time.time()
    cleanup = CLEANUP.replace("retry_busy_for: 0s", "retry_busy_for: 0s\n      stop_after_failures: 1")
    async with Simulator([dirty_cluster()], directory=tmp_path) as simulator:
        config = tmp_path / "config.yaml"
        write_secret(config, exporter_config(simulator, extra=cleanup))
        async with program("run", f"--config.file={config}", LISTEN) as daemon:

            async def paused() -> list[dict[str, Any]]:
                return list((await account(daemon))["paused"])

            found = await eventually(paused, seconds=20, what="the policy to be paused")
    assert found is not None
    (pause,) = found
    assert pause["policy"] == "retire-old"
    assert begun < pause["since_timestamp_seconds"] < time.time()
    assert pause["reason"].startswith(
        "1 deletions in a row ended as failure or timeout; the last one, of 9.10.1P4"
    )


PAGES = """
cleanup:
  state: sqlite:///state.db
  policies:
    - {name: a, every: 52w, keep_newest: 1}
    - {name: b, every: 52w, keep_newest: 1}
"""
RUNS = 23


async def fill(tmp_path: Path, *, plan: str = "[]", runs: int = RUNS) -> list[int]:
    """Make a journal as an earlier life of the program has left it: a run on each of many clusters."""
    async with opened(f"sqlite:///{tmp_path}/state.db") as journal:
        leases = await journal.leases.acquire([f"uuid-{number:03}" for number in range(runs)])
        run_ids = []
        for number, lease in enumerate(leases.values()):
            run_id = await journal.runs.begin(
                lease, cluster=f"old-{number}", policy="a", dry_run=False, plan=plan, candidates=0, now=1.0
            )
            await journal.runs.end(
                lease, run_id, success=False, failure="unreadable", error="no listing", now=2.0
            )
            run_ids.append(run_id)
    return run_ids


@asynccontextmanager
async def paging(tmp_path: Path, *clusters: str) -> AsyncIterator[Daemon]:
    """Run a daemon over clusters that are never polled well, so that it makes no run of its own."""
    faults = [Fault(FaultKind.UNAVAILABLE)]
    simulated = [SimulatedCluster(name, faults=faults) for name in clusters]
    async with Simulator(simulated, directory=tmp_path) as simulator:
        config = tmp_path / "config.yaml"
        write_secret(config, exporter_config(simulator, extra=PAGES))
        async with program("run", f"--config.file={config}", LISTEN) as daemon:

            async def journal_is_open() -> bool:
                return bool((await account(daemon))["problem"] == "")

            await eventually(journal_is_open, seconds=20, what="the journal to be open")
            yield daemon


async def pages(daemon: Daemon, query: str) -> list[dict[str, Any]]:
    """Follow the links from a page to the last one."""
    found = []
    link: str | None = query
    while link is not None:
        status, text = await daemon.get(f"/api/v1/cleanup{link}")
        assert status == 200
        found.append(json.loads(text))
        link = found[-1]["next"]
        assert len(found) < 100
    return found


async def test_following_next_shows_every_run_and_every_cluster_once(tmp_path: Path) -> None:
    run_ids = await fill(tmp_path)
    async with paging(tmp_path, "c1", "c2", "c3", "c4", "c5") as daemon:
        whole = await account(daemon)
        assert whole["next"] is None
        assert [run["id"] for run in whole["runs"]] == run_ids[::-1]
        assert (whole["runs"][0]["failure"], whole["runs"][0]["error"]) == ("unreadable", "no listing")
        for limit in (1, 2, 5, 22, 23, 24):
            found = await pages(daemon, f"?limit={limit}")
            assert [run for page in found for run in page["runs"]] == whole["runs"]
            assert [one for page in found for one in page["clusters"]] == whole["clusters"]
            for page in found:
                assert len(page["runs"]) <= limit
                assert len({one["cluster"] for one in page["clusters"]}) <= limit
                assert page["policies"] == whole["policies"]


async def test_clusters_can_be_chosen_by_name(tmp_path: Path) -> None:
    run_ids = await fill(tmp_path)
    async with paging(tmp_path, "c1", "c2", "c3") as daemon:
        (page,) = await pages(daemon, "?cluster=c2")
        assert [(one["cluster"], one["policy"]) for one in page["clusters"]] == [("c2", "a"), ("c2", "b")]
        assert page["runs"] == []
        (page,) = await pages(daemon, "?cluster=old-3&cluster=c1")
        assert {one["cluster"] for one in page["clusters"]} == {"c1"}
        assert [run["id"] for run in page["runs"]] == [run_ids[3]]
        found = await pages(daemon, "?cluster=old-3&cluster=old-9&limit=1")
        assert [run["id"] for page in found for run in page["runs"]] == [run_ids[9], run_ids[3]]
        (page,) = await pages(daemon, "?cluster=nobody")
        assert (page["clusters"], page["runs"], page["next"]) == ([], [], None)


NUMBER = "a whole number from 0 to 9223372036854775807 is expected\n"
LIMIT = "limit: a whole number from 1 to 1000 is expected\n"
REFUSED = {
    "limit=0": LIMIT,
    "limit=1001": LIMIT,
    "limit=ten": LIMIT,
    "limit=": LIMIT,
    "limit=1e2": LIMIT,
    "limit=%D9%A1": LIMIT,
    "limit=1&limit=2": "limit: given more than once\n",
    "before=-1": f"before: {NUMBER}",
    "before=9223372036854775808": f"before: {NUMBER}",
    "after=nobody": "after: no policy applies to a cluster 'nobody'; begin again without it\n",
}


async def test_a_page_that_cannot_be_is_refused_with_the_reason(tmp_path: Path) -> None:
    async with paging(tmp_path, "c1") as daemon:
        for query, text in REFUSED.items():
            assert await daemon.get(f"/api/v1/cleanup?{query}") == (400, text)


async def test_long_plans_make_more_pages_not_longer_ones(tmp_path: Path) -> None:
    run_ids = await fill(tmp_path, plan=json.dumps(["x" * 990_000]), runs=60)
    async with paging(tmp_path, "c1") as daemon:
        found = await pages(daemon, "?limit=1000")
        assert [run["id"] for page in found for run in page["runs"]] == run_ids[::-1]
        assert max(len(page["runs"]) for page in found) <= 10


async def test_a_run_is_shown_by_its_id(tmp_path: Path) -> None:
    run_ids = await fill(tmp_path)
    async with paging(tmp_path, "c1") as daemon:
        status, text = await daemon.get(f"/api/v1/cleanup/runs/{run_ids[4]}")
        assert (status, json.loads(text)) == (200, (await account(daemon))["runs"][-5])
        assert await daemon.get("/api/v1/cleanup/runs/99999") == (404, "The journal has no run 99999.\n")
        assert (await daemon.get("/api/v1/cleanup/runs/first"))[0] == 400
