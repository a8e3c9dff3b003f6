"""Of two daemons on one state one cleans; the other polls and serves, and takes over after the first."""

from __future__ import annotations

from pathlib import Path

import pytest
from cleanup.crash.counters import gauge_in
from cleanup.crash.life import Life
from cleanup.crash.scene import Scene, cluster_of, scene
from cleanup.crash.state import Position

from exporter.cleanup.records import Outcome
from exporter.ontap.jobs import JOBS_PATH
from exporter.simulator import SimulatedCluster
from support.waiting import eventually

VERSION = "9.8P1"
WAIT_SECONDS = 60.0
POLLS = 4
IMPATIENT = Path(__file__).parent / "impatient.py"


async def assert_serves_without_a_journal(life: Life, it: Scene) -> None:
    """Check that a daemon says what is wrong, polls and serves, while another holds the journal."""
    line = await life.until_line("level=error", "cleanup has no journal, so nothing is deleted")
    assert f"{it.file.path}: another process holds it" in line
    await life.get("/-/healthy")
    assert "another process holds it" in await life.get("/api/v1/cleanup")

    async def goes_on_polling() -> bool:
        text = await life.get("/metrics")
        assert gauge_in(text, "ontap_cleanup_journal_open") == 0
        return (gauge_in(text, "ontap_polls_total", cluster="c1") or 0) >= POLLS

    await eventually(goes_on_polling, seconds=WAIT_SECONDS, what="polls")
    assert gauge_in(await life.get("/metrics"), "ontap_up", cluster="c1") == 1


async def taken_over(life: Life, cluster: SimulatedCluster) -> None:
    """Wait until a daemon follows the job that the other one has begun."""
    asked = len(cluster.requests_to(f"{JOBS_PATH}/"))
    await cluster.wait_for_requests(asked + 1, path=f"{JOBS_PATH}/", timeout_seconds=WAIT_SECONDS)
    assert gauge_in(await life.get("/metrics"), "ontap_cleanup_journal_open") == 1


@pytest.mark.parametrize("is_killed", [False, True])
async def test_the_second_daemon_takes_over(*, is_killed: bool, tmp_path: Path) -> None:
    cluster = cluster_of("c1", VERSION, "9.8P2")
    cluster.hold_jobs()
    async with scene([cluster], tmp_path, poll_interval="500ms") as it:
        async with it.life() as first:
            await cluster.wait_for_requests(1, path=f"{JOBS_PATH}/", timeout_seconds=WAIT_SECONDS)
            async with it.life(IMPATIENT) as second:
                await assert_serves_without_a_journal(second, it)
                if is_killed:
                    await first.kill()
                else:
                    assert (await first.stop())[0] == 0
                await taken_over(second, cluster)
                assert it.file.look().position("c1") is Position.FOLLOWED
                cluster.release_jobs()
                await cluster.wait_for_deletions(2, timeout_seconds=WAIT_SECONDS)
                assert (await second.stop())[0] == 0
        await it.end_undisturbed()
        for version in (VERSION, "9.8P2"):
            assert [row.outcome for row in it.chronicle.of("c1", version)] == [Outcome.SUCCESS]
            assert len(it.deletes(cluster, version)) == 1
