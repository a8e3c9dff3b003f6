"""What a life finds after a crash, it does not take for more than it is."""

from __future__ import annotations

import fcntl
from pathlib import Path

from cleanup.crash.counters import counters_in, gauge_in
from cleanup.crash.scene import cluster_of, scene
from cleanup.crash.state import Position

from exporter.cleanup.records import Outcome
from exporter.ontap.jobs import JOBS_PATH
from exporter.ontap.listing import PACKAGES_PATH
from exporter.simulator import Fault, FaultKind, JobOutcome, JobScript
from support.cleaning import cleaning, cluster_with, limits, only
from support.waiting import eventually

VERSION = "9.8P1"
OLD = "2019-02-04T19:00:00+00:00"
WAIT_SECONDS = 60.0


async def test_the_job_of_an_earlier_deletion_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    cluster = cluster_of("c1", VERSION, job_seconds=0.0)
    async with scene([cluster], tmp_path) as it:
        async with it.life() as life:
            await it.file.until(
                lambda state: state.outcomes == {("c1", "success"): 1}, seconds=WAIT_SECONDS, what="success"
            )
            cluster.faults.add(
                Fault(FaultKind.RESET, method="DELETE", times=1),
                Fault(FaultKind.LATENCY, method="DELETE", seconds=0.5, times=1),
            )
            cluster.add_package((VERSION, OLD))
            await cluster.wait_for_requests(
                2, method="DELETE", path=PACKAGES_PATH, timeout_seconds=WAIT_SECONDS
            )
            assert (await it.kill(life)).position("c1") is Position.INTENDED
        async with it.life():
            await it.file.until(
                lambda state: len(state.of(VERSION)) == 2 and not state.unended,
                seconds=WAIT_SECONDS,
                what="an outcome",
            )
            (first, second) = it.file.look().of(VERSION)[:2]
        assert first.outcome is Outcome.SUCCESS
        assert second.outcome is Outcome.FAILURE, f"{len(cluster.deletions)} deleted; {first}; {second}"


async def test_while_jobs_cannot_be_read_delete_is_not_sent_again(tmp_path: Path) -> None:
    cluster = cluster_of("c1", VERSION)
    cluster.hold_jobs()
    async with scene([cluster], tmp_path) as it:
        hidden = Fault(FaultKind.FORBIDDEN, path=JOBS_PATH)
        cluster.faults.add(hidden, Fault(FaultKind.HANG, method="DELETE", times=1))
        async with it.life() as life:
            await cluster.wait_for_requests(
                1, method="DELETE", path=PACKAGES_PATH, timeout_seconds=WAIT_SECONDS
            )
            assert (await it.kill(life)).position("c1") is Position.INTENDED
        since = cluster.log.count
        async with it.life() as life:
            # The poll's listing, and more looks than are made where the jobs can be read.
            await cluster.log.wait(
                lambda one: one.number > since and one.path == PACKAGES_PATH, 5, WAIT_SECONDS
            )
            assert (await it.kill(life)).position("c1") is Position.INTENDED
        await it.end_undisturbed()
        assert [row.outcome for row in it.chronicle.of("c1", VERSION)] == [Outcome.SUCCESS]
        assert len(it.deletes(cluster, VERSION)) == 1


async def test_what_nothing_has_told_about_is_not_sent_again_in_the_next_run(tmp_path: Path) -> None:
    cluster = cluster_with(VERSION, "9.14.1P2")
    cluster.hold_jobs()
    cluster.faults.add(
        Fault(FaultKind.FORBIDDEN, path=JOBS_PATH), Fault(FaultKind.LOST_ANSWER, method="DELETE", times=1)
    )
    async with cleaning(cluster, tmp_path) as it:
        await it.run(limits=limits(job_timeout_seconds=0.5))
        assert any(cluster.jobs.live())
        await it.run(limits=limits(retry_busy_for_seconds=0.0))
        assert it.deletes(VERSION) == 1


async def test_the_job_of_the_first_attempt_does_not_stand_for_the_second(tmp_path: Path) -> None:
    cluster = cluster_with(VERSION, "9.14.1P2")
    cluster.job_script = JobScript(outcome=JobOutcome.NEVER)
    hidden = Fault(FaultKind.FORBIDDEN, path=JOBS_PATH, exact=True)
    cluster.faults.add(
        hidden,
        Fault(FaultKind.JOB_FAILURE, code=10551367, times=1),
        Fault(FaultKind.LOST_ANSWER, method="DELETE", times=1),
    )
    async with cleaning(cluster, tmp_path) as it:
        run = await it.run(limits=limits(job_timeout_seconds=0.5))
        (live,) = cluster.jobs.live()
        assert (only(run).outcome, only(run).attempts) == (Outcome.TIMEOUT, 2)
        cluster.faults.remove(hidden)
        await it.run(limits=limits(retry_busy_for_seconds=0.0))
        assert it.deletes(VERSION) == 2
        assert only(run).job_uuid in (None, live.uuid)


async def test_without_its_journal_a_daemon_does_not_say_that_nothing_was_ever_deleted(
    tmp_path: Path,
) -> None:
    cluster = cluster_of("c1", VERSION, job_seconds=0.0)
    async with scene([cluster], tmp_path) as it:
        await it.end_undisturbed()
        before = dict(it.counters.seen)
        with it.file.path.with_name("state.db.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            async with it.life() as life:
                await life.until_line("another process holds it")
                text = await life.get("/metrics")
        assert gauge_in(text, "ontap_cleanup_journal_open") == 0
        now = counters_in(text)
        less = {one: (value, now[one]) for one, value in before.items() if now.get(one, value) < value}
        assert less == {}


async def test_the_first_scrape_of_a_life_shows_all_that_was_counted_before(tmp_path: Path) -> None:
    cluster = cluster_of("c1", VERSION, job_seconds=0.0)
    async with scene([cluster], tmp_path) as it:
        await it.end_undisturbed()
        async with it.life() as life:
            less = []

            async def journal_is_open() -> bool:
                text = await life.get("/metrics")
                now = counters_in(text)
                less.extend([one for one, value in it.counters.seen.items() if now.get(one, value) < value])
                return gauge_in(text, "ontap_cleanup_journal_open") == 1

            await eventually(journal_is_open, seconds=WAIT_SECONDS, what="the journal")
        assert less == []
