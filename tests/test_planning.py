"""``plan`` prints what every policy would do, with the same function as a run, and changes nothing."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from exporter.simulator import ABSENT, Fault, FaultKind, Package, SimulatedCluster, Simulator, UpdateState
from support.daemon_process import program
from support.journal.journal_steps import opened
from support.plans import Done
from support.plans import plan as plan_by
from support.waiting import eventually

NOW = datetime.now(UTC)
CLEANUP = """
cleanup:
  state: {state}
  policies:
    - name: retire-old
      clusters: {{names: ["c*"]}}
      every: 24h
      older_than: 90d
      exclude: ["9.11*"]
      max_deletes_per_run: 2
      dry_run: {dry_run}
      seen_for: 0s
    - name: keep-two
      clusters: {{names: ["c1"]}}
      schedule: "0 3 * * sat"
      keep_newest: 2
      seen_for: 0s
"""
VERDICTS = {
    "9.9.1": ("delete", "retired", "older than 90 d"),
    "9.10.1": ("delete", "retired", "older than 90 d"),
    "9.11.1P8": ("keep", "excluded", "excluded by 9.11*"),
    "9.12.1": ("keep", "over_limit", "its turn comes later: max_deletes_per_run is 2"),
    "9.13.1": ("keep", "age_unknown", "create_time is missing or unreadable"),
    "9.14.1P2": ("keep", "in_use", "named by the cluster"),
    "9.15.1": ("keep", "too_young", "not older than 90 d"),
    "9.16.1/x": ("keep", "unsafe_name", "the version is not safe in a URL"),
}
"""By ``retire-old``, of every package of a cluster, in the order of a plan."""


def days_old(version: str, days: int) -> Package:
    return Package(version, NOW - timedelta(days=days, hours=1))


def cluster_named(name: str) -> SimulatedCluster:
    return SimulatedCluster(
        name,
        packages=[
            days_old("9.15.1", 3),
            days_old("9.12.1", 300),
            days_old("9.9.1", 500),
            days_old("9.16.1/x", 500),
            days_old("9.10.1", 400),
            days_old("9.11.1P8", 350),
            days_old("9.14.1P2", 250),
            Package("9.13.1", ABSENT),
        ],
    )


async def plan(simulator: Simulator, directory: Path, *arguments: str, cleanup: str | None = None) -> Done:
    """Plan by the policies above, or others."""
    ours = CLEANUP.format(state=f"sqlite:///{directory}/state.db", dry_run="false")
    return await plan_by(simulator, directory, *arguments, cleanup=ours if cleanup is None else cleanup)


def assert_untouched(simulator: Simulator, directory: Path) -> None:
    for cluster in simulator.clusters:
        assert {request.method for request in cluster.requests} <= {"GET"}
        assert cluster.deletions == ()
    assert not list(directory.glob("state.db*"))


def by_policy(document: Any, cluster: str, policy: str) -> dict[str, Any]:
    (found,) = [one for one in document["plans"] if (one["cluster"], one["policy"]) == (cluster, policy)]
    assert isinstance(found, dict)
    return found


async def test_the_plan_as_json_has_a_verdict_and_a_reason_for_every_package(tmp_path: Path) -> None:
    async with Simulator([cluster_named("c1"), cluster_named("c2")], directory=tmp_path) as simulator:
        done = await plan(simulator, tmp_path, "--output=json")
        assert (done.returncode, done.stderr) == (0, "")
        document = json.loads(done.stdout)
        order = [(one["cluster"], one["policy"]) for one in document["plans"]]
        assert order == [("c1", "retire-old"), ("c1", "keep-two"), ("c2", "retire-old")]
        old = by_policy(document, "c1", "retire-old")
        assert (old["dry_run"], old["problem"]) == (False, "")
        verdicts = {one["version"]: (one["verdict"], one["reason"], one["detail"]) for one in old["packages"]}
        assert verdicts == VERDICTS
        assert [one["version"] for one in old["packages"]][:2] == ["9.9.1", "9.10.1"]
        ages = {one["version"]: one["age_seconds"] for one in old["packages"]}
        assert ages["9.9.1"] == pytest.approx(500 * 86_400 + 3600, abs=1800)
        assert ages["9.13.1"] is None
        two = by_policy(document, "c1", "keep-two")
        assert two["dry_run"] is True
        reasons = {one["version"]: one["reason"] for one in two["packages"]}
        assert (reasons["9.15.1"], reasons["9.14.1P2"], reasons["9.13.1"]) == (
            "among_newest",
            "in_use",
            "retired",
        )
        assert_untouched(simulator, tmp_path)


async def test_the_plan_as_a_table_has_a_line_for_every_package(tmp_path: Path) -> None:
    async with Simulator([cluster_named("c1")], directory=tmp_path) as simulator:
        done = await plan(simulator, tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        heading, *lines = done.stdout.splitlines()
        assert heading.split() == ["CLUSTER", "POLICY", "VERSION", "AGE", "VERDICT", "REASON"]
        columns = [heading.index(word) for word in heading.split()]
        cells = [
            tuple(line[begin:end].strip() for begin, end in zip(columns, [*columns[1:], None], strict=True))
            for line in lines
        ]
        ages = {"9.9.1": "500 d", "9.10.1": "400 d", "9.11.1P8": "350 d", "9.12.1": "300 d"}
        ages |= {"9.13.1": "unknown", "9.14.1P2": "250 d", "9.15.1": "3 d", "9.16.1/x": "500 d"}
        expected = {
            ("c1", "retire-old", version, ages[version], verdict, detail)
            for version, (verdict, _, detail) in VERDICTS.items()
        }
        assert {row for row in cells if row[1] == "retire-old"} == expected
        assert [row[4] for row in cells[:2]] == ["delete", "delete"]
        assert len([row for row in cells if row[1] == "keep-two (dry run)"]) == len(VERDICTS)
        assert not any(line != line.rstrip() for line in done.stdout.splitlines())
        assert_untouched(simulator, tmp_path)


async def test_an_empty_repository_is_a_line_of_its_own(tmp_path: Path) -> None:
    async with Simulator([SimulatedCluster("c2")], directory=tmp_path) as simulator:
        done = await plan(simulator, tmp_path)
        assert done.returncode == 0
        command = [sys.executable, "-m", "exporter", "plan", f"--config.file={tmp_path / 'config.yaml'}"]
        process = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
        assert (process.stdout, process.stderr) == (done.stdout, done.stderr)
        assert done.stdout.splitlines()[1].split(maxsplit=5)[2:] == ["-", "-", "-", "the repository is empty"]


async def test_a_version_that_would_move_the_cursor_is_written_as_text(tmp_path: Path) -> None:
    cluster = SimulatedCluster("c2", packages=[days_old("9.1\x1b[2J\n9.2", 500)])
    async with Simulator([cluster], directory=tmp_path) as simulator:
        done = await plan(simulator, tmp_path)
        assert done.returncode == 0
        assert r"9.1\x1b[2J\n9.2" in done.stdout
        assert "\x1b" not in done.stdout
        assert len(done.stdout.splitlines()) == 2


@pytest.mark.parametrize("output", ["table", "json"])
@pytest.mark.parametrize(
    ("fault", "says", "reasons"),
    [
        (Fault(FaultKind.FORBIDDEN, path="/api/cluster/software/packages"), "HTTP 403", set()),
        (Fault(FaultKind.FOREIGN_LINK), "leads off the cluster", set()),
        (
            Fault(FaultKind.SERVER_ERROR, path="/api/cluster/software", exact=True),
            "the facts that protect packages could not be read",
            {"facts_unknown", "unsafe_name"},
        ),
    ],
    ids=["forbidden", "incomplete", "facts"],
)
async def test_a_cluster_that_cannot_be_read_fails_and_the_others_are_planned_all_the_same(
    fault: Fault, says: str, reasons: set[str], output: str, tmp_path: Path
) -> None:
    bad, good = cluster_named("c1"), cluster_named("c2")
    bad.faults.add(fault)
    async with Simulator([bad, good], directory=tmp_path) as simulator:
        done = await plan(simulator, tmp_path, f"--output={output}")
        assert (done.returncode, done.stderr) == (1, "")
        if output == "json":
            document = json.loads(done.stdout)
            failed = by_policy(document, "c1", "retire-old")
            assert says in failed["problem"]
            assert {one["verdict"] for one in failed["packages"]} <= {"keep"}
            assert {one["reason"] for one in failed["packages"]} == reasons
            verdicts = [one["verdict"] for one in by_policy(document, "c2", "retire-old")["packages"]]
            assert verdicts.count("delete") == 2
        else:
            lines = done.stdout.splitlines()
            assert any("KEEP ALL" in line and says in line for line in lines if line.startswith("c1 "))
            assert not any(" delete " in line for line in lines if line.startswith("c1 "))
            assert sum(" delete " in line for line in lines if line.startswith("c2 ")) == 2
        assert_untouched(simulator, tmp_path)


async def test_a_cluster_that_does_not_listen_fails(tmp_path: Path) -> None:
    silent = SimulatedCluster("c1", reachable=False)
    async with Simulator([silent, cluster_named("c2")], directory=tmp_path) as simulator:
        done = await plan(simulator, tmp_path)
        assert done.returncode == 1
        assert "Connection refused" in done.stdout
        assert "Traceback" not in done.stderr


async def test_an_update_keeps_everything_and_is_no_failure(tmp_path: Path) -> None:
    cluster = cluster_named("c2")
    cluster.update_state = UpdateState.PAUSED_ON_ERROR
    async with Simulator([cluster], directory=tmp_path) as simulator:
        done = await plan(simulator, tmp_path, "--output=json")
        packages = by_policy(json.loads(done.stdout), "c2", "retire-old")["packages"]
        assert done.returncode == 0
        assert {one["verdict"] for one in packages} == {"keep"}
        assert {one["reason"] for one in packages} == {"update_unfinished", "unsafe_name"}


async def test_clusters_are_chosen_by_name_as_often_as_one_likes(tmp_path: Path) -> None:
    clusters = [cluster_named(name) for name in ("c1", "c2", "c3")]
    clusters[2].faults.add(Fault(FaultKind.SERVER_ERROR))
    async with Simulator(clusters, directory=tmp_path) as simulator:
        chosen = ("--cluster=c2", "--cluster", "c1", "--cluster=c2", "--output=json")
        done = await plan(simulator, tmp_path, *chosen)
        assert done.returncode == 0
        planned = [(one["cluster"], one["policy"]) for one in json.loads(done.stdout)["plans"]]
        assert planned == [("c2", "retire-old"), ("c1", "retire-old"), ("c1", "keep-two")]
        assert clusters[2].requests == ()


async def test_a_cluster_that_is_not_configured_is_a_mistake_of_the_operators(tmp_path: Path) -> None:
    async with Simulator([cluster_named("c1")], directory=tmp_path) as simulator:
        done = await plan(simulator, tmp_path, "--cluster=c1", "--cluster=c11")
        assert (done.returncode, done.stdout) == (2, "")
        assert (
            done.stderr == "ontap-packages-exporter: error: no cluster is named 'c11': did you mean 'c1'?\n"
        )
        assert simulator["c1"].requests == ()


@pytest.mark.parametrize("arguments", [["--output=xml"], ["--config.file=missing.yaml"], ["c1"]])
async def test_a_bad_flag_or_configuration_ends_with_2(arguments: list[str], tmp_path: Path) -> None:
    async with Simulator([cluster_named("c1")], directory=tmp_path) as simulator:
        done = await plan(simulator, tmp_path, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr


async def test_clusters_that_no_policy_is_about_are_left_alone(tmp_path: Path) -> None:
    async with Simulator([SimulatedCluster("x1"), cluster_named("c2")], directory=tmp_path) as simulator:
        done = await plan(simulator, tmp_path, "--output=json")
        assert {one["cluster"] for one in json.loads(done.stdout)["plans"]} == {"c2"}
        assert simulator["x1"].requests == ()


async def test_without_cleanup_nothing_is_planned(tmp_path: Path) -> None:
    async with Simulator([cluster_named("c1")], directory=tmp_path) as simulator:
        done = await plan(simulator, tmp_path, "--output=json", cleanup="")
        assert (done.returncode, json.loads(done.stdout)["plans"]) == (0, [])
        assert "no cleanup is configured, so nothing is ever deleted" in done.stderr


async def test_a_dry_run_of_the_daemon_decides_just_the_same(tmp_path: Path) -> None:
    state = f"sqlite:///{tmp_path}/state.db"
    async with Simulator([cluster_named("c1")], directory=tmp_path) as simulator:
        cleanup = CLEANUP.format(state=state, dry_run="true")
        done = await plan(simulator, tmp_path, "--output=json", cleanup=cleanup)
        planned = by_policy(json.loads(done.stdout), "c1", "retire-old")["packages"]
        config = tmp_path / "config.yaml"
        async with program("run", f"--config.file={config}", "--web.listen-address=127.0.0.1:0") as daemon:

            async def ran() -> bool:
                return bool(json.loads((await daemon.get("/api/v1/cleanup"))[1])["runs"])

            await eventually(ran, seconds=60, what="a dry run")
            assert await daemon.stop() == 0
        async with opened(state) as journal:
            (run,) = await journal.runs.recent(10)
        assert (run.policy, run.dry_run, run.success, run.deletions) == ("retire-old", True, True, ())
        journaled = json.loads(run.plan)
        for one in (*planned, *journaled):
            one.pop("age_seconds")
        assert journaled == planned
        assert {request.method for request in simulator["c1"].requests} == {"GET"}
