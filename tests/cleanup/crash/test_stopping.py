"""Stopped in order, the daemon leaves a deletion where its next life goes on; DELETE is not sent twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cleanup.crash.scene import STOP_SECONDS, Scene, cluster_of, scene
from cleanup.crash.state import DeletionRow, Position

from exporter.cleanup.records import Outcome, Phase
from exporter.ontap.jobs import JOBS_PATH
from exporter.ontap.listing import PACKAGES_PATH
from exporter.simulator import Fault, FaultKind, SimulatedCluster

VERSION = "9.8P1"
BUSY = 10551367


async def stopped(it: Scene, *, after: Callable[[], None] = lambda: None) -> DeletionRow:
    """Start the daemon, stop it once DELETE has come in, and return the deletion that it leaves.

    Args:
        it: the scene.
        after: what happens once the daemon has begun to stop.
    """
    async with it.life() as life:
        await it.cluster.wait_for_requests(1, method="DELETE", path=PACKAGES_PATH, timeout_seconds=60.0)
        life.process.terminate()
        await life.until_line("msg=stopping")
        after()
        code, seconds = await life.stop()
        assert (code, seconds < STOP_SECONDS) == (0, True), life.output
    (row,) = it.file.autopsy().deletions
    return row


async def assert_next_life_succeeds(it: Scene, *, deletes: int = 1) -> None:
    await it.end_undisturbed()
    (row,) = it.chronicle.of("c1", VERSION)
    assert row.outcome is Outcome.SUCCESS
    assert len(it.deletes(it.cluster, VERSION)) == deletes


async def test_a_job_that_is_followed_is_followed_by_the_next_life(tmp_path: Path) -> None:
    cluster = cluster_of("c1", VERSION)
    cluster.hold_jobs()
    async with scene([cluster], tmp_path) as it:
        async with it.life() as life:
            await cluster.wait_for_requests(2, path=f"{JOBS_PATH}/", timeout_seconds=60.0)
            code, seconds = await life.stop()
            assert (code, seconds < STOP_SECONDS) == (0, True), life.output
        state = it.file.autopsy()
        assert state.position("c1") is Position.FOLLOWED
        (job,) = cluster.jobs.live()
        assert [row.job_uuid for row in state.deletions] == [job.uuid]
        asked = len(cluster.requests_to(f"{JOBS_PATH}/"))
        async with it.life() as life:
            await cluster.wait_for_requests(asked + 1, path=f"{JOBS_PATH}/{job.uuid}", timeout_seconds=60.0)
            code, _ = await life.stop()
        assert code == 0
        await assert_next_life_succeeds(it)
        assert [one.job_uuid for one in cluster.deletions] == [job.uuid]


def let_go(cluster: SimulatedCluster, fault: Fault) -> Callable[[], None]:
    cluster.faults.add(fault)
    return lambda: cluster.faults.remove(fault)


async def test_an_answer_that_comes_in_time_is_recorded(tmp_path: Path) -> None:
    cluster = cluster_of("c1", VERSION)
    cluster.hold_jobs()
    answer = let_go(cluster, Fault(FaultKind.HANG, method="DELETE"))
    async with scene([cluster], tmp_path) as it:
        row = await stopped(it, after=answer)
        (job,) = cluster.jobs.live()
        assert (row.phase, row.job_uuid) == (Phase.FOLLOWED, job.uuid)
        await assert_next_life_succeeds(it)


async def test_a_refusal_that_comes_in_time_is_recorded(tmp_path: Path) -> None:
    cluster = cluster_of("c1", VERSION)
    cluster.faults.add(
        Fault(FaultKind.DELETE_ERROR, code=BUSY, times=1),
        Fault(FaultKind.LATENCY, method="DELETE", seconds=1.0, times=1),
    )
    async with scene([cluster], tmp_path) as it:
        row = await stopped(it)
        assert (row.phase, row.code) == (Phase.WAITING, str(BUSY))
        await it.end_undisturbed()
        outcomes = [row.outcome for row in it.chronicle.of("c1", VERSION)]
        assert outcomes == [Outcome.BUSY, Outcome.SUCCESS]


@pytest.mark.parametrize("is_carried_out", [True, False])
async def test_an_answer_that_does_not_come_in_time_is_found_out(
    *, is_carried_out: bool, tmp_path: Path
) -> None:
    cluster = cluster_of("c1", VERSION)
    cluster.hold_jobs()
    if is_carried_out:
        cluster.faults.add(Fault(FaultKind.SLOW_BODY, method="DELETE", seconds=60.0))
    else:
        cluster.faults.add(Fault(FaultKind.HANG, method="DELETE"))  # until the daemon hangs up
    async with scene([cluster], tmp_path) as it:
        row = await stopped(it)
        assert (row.phase, row.job_uuid) == (Phase.INTENDED, None)
        await assert_next_life_succeeds(it)
