"""Every policy runs at its time, alone on its cluster, once what an earlier life began has been ended."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from structlog.testing import capture_logs

from exporter.cleanup.cleaners.cleaner import KEPT_RUNS
from exporter.cleanup.journal import Journal
from exporter.cleanup.kill_switch import LONGEST_RELEASE_SECONDS, KillSwitch, boot_time
from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.policy_values import digest_of
from exporter.cleanup.records import Deletion, Lease, Phase, Run
from exporter.cleanup.service import MOST_READINGS, PASSING_SECONDS
from exporter.config import PolicyConfig
from exporter.config.schema import ClusterSelector
from exporter.ontap.requests.deletion import delete_package
from exporter.ontap.requests.jobs import JOBS_PATH
from exporter.ontap.requests.listing import PACKAGES_PATH
from exporter.simulator import Fault, FaultKind, JobOutcome, JobScript, SimulatedCluster
from exporter.web.cleanup_json import Page
from support.cleaning import OLD, POLICY, QUICK_PACE, at_job_read, changed
from support.journal.journal_steps import (
    end,
    intend,
    lease_of,
    new_run,
    opened,
    totals_of,
    unfinished_on,
)
from support.servicing import (
    BEAT,
    C1,
    HOUR,
    OFTEN,
    WAIT_SECONDS,
    Clock,
    Life,
    Servicing,
    cluster_named,
    deletes,
    ended_at,
    life,
)
from support.waiting import eventually, let_others_run


async def test_an_interval_without_a_remembered_run_waits_for_a_good_poll(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    async with (
        life(tmp_path, cluster, cluster_named("beat")) as it,
        it.service(POLICY, BEAT, polled=["beat"]) as one,
    ):
        await one.watch.beats()
        assert cluster.requests == ()
        assert one.watch.statuses[C1].next_run_timestamp_seconds is None
        one.good_poll(cluster)
        status = await one.watch.ended()
        assert status.totals.outcomes[Outcome.SUCCESS] == 1
        later = await one.watch.until(
            C1, lambda status: (status.next_run_timestamp_seconds or 0) > one.clock()
        )
        started = later.totals.last_started_timestamp_seconds or 0.0
        assert later.next_run_timestamp_seconds == pytest.approx(started + 3600, rel=0, abs=0.05)


async def test_a_good_poll_of_a_cluster_that_is_not_cleaned_is_no_matter(tmp_path: Path) -> None:
    cluster = cluster_named("c1")
    async with life(tmp_path, cluster) as it, it.service(POLICY, polled=[]) as one:
        one.good_poll(cluster_named("unknown"))
        one.good_poll(cluster)
        await one.watch.ended()


async def test_our_own_mistake_stops_the_cleaning_of_its_cluster_alone_and_is_shown(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    nowhere = changed(POLICY, every=None, schedule="0 3 * * *", timezone="Nowhere/City")
    broken = changed(nowhere, clusters=ClusterSelector(names=["c1"]))
    async with life(tmp_path, cluster, cluster_named("beat")) as it:
        with capture_logs() as logs:
            async with it.service(broken, BEAT) as one:
                status = await one.watch.until(C1, lambda status: bool(status.problem))
                assert status.problem.startswith("internal error")
                assert (status.totals.last_success, status.totals.last_failure) == (False, "internal_error")
                await one.watch.beats()
                assert deletes(cluster) == 0
                await one.service.configure(it.config(POLICY, BEAT), it.accesses)
                mended = await one.watch.until(C1, lambda status: status.totals.last_success is True)
                assert (mended.problem, deletes(cluster)) == ("", 1)
        mistakes = [entry for entry in logs if "a bug ended" in entry["event"]]
        assert len(mistakes) == 1


async def test_our_own_mistake_stays_shown_when_the_totals_are_read_again(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.14.1P2")
    broken = changed(POLICY, every=None, schedule="0 3 * * *", timezone="Nowhere/City")
    async with life(tmp_path, cluster) as it, it.service(POLICY) as one:
        await one.watch.until(C1, lambda status: status.totals.last_success is True)
        await one.service.configure(it.config(broken), it.accesses)
        await one.watch.until(C1, lambda status: bool(status.problem))
        one.board.reads_all_totals = True
        await one.board.read_totals(one.journal.totals)
        totals = one.watch.statuses[C1].totals
        assert (totals.last_success, totals.last_failure) == (False, "internal_error")
        await one.service.configure(it.config(POLICY), it.accesses)
        mended = await one.watch.until(C1, lambda status: status.totals.last_success is True)
        assert mended.problem == ""


class Cancelling(KillSwitch):
    """Looks as if something that a run has awaited was cancelled, once."""

    cancels = 1

    @property
    def active(self) -> bool:
        task = asyncio.current_task()
        if self.cancels and task is not None and task.get_name() == "clean c1":
            self.cancels -= 1
            raise asyncio.CancelledError
        return super().active


async def test_a_cancellation_that_nobody_asked_for_ends_no_cleaner(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    async with life(tmp_path, cluster) as it, it.service(POLICY, kill_switch=Cancelling()) as one:
        status = await one.watch.until(C1, lambda status: bool(status.problem))
        assert status.problem.startswith("internal error")
        await one.service.configure(it.config(changed(POLICY, older_than=timedelta(days=31))), it.accesses)
        await one.watch.until(C1, lambda status: status.totals.last_success is True)
        assert deletes(cluster) == 1


class Interrupted(KillSwitch):
    """Looks as if something that a heartbeat has awaited was cancelled, once."""

    cancels = 1

    def follow(self, *, active: bool) -> None:
        if self.cancels:
            self.cancels -= 1
            raise asyncio.CancelledError
        super().follow(active=active)


async def test_a_cancellation_that_nobody_asked_for_does_not_end_cleanup(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    async with life(tmp_path, cluster) as it, it.service(POLICY, kill_switch=Interrupted()) as one:
        await one.watch.ended()
        assert (one.service.problem, deletes(cluster)) == ("", 1)


async def test_a_failure_is_gone_with_its_cause_even_before_the_first_run(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.14.1P2")
    broken = changed(POLICY, every=None, schedule="0 3 * * *", timezone="Nowhere/City")
    later = changed(POLICY, every=None, schedule="0 3 1 1 *")
    async with life(tmp_path, cluster) as it, it.service(broken) as one:
        await one.watch.until(C1, lambda status: status.totals.last_failure == "internal_error")
        await one.service.configure(it.config(later), it.accesses)
        status = await one.watch.until(C1, lambda status: not status.problem)
        totals = status.totals
        assert (totals.last_success, totals.last_failure, ended_at(status)) == (None, "", None)


async def test_without_a_journal_nothing_is_shown_that_cleaners_know(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.14.1P2")
    async with life(tmp_path, cluster) as it, it.service(POLICY) as one:
        await one.watch.until(C1, lambda status: status.next_run_timestamp_seconds is not None)
        await one.watch.ended()
        (tmp_path / "state.db").rename(tmp_path / "moved.db")
        one.kill_switch.engage()  # so that the journal is used now
        await one.watch.until(C1, lambda status: bool(status.problem))
        status = await one.watch.until(C1, lambda status: not status.problem)
        assert (status.next_run_timestamp_seconds, status.totals.last_success) == (None, True)


async def test_tables_that_another_version_changes_close_the_journal_at_once_and_say_why(
    tmp_path: Path,
) -> None:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    slow = replace(QUICK_PACE, retry_seconds=3600.0)
    often, soon = changed(POLICY, every=OFTEN), timedelta(seconds=1)
    async with (
        life(tmp_path, cluster) as it,
        it.service(often, pace=slow, takeover_after=soon) as one,
    ):
        await one.watch.until(C1, lambda status: status.totals.outcomes[Outcome.SUCCESS] == 1)
        with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
            other.execute("UPDATE cleanup_schema_version SET version_num = '9999'")

        async def closed() -> bool:
            return one.service.journal is None

        await eventually(closed, seconds=WAIT_SECONDS, what="the journal to be closed")
        assert one.service.problem == (
            "another version of this program has changed the journal's tables (now revision 9999): "
            "run that version here too, or stop this process"
        )
        await one.watch.until(C1, lambda status: status.next_run_timestamp_seconds is None)
        assert [lease.held for lease in one.board.leases()] == [False]
        asked = len(cluster.requests)
        cluster.add_package(("9.11.1", OLD))
        one.good_poll(cluster)
        await let_others_run()
        assert (len(cluster.requests), deletes(cluster)) == (asked, 1)


def pass_time(one: Servicing, cluster: SimulatedCluster, *, seconds: float) -> None:
    """Set the clock forward, and let the cluster's cleaner see it at once, not at the next heartbeat."""
    one.clock.advance(timedelta(seconds=seconds))
    one.service._clusters.cleaners[cluster.uuid].recheck()


