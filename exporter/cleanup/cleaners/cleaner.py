"""One cluster's cleaner: it waits for the lease, recovers what is unfinished, and runs what is due."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import NoReturn

import structlog

from exporter.cleanup.cleaners.recovery import end_deletions
from exporter.cleanup.cleanup_board import Key
from exporter.cleanup.decide.schedule import Due
from exporter.cleanup.delete.steps import Sleep
from exporter.cleanup.journal import JournalError, LeaseLostError
from exporter.cleanup.outcomes import RunFailure
from exporter.cleanup.policy_values import schedule_of
from exporter.cleanup.records import Inherited, Lease
from exporter.cleanup.run import PolicyRun, Services
from exporter.concurrency import no_stray_cancellation
from exporter.config import PolicyConfig
from exporter.ontap.access import ClusterAccess
from exporter.ontap.errors import OntapError

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

KEPT_RUNS = 50
"""This many runs of each policy on each cluster are kept with their details; the totals are kept for ever."""
WOKEN_PER_SLICE = 10
"""How many cleaners are woken before other tasks run."""
HANDOVER_SECONDS = 10.0
"""If nobody held a cluster's lease for at most ``takeover_after`` and this long, no run counts as missed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a cleaner is to do; a reload replaces it as a whole.

    Attributes:
        policies: those that apply to the cluster, in the order of the configuration.
        max_deletes_per_day: of all policies on all clusters; None: no limit.
        since: since when the cluster has been configured in this process, Unix seconds.
    """

    access: ClusterAccess
    policies: tuple[PolicyConfig, ...]
    max_deletes_per_day: int | None
    takeover_after_seconds: float
    since: float


class Cleaner:
    """Cleans the cluster of one uuid for as long as it runs.

    Attributes:
        lease: the lease that this process has on the cluster; None: another process may clean it.
        is_busy: whether a run or a recovery is going on.
    """

    def __init__(self, *, cluster_uuid: str, assignment: Assignment, services: Services) -> None:
        self.lease: Lease | None = None
        self.is_busy = False
        self._cluster_uuid = cluster_uuid
        self._problem = ""
        self._assignment: Assignment | None = assignment
        self._services = services
        self._recovered_epoch: int | None = None
        self._inherited: Inherited | None = None
        self._last_started: dict[str, float] = {}
        self._due: dict[str, tuple[PolicyConfig, float]] = {}
        self._due_before: dict[str, tuple[PolicyConfig, float]] = {}
        """What was due when cleaning was interrupted: such a run is late, not missed."""
        self._has_timers = False
        self._changes = 0
        self._changed = asyncio.Event()

    @property
    def wants_lease(self) -> bool:
        """Whether there is something to clean."""
        return self.is_busy or (self._assignment is not None and bool(self._assignment.policies))

    def cleans(self, access: ClusterAccess) -> bool:
        """Say whether the cleaner reaches its cluster by this access."""
        return self._assignment is not None and self._assignment.access is access

    def assign(self, assignment: Assignment | None) -> None:
        """Replace what is to be done; None: nothing. A run looks at it before each DELETE."""
        if assignment != self._assignment:
            self._show_problem("")
            before, name = self._assignment, None if assignment is None else assignment.access.name
            if before is not None and before.access.name != name:  # nothing is known under that name any more
                for policy in before.policies:
                    self._show_next_run(policy, None)
            self._assignment = assignment
            self.recheck()

    def hold(self, lease: Lease | None, inherited: Inherited | None = None) -> None:
        """Take note of the lease, renewed or new; None: this process has none.

        ``inherited`` is what a new lease comes with; None: the cleaner asks for it.
        """
        before, self.lease = self.lease, lease
        if (before and before.epoch) != (lease and lease.epoch):
            self._inherited = inherited
            self._show_next_runs()
            self.recheck()
        if lease is None:
            self._show_problem("")

    def recheck(self) -> None:
        """End the present wait, so that its conditions are checked again."""
        self._changes += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def reschedule(self) -> None:
        """Work out again when each policy is due: the wall clock was set back."""
        self._due, self._due_before = {}, {}
        self.recheck()

    def resume_intervals(self) -> None:
        """Work out again when policies with an interval are due: the kill switch was on, and is off now."""
        self._due = {name: known for name, known in self._due.items() if known[0].every is None}
        self.recheck()

    async def run(self) -> NoReturn:
        """Clean until cancelled; an error of one cluster stops nothing but its own cleaning."""
        while True:
            seen = self._changes
            try:
                with no_stray_cancellation():
                    if self.lease is not None and self._assignment is not None:
                        await self._clean(self.lease, self._assignment, seen)
                    await self._change_after(seen)
            except LeaseLostError as exc:
                self.lease = self._recovered_epoch = None
                self._show_next_runs()
                self._show_problem("")
                log.info("this process no longer cleans the cluster", uuid=self._cluster_uuid, why=str(exc))
            except (JournalError, OntapError) as exc:
                self._recovered_epoch = None  # what was begun has to be brought to its end first
                self._note_problem(str(exc))
                await self._change_after(seen, seconds=self._services.pace.retry_seconds)
            except Exception:
                log.exception("a bug ended the cleaning of a cluster", uuid=self._cluster_uuid)
                self._recovered_epoch = None
                self._show_problem(
                    "internal error: see the log; nothing is deleted there until its configuration changes",
                    failure=RunFailure.INTERNAL_ERROR,
                )
                await self._change_after(seen)

    async def _clean(self, lease: Lease, assignment: Assignment, seen: int) -> None:
        """Recover, then make every run at its time, until the lease or the assignment changes."""
        if self._recovered_epoch != lease.epoch:
            self._due_before |= self._due
            self._due = {}
            self._show_next_runs()
            await self._recover(lease, assignment)
            self._recovered_epoch = lease.epoch
        self._show_problem("")
        self._set_timers(lease, assignment)
        while self._changes == seen and self._due:
            policy, due = min(self._due.values(), key=lambda one: one[1])
            seconds = due - self._services.wall_clock()
            if seconds > 0:  # also after a wait, if the clock was set back a little meanwhile
                await self._change_after(seen, seconds=seconds)
            else:
                await self._start_run(lease, assignment, policy, due)

    async def _recover(self, lease: Lease, assignment: Assignment) -> None:
        """Bring the deletions to their end that an earlier or another process has left unfinished here."""
        inherited, self._inherited = self._inherited, None
        if inherited is None:
            inherited = await self._inherit(lease)
        if inherited.unfinished:
            async with self._slot():
                await end_deletions(
                    inherited.unfinished,
                    lease=lease,
                    access=assignment.access,
                    policies=assignment.policies,
                    services=self._services,
                    sleep=self._sleep,
                )
            inherited = await self._inherit(lease)
            await self._services.show_counts()
        self._last_started = dict(inherited.last_started)

    async def _inherit(self, lease: Lease) -> Inherited:
        found = await self._services.journal.runs.inherit([lease], now=self._services.wall_clock())
        if self._cluster_uuid not in found:
            raise LeaseLostError(f"the lease of cluster {self._cluster_uuid} was taken over or given up")
        return found[self._cluster_uuid]

    def _set_timers(self, lease: Lease, assignment: Assignment) -> None:
        """Work out when each policy is due, unless that is known already."""
        now = self._services.wall_clock()
        since = now if self._has_timers else assignment.since
        self._has_timers = True
        if lease.held_before_until is not None:
            gap = now - lease.held_before_until
            if gap <= assignment.takeover_after_seconds + HANDOVER_SECONDS:
                since = min(since, lease.held_before_until - assignment.takeover_after_seconds)
        kept: dict[str, tuple[PolicyConfig, float]] = {}
        for policy in assignment.policies:
            known = self._due.get(policy.name)
            if known is None or known[0] != policy:
                last_started = self._last_started.get(policy.name)
                before, due_before = self._due_before.get(policy.name, (None, now))
                managed_since = min(since, due_before - 1) if before == policy else since
                due = schedule_of(policy).first(
                    now=now, last_started=last_started, managed_since=managed_since
                )
                self._count_skipped(policy, due.skipped)
                known = (policy, due.at)
            kept[policy.name] = known
        self._due, self._due_before = kept, {}
        self._show_next_runs()

    async def _start_run(
        self, lease: Lease, assignment: Assignment, policy: PolicyConfig, due: float
    ) -> None:
        """Make a run that is due, unless it is too late for it or the kill switch is on."""
        services, schedule = self._services, schedule_of(policy)
        if self._skips_run(policy, due):
            return
        run = PolicyRun(
            services=services,
            access=assignment.access,
            policy=policy,
            max_deletes_per_day=assignment.max_deletes_per_day,
            lease=lease,
            current_lease=lambda: self.lease,
            is_assigned=lambda: self._is_assigned(assignment, policy),
            sleep=self._sleep,
        )
        async with self._slot():
            # Other clusters may have taken long: the run is made by what applies now, or not at all.
            is_ours = self.lease is not None and self.lease.epoch == lease.epoch
            started = services.wall_clock()
            is_due = started >= due  # not any more, if the clock was set back a little
            if not is_ours or not is_due or not self._is_assigned(assignment, policy):
                return
            if self._skips_run(policy, due):
                return
            following = schedule.after_run(due=started, started=started, ended=started)
            self._show_next_run(policy, following.at)
            await run.make(started=started)
        self._last_started[policy.name] = started
        await services.journal.runs.prune(lease, keep=KEPT_RUNS)
        after = schedule.after_run(due=due, started=started, ended=services.wall_clock())
        if after.skipped:
            log.warning(
                "runs came due during a run, and are skipped", count=after.skipped, **self._log_keys(policy)
            )
        self._set_next_run(policy, after)

    def _skips_run(self, policy: PolicyConfig, due: float) -> bool:
        """Skip a run, and say so, if it is too late for it or the kill switch is on."""
        schedule, now = schedule_of(policy), self._services.wall_clock()
        on_time = schedule.unless_late(at=due, now=now)
        if on_time.skipped:
            log.warning("a run came due too long ago, so it is skipped", **self._log_keys(policy))
            self._set_next_run(policy, on_time)
        elif self._services.kill_switch.active:
            log.warning("the kill switch is on, so a run is skipped", **self._log_keys(policy))
            self._set_next_run(policy, schedule.after_run(due=now, started=now, ended=now))
        else:
            return False
        return True

    def _is_assigned(self, then: Assignment, policy: PolicyConfig) -> bool:
        now = self._assignment
        return (
            now is not None
            and now.access is then.access
            and policy in now.policies
            and now.max_deletes_per_day == then.max_deletes_per_day
        )

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """Count the cluster as one of max_concurrent_clusters for as long as the context lasts."""
        async with self._services.active:
            self.is_busy = True
            try:
                yield
            finally:
                self.is_busy = False

    async def _sleep(self, sleep: Sleep) -> None:
        """Pause; if nothing is under way, let another cluster in, and end the pause if something changes."""
        if not sleep.idle:
            await asyncio.sleep(sleep.seconds)
            return
        self._services.active.release()
        try:
            await self._change_after(self._changes, seconds=sleep.seconds)
        finally:
            await self._services.active.acquire()

    def _set_next_run(self, policy: PolicyConfig, due: Due) -> None:
        """Set a policy's next run, and count the runs that are skipped before it."""
        self._count_skipped(policy, due.skipped)
        self._due[policy.name] = (policy, due.at)
        self._show_next_run(policy, due.at)

    def _show_next_runs(self) -> None:
        """Show when each policy is due; without the lease, or before the recovery, that is not known."""
        is_known = self.lease is not None and self._recovered_epoch == self.lease.epoch
        for policy in () if self._assignment is None else self._assignment.policies:
            _, due = self._due.get(policy.name, (policy, None))
            self._show_next_run(policy, due if is_known else None)

    def _show_next_run(self, policy: PolicyConfig, at: float | None) -> None:
        self._services.board.change(
            self._key(policy), lambda status: replace(status, next_run_timestamp_seconds=at)
        )

    def _count_skipped(self, policy: PolicyConfig, count: int) -> None:
        if count:
            self._services.board.change(
                self._key(policy), lambda status: replace(status, skipped_runs=status.skipped_runs + count)
            )

    def _key(self, policy: PolicyConfig) -> Key:
        name = "" if self._assignment is None else self._assignment.access.name
        return (name, policy.name)

    def _log_keys(self, policy: PolicyConfig) -> dict[str, str]:
        cluster, name = self._key(policy)
        return {"cluster": cluster, "policy": name}

    def _note_problem(self, problem: str) -> None:
        write = log.debug if problem == self._problem else log.error
        write("a cluster cannot be cleaned", uuid=self._cluster_uuid, error=problem)
        self._show_problem(problem)

    def _show_problem(self, problem: str, *, failure: RunFailure | None = None) -> None:
        """Show why nothing is cleaned, "" if nothing prevents it; ``failure``: why no run could be made."""
        if problem == self._problem and failure is None:
            return
        self._problem = problem
        now = self._services.wall_clock()
        for policy in () if self._assignment is None else self._assignment.policies:
            self._services.board.show_problem(self._key(policy), problem, failure=failure, now=now)

    async def _change_after(self, seen: int, *, seconds: float | None = None) -> bool:
        """Wait until something has changed since ``seen``, for some seconds at most; say whether it has."""
        if self._changes == seen and (seconds is None or seconds > 0):
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
        return self._changes != seen
