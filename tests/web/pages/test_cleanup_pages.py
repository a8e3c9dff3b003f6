"""The pages of cleanup and of a cluster tell what was decided and done, in words."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from exporter.cleanup.cleanup_board import PolicyStatus
from exporter.polling.board import Board, ClusterStatus
from exporter.simulator import Fault, FaultKind, JobOutcome, JobScript, Package, SimulatedCluster, Simulator
from exporter.simulator.exporter_configuration import exporter_config, write_secret
from exporter.web.pages.cleanup_pages import RUNS
from exporter.web.routes import build_application
from support.daemon_process import Daemon, program
from support.pages import Shown
from support.stub_cleanup import cleanup_saying
from support.stub_sources import sources
from support.waiting import eventually

NOW = datetime.now(UTC)
POLICIES = """
cleanup:
  state: sqlite:///state.db
  policies:
    - name: retire-old
      every: 24h
      older_than: 90d
      exclude: ["9.11*"]
      max_deletes_per_run: 2
      retry_busy_for: 0s
      stop_after_failures: 1
      dry_run: false
      seen_for: 0s
    - name: keep-two
      clusters: {names: [c1]}
      schedule: "0 3 * * sat"
      timezone: Europe/Amsterdam
      keep_newest: 2
"""


def cluster(name: str, **ages: int) -> SimulatedCluster:
    packages = [
        Package(version.replace("_", "."), NOW - timedelta(days=days)) for version, days in ages.items()
    ]
    return SimulatedCluster(name, packages=packages, version="9.14.1P2", job_seconds=0.05)


@asynccontextmanager
async def cleaned(directory: Path, *clusters: SimulatedCluster) -> AsyncIterator[Daemon]:
    """Serve after the first run on every cluster that answers."""
    async with Simulator(clusters, directory=directory) as simulator:
        config = directory / "config.yaml"
        write_secret(config, exporter_config(simulator, poll_interval="1s", extra=POLICIES))
        async with program(
            "run",
            f"--config.file={config}",
            "--web.listen-address=127.0.0.1:0",
            "--web.grafana-url=https://grafana.example.com/ops",
        ) as daemon:

            async def all_ended() -> bool:
                account = json.loads((await daemon.get("/api/v1/cleanup"))[1])
                ended = {run["cluster"] for run in account["runs"] if run["ended_timestamp_seconds"]}
                return ended == {one.name for one in clusters}

            await eventually(all_ended, seconds=60, what="a run on every cluster")
            yield daemon


async def page(daemon: Daemon, path: str) -> Shown:
    status, html = await daemon.get(path)
    assert status == 200, html
    return Shown.on(html)


async def test_a_cluster_its_run_and_its_policies_tell_every_verdict_and_outcome(tmp_path: Path) -> None:
    c1 = cluster("c1", **{"9_9_1": 600, "9_10_1": 500, "9_11_1": 400, "9_12_1": 300, "9_14_1P2": 200})
    c1.job_scripts["9.10.1"] = JobScript(outcome=JobOutcome.FAILURE, code=10551892)
    async with cleaned(tmp_path, c1) as daemon:
        one = await page(daemon, "/clusters/c1")
        assert one.rows[:4] == ["9.14.1P2", "9.12.1", "9.11.1", "9.10.1"]
        for words in (
            "9.14.1P2 200 d in use keep: in use",
            "9.12.1 300 d no keep: waits for a later run",
            "9.11.1 400 d no keep: excluded",
            "9.10.1 500 d no delete: retired by the policy",
            "retire-old deletes; last run",
            "keep-two only plans; last run never",
            "9.9.1 retire-old 1",
            "deleted",
            "10551892",
        ):
            assert words in one.text
        assert "https://grafana.example.com/ops/d/ontap-packages-cluster?var-cluster=c1" in one.links
        assert "../cleanup/runs/1" in one.links

        run = await page(daemon, "/cleanup/runs/1")
        assert run.rows[:2] == ["9.9.1", "9.10.1"]
        for words in (
            "Run 1: retire-old on c1",
            "Result failed a deletion did not succeed",
            "9.9.1 deleted",
            "9.10.1 failed",
            "9.11.1 400 d keep excluded",
        ):
            assert words in run.text

        async def paused() -> bool:
            return "The policy retire-old is paused" in (await page(daemon, "/cleanup")).text

        await eventually(paused, seconds=30, what="the pause")
        cleanup = await page(daemon, "/cleanup")
        for words in (
            "Kill switch off Journal open",
            "older than 90d; but not 9.11*; at most 2 in a run; every 1d",
            "not among the 2 newest; in the listing for 1w; at most 5 in a run",
            "at 0 3 * * sat (Europe/Amsterdam)",
            "2 delete: retired by the policy",
            "1 keep: waits for a later run",
            "1 failed",
            "1 deleted",
            "Last run failed Cluster Policy Ended Why What to do c1 retire-old",
        ):
            assert words in cleanup.text
        fleet = await page(daemon, "/")
        assert "The last cleanup failed on 1 cluster: a deletion did not succeed." in fleet.text
        assert "1 with packages to clean 2 packages chosen by the last plans" in fleet.text
        assert (await page(daemon, "/?state=waiting")).rows == ["c1"]


async def test_runs_come_page_by_page_and_by_cluster(tmp_path: Path) -> None:
    c1, c2 = cluster("c1", **{"9_14_1P2": 1}), cluster("c2", **{"9_14_1P2": 1})
    async with cleaned(tmp_path, c1, c2) as daemon:
        both = [row for row in (await page(daemon, "/cleanup")).rows if row.isdigit()]
        assert both == ["2", "1"]
        older = await page(daemon, "/cleanup?before=2")
        assert [row for row in older.rows if row.isdigit()] == ["1"]
        alone = await page(daemon, "/cleanup?cluster=c2")
        assert "Cleanup of c2" in alone.text
        assert len([row for row in alone.rows if row.isdigit()]) == 1
        assert "There are none before this." in (await page(daemon, "/cleanup?before=1")).text
        assert (await daemon.get("/cleanup?before=x"))[0] == 400
        assert (await daemon.get("/cleanup/runs/99"))[0] == 404


@pytest.mark.parametrize("runs", [RUNS, RUNS - 1])
async def test_a_page_leads_to_older_runs_where_it_is_full(runs: int) -> None:
    cleanup = cleanup_saying("c1", runs=runs)
    for number in range(RUNS):  # as many clusters as would fill the page themselves
        cleanup.board.put(PolicyStatus(cluster=f"c{number}", labels=(), policy="c1", dry_run=True))
    stub = sources(cleanup=lambda: cleanup)
    async with TestClient(TestServer(build_application(stub))) as client:
        shown = Shown.on(await (await client.get("/cleanup")).text())
    assert ("cleanup?before=1" in shown.links) is (runs == RUNS)


@pytest.mark.parametrize(
    "plan", ["", "{", "5", "[1]", '{"version": "9.9.1"}', '[{"version": "9.9.1"}]', '[{"version": 9}]']
)
async def test_a_plan_that_was_damaged_in_the_journal_spoils_no_page(plan: str) -> None:
    cleanup = cleanup_saying("c1", plan=plan)
    board = Board(on_change=lambda _: None)
    board.put(ClusterStatus(name="c1", address="https://c1", labels=(), stale_after_seconds=60.0))
    stub = sources(cleanup=lambda: cleanup, board=board)
    async with TestClient(TestServer(build_application(stub))) as client:
        assert (await client.get("/cleanup/runs/7")).status == 200
        assert (await client.get("/clusters/c1")).status == 200


async def test_the_kill_switch_and_an_unreadable_cluster_are_told(tmp_path: Path) -> None:
    c1 = cluster("c1", **{"9_9_1": 600, "9_14_1P2": 1})
    async with cleaned(tmp_path, c1) as daemon:
        c1.faults.add(Fault(FaultKind.FORBIDDEN))

        async def fails() -> bool:
            return "forbidden" in (await page(daemon, "/clusters/c1")).text

        await eventually(fails, seconds=30, what="a poll that fails")
        one = await page(daemon, "/clusters/c1")
        assert "The last poll failed: the account may not read packages" in one.text
        assert "Give the account's role read access" in one.text
        daemon.process.send_signal(signal.SIGUSR1)

        async def halted() -> bool:
            return "Kill switch on: nothing is deleted" in (await page(daemon, "/cleanup")).text

        await eventually(halted, seconds=30, what="the kill switch")
        assert "The kill switch is on: nothing is deleted." in (await page(daemon, "/")).text