async def test_a_run_that_the_journal_could_not_store_when_it_was_due_is_made_late(tmp_path: Path) -> None:
    due = datetime(2025, 6, 14, 3, tzinfo=ZoneInfo("Europe/Amsterdam")).timestamp()
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    nightly = changed(POLICY, every=None, schedule="0 3 * * sat")
    async with (
        life(tmp_path, cluster) as it,
        it.service(nightly, clock=Clock(due - 600.0)) as one,
    ):
        await one.watch.until(C1, lambda status: status.next_run_timestamp_seconds == due)
        with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            pass_time(one, cluster, seconds=599.5)
            await one.watch.until(C1, lambda status: bool(status.problem))
            other.execute("ROLLBACK")
        status = await one.watch.ended()
        assert (status.totals.last_success, status.skipped_runs, deletes(cluster)) == (True, 0, 1)
        await one.watch.until(C1, lambda status: status.next_run_timestamp_seconds == due + 7 * 86_400)


async def test_a_remembered_run_is_honoured_after_a_restart(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    async with life(tmp_path, cluster, cluster_named("beat")) as it:
        async with it.service(POLICY, BEAT) as one:
            first = await one.watch.ended()
        asked = len(cluster.requests)
        async with it.service(POLICY, BEAT) as one:
            await one.watch.beats()
            status = one.watch.statuses[C1]
            assert status.totals == first.totals
            started = first.totals.last_started_timestamp_seconds
            assert status.next_run_timestamp_seconds == (started or 0) + 3600
            assert len(cluster.requests) == asked


async def test_a_run_that_came_due_while_the_program_was_down_is_made_at_once(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.14.1P2")
    clock = Clock()
    async with life(tmp_path, cluster) as it:
        async with it.service(POLICY, clock=clock) as one:
            first = await one.watch.ended()
        clock.advance(timedelta(hours=5))
        async with it.service(POLICY, clock=clock) as one:
            await one.watch.ended(after=ended_at(first) or 0)
            assert [run.success for run in await one.runs()] == [True, True]


async def test_a_cron_schedule_fires_at_its_time(tmp_path: Path) -> None:
    due = datetime(2025, 6, 14, 3, tzinfo=ZoneInfo("Europe/Amsterdam")).timestamp()
    packages = [("9.12.1", OLD), ("9.14.1P2", OLD)]
    cluster = SimulatedCluster("c1", packages=packages, job_seconds=0.02)
    nightly = changed(POLICY, every=None, schedule="0 3 * * sat")
    async with (
        life(tmp_path, cluster) as it,
        it.service(nightly, clock=Clock(due - 600.0)) as one,
    ):
        await one.watch.until(C1, lambda status: status.next_run_timestamp_seconds == due)
        assert cluster.requests == ()
        pass_time(one, cluster, seconds=599.5)
        status = await one.watch.ended()
        assert due <= (status.totals.last_started_timestamp_seconds or 0) < due + WAIT_SECONDS
        assert cluster.versions == ("9.14.1P2",)
        await one.watch.until(C1, lambda status: status.next_run_timestamp_seconds == due + 7 * 86_400)


async def test_a_cron_run_that_was_missed_is_not_made_up(tmp_path: Path) -> None:
    due = datetime(2025, 6, 14, 3, tzinfo=ZoneInfo("Europe/Amsterdam")).timestamp()
    cluster = cluster_named("c1", "9.14.1P2")
    nightly = changed(POLICY, every=None, schedule="0 3 * * sat")
    async with life(tmp_path, cluster, cluster_named("beat")) as it:
        async with it.service(nightly, clock=Clock(due - 2.0)) as one:
            await one.watch.ended()
        asked = len(cluster.requests)
        clock = Clock(due + 10 * 86_400)
        async with it.service(nightly, BEAT, clock=clock) as one:
            await one.watch.beats()
            assert one.watch.statuses[C1].next_run_timestamp_seconds == due + 14 * 86_400
            assert len(cluster.requests) == asked


async def test_a_cron_run_that_came_due_during_a_short_restart_is_not_made_up(tmp_path: Path) -> None:
    due = time.time() // 60 * 60 + 60.0  # close to the database's own clock, by which leases are held
    cluster = cluster_named("c1", "9.14.1P2")
    schedule = datetime.fromtimestamp(due, UTC).strftime("%M %H * * *")
    daily = changed(POLICY, every=None, schedule=schedule, timezone="UTC")
    minutes = timedelta(minutes=5)
    async with life(tmp_path, cluster, cluster_named("beat")) as it:
        async with it.service(daily, clock=Clock(due - 30.0), takeover_after=minutes) as one:
            await one.watch.until(C1, lambda status: status.next_run_timestamp_seconds == due)
        async with it.service(daily, BEAT, clock=Clock(due + 3.0), takeover_after=minutes) as one:
            await one.watch.beats()
            assert one.watch.statuses[C1].next_run_timestamp_seconds == due + 86_400
        assert cluster.requests == ()


async def test_a_cron_run_that_waits_too_long_for_other_clusters_is_skipped(tmp_path: Path) -> None:
    due = datetime(2025, 6, 14, 3, tzinfo=ZoneInfo("Europe/Amsterdam")).timestamp()
    clusters = [cluster_named(name, "9.12.1", "9.14.1P2") for name in ("c1", "c2")]
    for cluster in clusters:
        cluster.hold_jobs()
    nightly = changed(POLICY, every=None, schedule="0 3 * * sat", job_timeout=HOUR * 4)
    clock = Clock(due - 1.0)
    async with (
        life(tmp_path, *clusters) as it,
        it.service(nightly, clock=clock, max_concurrent_clusters=1) as one,
    ):
        await one.watch.until_any(lambda status: status.in_progress == 1)
        statuses = one.watch.statuses
        (late,) = (one for one in clusters if not statuses[one.name, nightly.name].in_progress)
        assert statuses[late.name, nightly.name].next_run_timestamp_seconds == due
        clock.advance(HOUR * 2)
        for cluster in clusters:
            cluster.release_jobs()
        status = await one.watch.until((late.name, nightly.name), lambda status: status.skipped_runs == 1)
        assert status.next_run_timestamp_seconds == due + 7 * 86_400
        assert (deletes(late), status.totals.last_started_timestamp_seconds) == (0, None)


async def test_an_interval_counts_from_the_start_of_a_run_that_has_waited_for_other_clusters(
    tmp_path: Path,
) -> None:
    clusters = [cluster_named(name, "9.12.1", "9.14.1P2") for name in ("c1", "c2")]
    for cluster in clusters:
        cluster.hold_jobs()
    policy = changed(POLICY, every=HOUR, job_timeout=HOUR * 4)
    clock = Clock()
    async with (
        life(tmp_path, *clusters) as it,
        it.service(policy, clock=clock, max_concurrent_clusters=1) as one,
    ):
        await one.watch.until_any(lambda status: status.in_progress == 1)
        statuses = one.watch.statuses
        (late,) = (one for one in clusters if not statuses[one.name, policy.name].in_progress)
        clock.advance(HOUR * 2)
        earliest = clock()
        for cluster in clusters:
            cluster.release_jobs()
        status = await one.watch.ended((late.name, policy.name))
        started = status.totals.last_started_timestamp_seconds or 0.0
        assert started >= earliest
        assert (status.next_run_timestamp_seconds, status.skipped_runs) == (started + 3600, 0)


async def test_runs_of_two_policies_on_one_cluster_never_overlap(tmp_path: Path) -> None:
    versions = [f"9.{major}.1P{patch}" for major in (10, 11) for patch in range(1, 9)]
    cluster = cluster_named("c1", *versions, "9.14.1P2")
    policies = [
        changed(POLICY, name=glob, include=[glob], every=OFTEN, max_deletes_per_run=2)
        for glob in ("9.10*", "9.11*")
    ]
    async with life(tmp_path, cluster) as it, it.service(*policies) as one:
        await cluster.wait_for_deletions(len(versions), timeout_seconds=WAIT_SECONDS)
        for policy in policies:
            await one.watch.until(
                ("c1", policy.name), lambda status: status.totals.outcomes[Outcome.SUCCESS] == 8
            )
        assert cluster.jobs.peak == 1
        assert one.watch.most_in_progress == 1
        runs = sorted(await one.runs(), key=lambda run: run.started_timestamp_seconds)
        ends = [run.ended_timestamp_seconds for run in runs if run.ended_timestamp_seconds is not None]
        starts = [run.started_timestamp_seconds for run in runs]
        assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
        for run in runs:
            assert all(fnmatchcase(deletion.version, run.policy) for deletion in run.deletions)


@pytest.mark.parametrize("most", [1, 3])
async def test_no_more_clusters_are_cleaned_at_once_than_allowed(most: int, tmp_path: Path) -> None:
    clusters = [cluster_named(f"c{n}", "9.11.1", "9.12.1", "9.14.1P2", job_seconds=0.1) for n in range(6)]
    async with life(tmp_path, *clusters) as it, it.service(POLICY, max_concurrent_clusters=most) as one:
        for cluster in clusters:
            await one.watch.ended((cluster.name, POLICY.name))
            assert cluster.versions == ("9.14.1P2",)
        assert one.watch.most_in_progress == most


Change = Callable[[Journal, Lease, Deletion], Awaitable[object]]


async def unfinished(
    it: Life,
    version: str,
    change: Change | None = None,
    *,
    ago: timedelta = timedelta(0),
    create_timestamp_seconds: float | None = None,
) -> None:
    """Leave a journal as a program does that ends in the midst of a deletion that it began some time ago."""
    (cluster,) = (one for one in it.simulator.clusters if one.name == "c1")
    async with it.journal(cluster) as (journal, lease):
        run_id = await journal.runs.begin(
            lease, cluster="c1", policy=POLICY.name, dry_run=False, plan="[]", candidates=1, now=time.time()
        )
        deletion = await journal.deletions.intend(
            lease,
            run_id,
            version=version,
            create_timestamp_seconds=create_timestamp_seconds,
            earlier_job_uuids=frozenset(),
            max_deletes_per_day=None,
            policy_digest="",
            now=time.time() - ago.total_seconds(),
        )
        if change is not None:
            await change(journal, lease, deletion)


async def resumed(it: Life, *policies: PolicyConfig) -> tuple[Deletion, Run]:
    """Start the service on the state and return what became of the one deletion, and of its run."""
    async with it.service(*policies) as one:
        await one.watch.until(C1, lambda status: sum(status.totals.outcomes.values()) == 1)
        await one.watch.ended()
        assert one.watch.statuses[C1].in_progress == 0
        run = (await one.runs())[0]
        (deletion,) = run.deletions
        assert one.watch.statuses[C1].totals == (await totals_of(one.journal))[C1]
        assert await unfinished_on(one.journal, deletion.cluster_uuid) == ()
        return deletion, run


async def start_job(it: Life, version: str) -> str | None:
    """Send DELETE as the earlier life did."""
    access = it.accesses["c1"]
    deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
    return await access.client.converse(delete_package(version, return_timeout_seconds=0), deadline=deadline)


async def test_clusters_whose_repositories_are_busy_do_not_keep_an_idle_one_waiting(tmp_path: Path) -> None:
    busy = [cluster_named(f"c{number}", "9.12.1", "9.14.1P2") for number in (1, 2, 3)]
    idle = cluster_named("c4", "9.12.1", "9.14.1P2")
    for cluster in busy:
        cluster.faults.add(Fault(FaultKind.DELETE_ERROR, code=10551367))
    policy = changed(POLICY, retry_busy_for=timedelta(hours=1))
    async with (
        life(tmp_path, *busy, idle) as it,
        it.service(policy, polled=["c1", "c2", "c3"], max_concurrent_clusters=1) as one,
    ):
        for cluster in busy:
            await cluster.wait_for_requests(
                2, method="DELETE", path=PACKAGES_PATH, timeout_seconds=WAIT_SECONDS
            )
        one.good_poll(idle)
        status = await one.watch.ended(("c4", "retire-old"))
        assert status.totals.outcomes[Outcome.SUCCESS] == 1
        assert all(ended_at(one.watch.statuses[cluster.name, "retire-old"]) is None for cluster in busy)


async def test_an_intent_whose_package_is_gone_was_a_success(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.14.1P2")
    async with life(tmp_path, cluster) as it:
        await unfinished(it, "9.12.1")
        deletion, run = await resumed(it, POLICY)
        assert (deletion.outcome, deletion.phase) == (Outcome.SUCCESS, Phase.ENDED)
        assert (run.success, run.error) == (
            False,
            "the program ended, or lost the lease of the cluster, during this run",
        )
        assert deletes(cluster) == 0


async def test_an_intent_whose_package_is_still_there_is_not_sent_again(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    async with life(tmp_path, cluster) as it:
        await unfinished(it, "9.12.1")
        deletion, _ = await resumed(it, POLICY)
        assert (deletion.outcome, deletion.attempts) == (Outcome.FAILURE, 1)
        assert "the package is still there" in deletion.message
        assert deletes(cluster) == 0


async def test_an_intent_whose_package_was_put_there_again_was_a_success(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    before = datetime.fromisoformat(OLD) - timedelta(days=1)
    async with life(tmp_path, cluster) as it:
        await unfinished(it, "9.12.1", create_timestamp_seconds=before.timestamp())
        deletion, _ = await resumed(it, changed(POLICY, exclude=["*"]))
        assert (deletion.outcome, deletion.attempts) == (Outcome.SUCCESS, 1)
        assert (deletes(cluster), cluster.versions) == (0, ("9.12.1", "9.14.1P2"))


@pytest.mark.parametrize("effective", [True, False])
async def test_an_intent_whose_job_runs_is_followed(*, effective: bool, tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    ends = JobOutcome.SUCCESS if effective else JobOutcome.FAILURE
    cluster.job_script = JobScript(outcome=ends, code=10551892, seconds=0.0)
    async with life(tmp_path, cluster) as it:
        cluster.hold_jobs()
        cluster.faults.add(at_job_read(cluster.release_jobs))
        uuid = await start_job(it, "9.12.1")
        await unfinished(it, "9.12.1")
        deletion, _ = await resumed(it, POLICY)
        expected = (Outcome.SUCCESS, "") if effective else (Outcome.FAILURE, "10551892")
        assert (deletion.outcome, deletion.code) == expected
        assert deletion.job_uuid == uuid
        assert deletes(cluster) == 1


async def test_job_timeout_does_not_begin_anew_with_every_start(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    async with life(tmp_path, cluster) as it:
        cluster.hold_jobs()
        uuid = await start_job(it, "9.12.1")
        await unfinished(
            it,
            "9.12.1",
            lambda journal, lease, one: journal.deletions.follow(lease, one, job_uuid=uuid),
            ago=POLICY.job_timeout + POLICY.retry_busy_for,
        )
        deletion, _ = await resumed(it, POLICY)
        assert (deletion.outcome, deletion.job_uuid) == (Outcome.TIMEOUT, uuid)
        assert deletes(cluster) == 1


async def test_a_deletion_that_waited_for_a_busy_repository_ends_as_busy(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    async with life(tmp_path, cluster) as it:
        await unfinished(
            it,
            "9.12.1",
            lambda journal, lease, one: journal.deletions.wait(lease, one, code="10551367", message="busy"),
        )
        deletion, run = await resumed(it, POLICY)
        assert (deletion.outcome, deletion.code, deletion.message) == (Outcome.BUSY, "10551367", "busy")
        assert run.success is False
        assert deletes(cluster) == 0


async def follow_job(it: Life) -> None:
    uuid = await start_job(it, "9.12.1")
    await unfinished(
        it, "9.12.1", lambda journal, lease, one: journal.deletions.follow(lease, one, job_uuid=uuid)
    )


@pytest.mark.parametrize(
    ("script", "outcome", "code"),
    [
        (JobScript(seconds=0.3), Outcome.SUCCESS, ""),
        (JobScript(seconds=0.0, retention_seconds=0.0), Outcome.SUCCESS, ""),
        (JobScript(outcome=JobOutcome.FAILURE, code=10551892, seconds=0.3), Outcome.FAILURE, "10551892"),
        (JobScript(outcome=JobOutcome.FAILURE, seconds=0.0, retention_seconds=0.0), Outcome.TIMEOUT, ""),
        (JobScript(outcome=JobOutcome.FAILURE, code=10551367), Outcome.BUSY, "10551367"),
        (JobScript(outcome=JobOutcome.FAILURE, code=10551388), Outcome.BUSY, "10551388"),
        (JobScript(outcome=JobOutcome.FAILURE, code=10551388, takes_effect=True), Outcome.SUCCESS, ""),
        (JobScript(outcome=JobOutcome.NEVER), Outcome.TIMEOUT, ""),
    ],
    ids=["runs", "vanished", "fails", "vanished failed", "busy", "timed out", "timed out done", "never ends"],
)
async def test_a_job_that_was_followed_is_followed_to_its_end(
    script: JobScript, outcome: Outcome, code: str, tmp_path: Path
) -> None:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    cluster.job_script = script
    async with life(tmp_path, cluster) as it:
        await follow_job(it)
        deletion, _ = await resumed(it, changed(POLICY, job_timeout=timedelta(seconds=1)))
        assert (deletion.outcome, deletion.code) == (outcome, code)
        assert deletes(cluster) == 1


async def test_what_is_unfinished_ends_before_any_new_run_on_that_cluster(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.11.1", "9.12.1", "9.14.1P2")
    other = changed(POLICY, name="other", clusters=ClusterSelector(names=["c1"]), include=["9.11*"])
    async with life(tmp_path, cluster, cluster_named("beat")) as it:
        cluster.hold_jobs()
        await follow_job(it)
        async with it.service(POLICY, other, BEAT) as one:
            await one.watch.until(C1, lambda status: status.in_progress == 1)
            await one.watch.beats()
            assert deletes(cluster) == 1
            cluster.release_jobs()
            await one.watch.ended(("c1", "other"))
            runs = [run for run in await one.runs() if run.cluster == "c1"]
            assert [run.policy for run in runs] == [POLICY.name, "other"]
            ended = runs[0].deletions[0].ended_timestamp_seconds
            assert ended is not None
            assert ended <= runs[1].started_timestamp_seconds
            assert cluster.jobs.peak == 1


async def test_a_deletion_of_a_policy_that_is_gone_is_ended_all_the_same(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    new = changed(POLICY, name="new", include=["none"])
    async with life(tmp_path, cluster) as it:
        await follow_job(it)
        async with it.service(new) as one:
            await one.watch.ended(("c1", "new"))
            assert [run.deletions[0].outcome for run in await one.runs() if run.deletions] == [
                Outcome.SUCCESS
            ]
            assert C1 not in one.watch.statuses


async def test_runs_that_were_interrupted_end_as_failed(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.14.1P2")
    async with life(tmp_path, cluster, cluster_named("beat")) as it:
        async with it.journal(cluster) as (journal, lease):
            await journal.runs.begin(
                lease,
                cluster="c1",
                policy=POLICY.name,
                dry_run=False,
                plan="[]",
                candidates=0,
                now=time.time(),
            )
        async with it.service(POLICY, BEAT) as one:
            status = await one.watch.ended()
            assert status.totals.last_success is False
            run = (await one.runs())[0]
            assert (run.success, run.error) == (
                False,
                "the program ended, or lost the lease of the cluster, during this run",
            )
            await one.watch.beats()
            assert cluster.requests == ()


async def test_unfinished_deletions_of_a_cluster_that_left_stay_untouched_and_are_named_at_each_start(
    tmp_path: Path,
) -> None:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    async with life(tmp_path, cluster, cluster_named("beat")) as it:
        await follow_job(it)
        await cluster.wait_for_deletions(1)
        asked = len(cluster.requests)
        with capture_logs() as logs:
            async with it.service(POLICY, BEAT, without="c1") as one:
                await one.watch.beats()
                (deletion,) = await unfinished_on(one.journal, cluster.uuid)
                assert deletion.phase is Phase.FOLLOWED
        named = [
            line["clusters"] for line in logs if line["event"] == "deletions in the journal are unfinished"
        ]
        assert named == ["c1"]
        assert len(cluster.requests) == asked
        deletion, _ = await resumed(it, POLICY)
        assert deletion.outcome is Outcome.SUCCESS


async def test_a_state_that_another_holds_deletes_nothing_until_it_is_free(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    async with life(tmp_path, cluster) as it, it.journal(cluster), it.service(POLICY) as one:

        async def refused() -> bool:
            return "holds it" in one.service.problem

        await eventually(refused, seconds=WAIT_SECONDS, what="the journal to be refused")
        assert one.service.journal is None
        assert cluster.requests == ()
        assert await one.service.recorded(Page().runs) == (None, one.service.problem)
        assert len(one.board.statuses()) == 1
        assert one.watch.statuses[C1].next_run_timestamp_seconds is None


async def test_a_state_that_becomes_free_is_taken_over(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    async with life(tmp_path, cluster) as it, AsyncExitStack() as holder:
        await holder.enter_async_context(it.journal(cluster))
        async with it.service(POLICY) as one:

            async def refused() -> bool:
                return "holds it" in one.service.problem

            await eventually(refused, seconds=WAIT_SECONDS, what="the state to be refused")
            await holder.aclose()
            status = await one.watch.ended()
            assert status.totals.outcomes[Outcome.SUCCESS] == 1
            assert (one.service.problem, deletes(cluster)) == ("", 1)


async def test_the_end_of_the_program_lets_a_delete_that_is_being_sent_be_recorded(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.11.1", "9.12.1", "9.14.1P2")
    cluster.faults.add(Fault(FaultKind.LATENCY, method="DELETE", seconds=0.5))
    async with life(tmp_path, cluster) as it:
        async with it.service(POLICY):
            await cluster.wait_for_requests(1, method="DELETE", path=PACKAGES_PATH)
        async with it.journal(cluster) as (journal, _):
            (deletion,) = await unfinished_on(journal, cluster.uuid)
            assert deletion.phase is Phase.FOLLOWED
            assert deletion.job_uuid is not None
        deletion, run = await resumed(it, POLICY)
        assert (deletion.outcome, deletion.attempts, run.success) == (Outcome.SUCCESS, 1, False)
        assert deletes(cluster) == 1


async def test_while_cleanup_is_halted_every_run_is_skipped(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    async with life(tmp_path, cluster) as it, it.service(changed(POLICY, every=OFTEN), halted=True) as one:
        first = await one.watch.until(C1, lambda status: status.next_run_timestamp_seconds is not None)
        due = first.next_run_timestamp_seconds or 0.0
        await one.watch.until(C1, lambda status: (status.next_run_timestamp_seconds or 0.0) > due + 0.15)
        assert cluster.requests == ()
        assert await one.runs() == ()
        one.kill_switch.release()
        status = await one.watch.ended()
        assert status.totals.outcomes[Outcome.SUCCESS] == 1


async def test_an_interval_that_has_passed_while_cleanup_was_halted_makes_its_run_afterwards(
    tmp_path: Path,
) -> None:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    async with life(tmp_path, cluster) as it, it.service(changed(POLICY, every=HOUR), halted=True) as one:
        await one.watch.until(
            C1, lambda status: (status.next_run_timestamp_seconds or 0.0) > one.clock() + 1800
        )
        assert cluster.requests == ()
        one.kill_switch.release()
        status = await one.watch.ended()
        assert status.totals.outcomes[Outcome.SUCCESS] == 1


async def test_a_schedule_that_has_passed_while_cleanup_was_halted_waits_for_its_next_time(
    tmp_path: Path,
) -> None:
    due = datetime(2025, 6, 14, 3, tzinfo=ZoneInfo("Europe/Amsterdam")).timestamp()
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    nightly = changed(POLICY, every=None, schedule="0 3 * * sat")
    async with (
        life(tmp_path, cluster, cluster_named("beat")) as it,
        it.service(nightly, BEAT, clock=Clock(due - 1.0), halted=True) as one,
    ):
        await one.watch.until(C1, lambda status: status.next_run_timestamp_seconds == due + 7 * 86_400)
        one.kill_switch.release()
        await one.watch.beats()
        assert one.watch.statuses[C1].next_run_timestamp_seconds == due + 7 * 86_400
        assert cluster.requests == ()


async def test_a_halt_holds_for_another_journal_too(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.14.1P2")
    kill_switch = KillSwitch()
    async with life(tmp_path, cluster) as it:
        async with it.service(POLICY, kill_switch=kill_switch) as one:
            await one.watch.ended()
            kill_switch.engage()
            await eventually(is_stored(one), seconds=WAIT_SECONDS, what="the halt to be stored")
        elsewhere = replace(it, state=f"sqlite:///{tmp_path}/other.db")
        async with elsewhere.service(POLICY, kill_switch=kill_switch) as one:
            await eventually(is_stored(one), seconds=WAIT_SECONDS, what="the halt to be stored")
            assert kill_switch.active


@pytest.mark.parametrize(
    ("waited_seconds", "holds"), [(1.0, False), (LONGEST_RELEASE_SECONDS + 1.0, True)], ids=["short", "long"]
)
async def test_a_release_that_has_waited_long_for_a_journal_does_not_undo_what_was_engaged_meanwhile(
    waited_seconds: float, tmp_path: Path, *, holds: bool
) -> None:
    """A standby got SIGUSR2, in a drill for example; then the other process was halted, and ended."""
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    seconds = 0.0
    async with life(tmp_path, cluster) as it:
        async with it.service(POLICY, halted=True) as one:
            await eventually(is_stored(one), seconds=WAIT_SECONDS, what="the halt to be stored")
        standby = KillSwitch(clock=lambda: seconds)
        standby.release()
        seconds = waited_seconds
        async with it.service(POLICY, kill_switch=standby) as one:
            if holds:
                await eventually(is_stored(one), seconds=WAIT_SECONDS, what="the halt to be remembered")
                assert standby.active
            else:
                await one.watch.ended()
            assert deletes(cluster) == int(not holds)


async def test_a_reload_without_a_journal_resumes_nothing_that_is_paused_afterwards(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.14.1P2")
    async with life(tmp_path, cluster) as it, AsyncExitStack() as held:
        journal = await held.enter_async_context(opened(it.state))
        # So long that the journal is opened at the next attempt.
        async with it.service(POLICY, pace=replace(QUICK_PACE, retry_seconds=1.0)) as one:

            async def is_held() -> bool:
                return "another process holds it" in one.service.problem

            await eventually(is_held, seconds=WAIT_SECONDS, what="the journal to be refused")
            one.service.resume_paused()
            lease = await lease_of(journal, cluster.uuid)
            run_id = await new_run(journal, lease, policy=POLICY.name)
            deletion = await intend(journal, lease, run_id, policy_digest=digest_of(POLICY))
            await end(journal, lease, deletion, Outcome.FAILURE, stop_after_failures=1)
            await held.aclose()
            await one.watch.ended()
            assert [pause.policy for pause in one.service.pauses()] == [POLICY.name]


async def test_a_clock_that_is_set_back_a_little_makes_no_run_too_early_and_none_twice(
    tmp_path: Path,
) -> None:
    due = datetime(2025, 6, 14, 3, tzinfo=ZoneInfo("Europe/Amsterdam")).timestamp()
    nightly = changed(POLICY, every=None, schedule="0 3 * * sat")
    async with (
        life(tmp_path, cluster_named("c1")) as it,
        it.service(nightly, clock=(clock := Clock(due - 2.0))) as one,
    ):
        await one.watch.until(C1, lambda status: status.next_run_timestamp_seconds is not None)
        clock.advance(timedelta(seconds=-2))
        status = await one.watch.ended()
        (run,) = await one.runs()
        assert run.started_timestamp_seconds >= due
        assert status.next_run_timestamp_seconds == due + 7 * 86_400


async def test_a_halt_right_before_the_end_holds_after_a_restart(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.14.1P2")
    async with life(tmp_path, cluster) as it:
        async with it.service(POLICY) as one:
            await one.watch.ended()
            one.kill_switch.engage()
        async with it.service(POLICY) as one:
            await eventually(is_stored(one), seconds=WAIT_SECONDS, what="the halt to be remembered")
            assert one.kill_switch.active


def is_stored(one: Servicing) -> Callable[[], Awaitable[bool]]:
    async def stored() -> bool:
        return one.service.journal is not None and (await one.journal.stops.read()).kill_switch

    return stored


async def test_only_some_requests_read_the_journal_at_once(tmp_path: Path) -> None:
    async with life(tmp_path, cluster_named("c1", "9.14.1P2")) as it, it.service(POLICY) as one:
        await one.watch.ended()
        readings = (one.service.recorded(Page().runs) for _ in range(MOST_READINGS + 3))
        problems = [problem for _, problem in await asyncio.gather(*readings) if problem]
        assert problems == ["too many requests are reading the journal now"] * 3
        assert (await one.service.recorded(Page().runs))[1] == ""


async def test_another_takeover_after_counts_from_the_next_heartbeat_on(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.14.1P2")
    async with life(tmp_path, cluster) as it, it.service(POLICY) as one:
        await one.watch.ended()
        await one.service.configure(it.config(POLICY, takeover_after=timedelta(hours=1)), it.accesses)

        async def is_long() -> bool:
            beat = await one.journal.leases.heartbeat()
            return beat.leases[cluster.uuid].valid_until_seconds > boot_time() + 3000

        await eventually(is_long, seconds=WAIT_SECONDS, what="a lease that lasts an hour")


async def test_a_halt_in_the_midst_of_a_run_follows_what_was_sent_and_sends_no_more(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.11.1", "9.12.1", "9.14.1P2")
    async with life(tmp_path, cluster) as it, it.service(POLICY) as one:
        cluster.hold_jobs()
        await cluster.wait_for_requests(1, method="DELETE", path=PACKAGES_PATH)
        one.kill_switch.engage()
        cluster.release_jobs()
        status = await one.watch.ended()
        (run,) = await one.runs()
        assert (run.success, run.error) == (False, "the kill switch is on")
        assert [deletion.outcome for deletion in run.deletions] == [Outcome.SUCCESS]
        assert (deletes(cluster), status.totals.outcomes[Outcome.SUCCESS]) == (1, 1)


@pytest.mark.parametrize(
    "policy", [POLICY, changed(POLICY, every=None, schedule="30 * * * *")], ids=["every", "cron"]
)
async def test_runs_that_come_due_while_one_goes_on_are_skipped_and_counted(
    policy: PolicyConfig, tmp_path: Path
) -> None:
    begun = datetime(2025, 6, 14, 3, 29, 59, 700_000, tzinfo=ZoneInfo("Europe/Amsterdam")).timestamp()
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    async with life(tmp_path, cluster) as it, it.service(policy, clock=Clock(begun)) as one:
        cluster.hold_jobs()
        await cluster.wait_for_requests(1, method="DELETE", path=PACKAGES_PATH)
        one.clock.advance(timedelta(hours=3, minutes=20))
        with capture_logs() as logs:
            cluster.release_jobs()
            status = await one.watch.until(C1, lambda status: status.skipped_runs > 0)
        assert status.skipped_runs == 3
        assert [line["count"] for line in logs if "came due" in line["event"]] == [3]
        status = await one.watch.until(
            C1, lambda status: (status.next_run_timestamp_seconds or 0.0) > one.clock()
        )
        started = status.totals.last_started_timestamp_seconds or 0.0
        next_run = status.next_run_timestamp_seconds or 0.0
        assert next_run - started == pytest.approx(4 * 3600, abs=WAIT_SECONDS)
        assert len(await one.runs()) == 1


async def test_a_policy_that_matches_nothing_makes_no_status(tmp_path: Path) -> None:
    nowhere = changed(POLICY, name="nowhere", clusters=ClusterSelector(names=["x*"]))
    elsewhere = changed(POLICY, name="elsewhere", clusters=ClusterSelector(labels={"site": "dr"}))
    async with life(tmp_path, cluster_named("c1")) as it, it.service(nowhere, elsewhere, POLICY) as one:
        await one.watch.ended()
        assert set(one.watch.statuses) == {C1}
        assert [policy.name for policy in one.service.policies()] == ["nowhere", "elsewhere", "retire-old"]


async def test_every_policy_applies_by_name_and_labels(tmp_path: Path) -> None:
    clusters = [
        SimulatedCluster(f"{site}-{n}", labels={"site": site}) for site in ("ams", "dr") for n in (1, 2)
    ]
    by_name = changed(POLICY, name="by-name", clusters=ClusterSelector(names=["ams-*", "dr-2"]))
    by_label = changed(
        POLICY, name="by-label", clusters=ClusterSelector(names=["*-1"], labels={"site": "dr"})
    )
    async with life(tmp_path, *clusters) as it, it.service(by_name, by_label) as one:
        expected = {("ams-1", "by-name"), ("ams-2", "by-name"), ("dr-2", "by-name"), ("dr-1", "by-label")}
        assert {status.key for status in one.board.statuses()} == expected
        assert {status.labels for status in one.board.statuses()} == {(("site", "ams"),), (("site", "dr"),)}


async def test_a_run_that_cannot_read_its_cluster_fails_and_the_next_one_makes_good(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    cluster.faults.add(Fault(FaultKind.SERVER_ERROR))
    async with life(tmp_path, cluster) as it, it.service(changed(POLICY, every=OFTEN)) as one:
        failed = await one.watch.ended()
        assert (failed.totals.last_success, failed.totals.last_success_timestamp_seconds) == (False, None)
        cluster.faults.clear()
        good = await one.watch.until(C1, lambda status: status.totals.last_success is True)
        assert good.totals.last_success_timestamp_seconds == ended_at(good)


async def test_old_runs_are_pruned_and_the_totals_stay(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.13.1", "9.14.1P2")
    async with life(tmp_path, cluster) as it:
        async with it.journal(cluster) as (journal, lease):
            for _ in range(2 * KEPT_RUNS):
                run_id = await new_run(journal, lease, policy=POLICY.name)
                await journal.runs.end(lease, run_id, success=True, now=130.0)
        async with it.service(changed(POLICY, every=OFTEN)) as one:
            await one.watch.until(C1, lambda status: status.totals.outcomes[Outcome.SUCCESS] == 1)
            for _ in range(2):
                await one.watch.ended(after=ended_at(one.watch.statuses[C1]) or 0.0)
            runs = await one.runs()
            assert KEPT_RUNS <= len(runs) <= KEPT_RUNS + 2  # one has ended just now, and one may have begun
            assert (await totals_of(one.journal))[C1].outcomes[Outcome.SUCCESS] == 1


async def test_a_nightly_policy_does_not_run_without_pause_while_the_hour_comes_twice(
    tmp_path: Path,
) -> None:
    zone = ZoneInfo("Europe/Amsterdam")
    ten_past_two_again = Clock(datetime(2025, 10, 26, 2, 10, tzinfo=zone, fold=1).timestamp())
    cluster = cluster_named("c1", "9.14.1P2")
    nightly = changed(POLICY, every=None, schedule="30 2 * * *")
    async with (
        life(tmp_path, cluster, cluster_named("beat")) as it,
        it.service(nightly, BEAT, clock=ten_past_two_again) as one,
    ):
        await one.watch.beats(5)
        assert [run.policy for run in await one.runs() if run.cluster == "c1"] == []


async def test_an_open_journal_that_does_not_answer_counts_as_not_usable_until_it_does(
    tmp_path: Path,
) -> None:
    answers = threading.Event()
    async with (
        life(tmp_path, cluster_named("c1", "9.14.1P2")) as it,
        it.service(POLICY, takeover_after=timedelta(seconds=3), silence_seconds=0.5) as one,
    ):
        await one.watch.ended()
        hanging = asyncio.create_task(one.journal.runs.database.transact("hang", lambda _: answers.wait()))
        try:

            async def silent() -> bool:
                held = [lease.held for lease in one.board.leases()]
                return "no answer for 0.5 s or more" in one.service.problem and held == [False]

            await eventually(silent, seconds=WAIT_SECONDS, what="the journal to count as silent")
            assert await one.service.recorded(Page().runs) == (None, one.service.problem)

            async def closed() -> bool:
                return not one.service.is_open

            await eventually(closed, seconds=WAIT_SECONDS, what="the journal to count as not usable")
        finally:
            answers.set()
        await hanging

        async def usable() -> bool:
            return one.service.is_open and one.service.problem == ""

        await eventually(usable, seconds=WAIT_SECONDS, what="the journal to answer again")
        runs, _ = await one.service.recorded(Page().runs)
        assert runs is not None
        assert len(runs) == 1


async def test_a_failure_of_the_journal_that_soon_passes_does_not_count(tmp_path: Path) -> None:
    async with life(tmp_path, cluster_named("c1", "9.14.1P2")) as it, it.service(POLICY) as one:
        await one.watch.ended()
        with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            one.kill_switch.engage()  # which is recorded at once

            async def failed() -> bool:
                return "locked" in one.service.problem

            await eventually(failed, seconds=WAIT_SECONDS, what="a heartbeat to fail")
            assert one.service.is_open

        async def passed() -> bool:
            return one.service.problem == ""

        await eventually(passed, seconds=PASSING_SECONDS, what="the next heartbeat, which comes at once")
        assert one.service.is_open


async def test_a_pause_that_a_cluster_asks_for_lets_others_in_and_ends_with_the_kill_switch(
    tmp_path: Path,
) -> None:
    clusters = [cluster_named(name, "9.12.1", "9.14.1P2") for name in ("c1", "c2")]
    async with life(tmp_path, *clusters) as it:
        it.accesses["c1"].account.deletions_wait_until = asyncio.get_running_loop().time() + 60.0
        policy = changed(POLICY, retry_busy_for=timedelta(minutes=5))
        async with it.service(policy, max_concurrent_clusters=1) as one:
            await clusters[1].wait_for_deletions(1)
            await one.watch.until(C1, lambda status: status.in_progress == 1)
            one.kill_switch.engage()
            await one.watch.ended()
            (run,) = [run for run in await one.runs() if run.cluster == "c1"]
            assert (run.failure, deletes(clusters[0])) == ("stopped", 0)
            assert clusters[0].requests_to(JOBS_PATH) == ()
