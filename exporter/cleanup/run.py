"""One run of one policy on one cluster: preflight, plan, deletions, outcome."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

import structlog

from exporter.cleanup.approval import SavedPlans
from exporter.cleanup.cleanup_board import CleanupBoard
from exporter.cleanup.decide.plan import Decision, Plan, Rules, Verdict
from exporter.cleanup.decide.policy import make_plan
from exporter.cleanup.delete import lifecycle
from exporter.cleanup.delete.driver import DeletionDriver, RunChecks
from exporter.cleanup.delete.limits import Pace
from exporter.cleanup.delete.steps import Decided, Sleep, Undecided
from exporter.cleanup.journal import Journal, JournalError
from exporter.cleanup.kill_switch import KillSwitch
from exporter.cleanup.outcomes import Outcome, RunFailure
from exporter.cleanup.policy_values import digest_of, limits_of, rules_of
from exporter.cleanup.preflight import Preflight, read_being_deleted, read_preflight
from exporter.cleanup.records import Deletion, Lease
from exporter.concurrency import ConcurrencyLimit
from exporter.config import PolicyConfig
from exporter.ontap.access import ClusterAccess

audit: structlog.stdlib.BoundLogger = structlog.get_logger("exporter.cleanup.audit")

AS_PLANNED = frozenset({Outcome.SUCCESS, Outcome.ALREADY_GONE, Outcome.PROTECTED})
"""Outcomes of a successful run: the package is gone, or was kept because it came into use."""
HALTED = "the kill switch is on"
CHANGED = "the configuration of cleanup or of this cluster has changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What all runs share.

    Attributes:
        active: limits how many clusters are worked on at once; not held during waits for a busy repository.
        clock: seconds that never go back and go on while the machine is suspended.
        wall_clock: Unix seconds.
    """

    journal: Journal
    board: CleanupBoard
    kill_switch: KillSwitch
    pace: Pace
    saved_plans: SavedPlans
    active: ConcurrencyLimit
    clock: Callable[[], float]
    wall_clock: Callable[[], float]

    async def show_counts(self) -> None:
        """Show what the journal has counted, if it can be read; the next heartbeat shows it all the same."""
        with suppress(JournalError):
            await self.board.read_totals(self.journal.totals)


Failure = tuple[RunFailure, str]
"""Why a run could not do its work, as a word and as a phrase."""


@dataclass(slots=True, kw_only=True)
class PolicyRun:
    """Makes one run of one policy on one cluster.

    Attributes:
        max_deletes_per_day: of all policies on all clusters; None: no limit.
        lease: under which everything is recorded; if it is lost, nothing more is sent.
        current_lease: returns the lease that this process has on the cluster now; None if it has none.
        is_assigned: says whether the policy is still configured for the cluster as it was.
        sleep: pauses; if nothing is under way on the cluster, another cluster may be cleaned meanwhile.
    """

    services: Services
    access: ClusterAccess
    policy: PolicyConfig
    max_deletes_per_day: int | None
    lease: Lease
    current_lease: Callable[[], Lease | None]
    is_assigned: Callable[[], bool]
    sleep: Callable[[Sleep], Awaitable[None]]
    _rules: Rules = field(init=False)

    async def make(self, *, started: float) -> None:
        """Plan, and delete what the plan chose unless the policy is a dry run.

        Raises:
            JournalError: a step could not be recorded; what was not recorded was not done.
        """
        services = self.services
        approved = await services.saved_plans.approval_of(self.policy, now=started)
        self._rules = replace(rules_of(self.policy), approved=approved)
        preflight = await self._read_preflight()
        given_up = await services.journal.deletions.given_up(self.lease.cluster_uuid)
        being_deleted = await read_being_deleted(self.access, given_up, now=started)
        plan = self._plan(preflight.with_facts(being_deleted=being_deleted))
        run_id = await services.journal.runs.begin(
            self.lease,
            cluster=self.access.name,
            policy=self.policy.name,
            dry_run=self.policy.dry_run,
            plan=json.dumps(plan.as_json()),
            candidates=len(plan.chosen),
            planned=None if plan.problem else plan.counts,
            now=started,
        )
        log_plan(self.access.name, self.policy, plan)
        await services.show_counts()
        failed = await self._carry_out(run_id, plan, preflight, being_deleted)
        failure, error = failed or ("", "")
        await services.journal.runs.end(
            self.lease,
            run_id,
            success=failed is None,
            failure=str(failure),
            error=error,
            now=services.wall_clock(),
        )
        await services.show_counts()
        log = audit.info if failed is None else audit.warning
        log(
            "cleanup run ended",
            cluster=self.access.name,
            policy=self.policy.name,
            dry_run=self.policy.dry_run,
            candidates=len(plan.chosen),
            success=failed is None,
            reason=str(failure) or None,
            error=error or None,
        )

    async def _carry_out(
        self, run_id: int, plan: Plan, preflight: Preflight, being_deleted: frozenset[str]
    ) -> Failure | None:
        if plan.problem:
            return preflight.failure, plan.problem
        if self.policy.dry_run or not plan.chosen:
            return None
        if being_deleted:
            versions = ", ".join(sorted(being_deleted))
            return RunFailure.EARLIER_DELETION, f"an earlier deletion may still be going on: {versions}"
        return await self._delete_all(run_id, plan)

    async def _delete_all(self, run_id: int, plan: Plan) -> Failure | None:
        """Delete what the plan chose, one by one."""
        services = self.services
        limits = limits_of(self.policy)
        busy_until = services.clock() + limits.retry_busy_for_seconds
        failed: Failure | None = None
        for chosen in plan.chosen:
            if why := self._why_not():
                return RunFailure.STOPPED, why
            driver = self._driver(run_id, chosen)
            progress, action = lifecycle.begin(limits=limits, pace=services.pace, busy_until=busy_until)
            with services.board.in_progress((self.access.name, self.policy.name)):
                deletion = await driver.drive(progress, action)
            if isinstance(deletion, Undecided):
                return deletion.failure, deletion.problem
            log_outcome(deletion, chosen)
            await services.show_counts()
            if deletion.outcome is Outcome.DENIED:
                return RunFailure.DENIED, "the cluster denied a deletion, so the run ended"
            if deletion.outcome is Outcome.TIMEOUT:
                error = f"the deletion of {chosen.version} may still be going on, so the run ended"
                return RunFailure.DELETION_FAILED, error
            if deletion.outcome not in AS_PLANNED and failed is None:
                error = f"the deletion of {chosen.version} ended as {deletion.outcome}"
                failed = RunFailure.DELETION_FAILED, error
        if why := self._why_not():
            return RunFailure.STOPPED, why
        return failed

    def _driver(self, run_id: int, chosen: Decision) -> DeletionDriver:
        services = self.services
        return DeletionDriver(
            run_id=run_id,
            version=chosen.version,
            create_timestamp_seconds=chosen.create_timestamp_seconds,
            access=self.access,
            journal=services.journal,
            lease=self.lease,
            stop_after_failures=self.policy.stop_after_failures,
            checks=RunChecks(
                decide=self._decide_again,
                why_not=self._why_not,
                max_deletes_per_day=self.max_deletes_per_day,
                policy_digest=digest_of(self.policy),
            ),
            sleep=self.sleep,
            clock=services.clock,
            wall_clock=services.wall_clock,
        )

    async def _decide_again(self, version: str) -> tuple[Decided, Preflight] | Undecided:
        """Read the cluster afresh, and decide on one version again, without ``max_deletes_per_run``."""
        if why := self._why_not():
            return Undecided(problem=why, failure=RunFailure.STOPPED)
        preflight = await self._read_preflight()
        if preflight.listing is None or preflight.facts is None:
            return Undecided(problem=preflight.problem, failure=preflight.failure)
        unlimited = replace(self._rules, max_deletes=len(preflight.listing.packages))
        return Decided(decision=self._plan(preflight, unlimited).decision(version)), preflight

    def _why_not(self) -> str:
        """Say why nothing may be sent now; "" if it may. Waits for nothing."""
        if self.services.kill_switch.active:
            return HALTED
        if not self.is_assigned():
            return CHANGED
        lease = self.current_lease()
        if lease is None or lease.epoch != self.lease.epoch:
            return "this process no longer holds the lease of the cluster"
        if self.services.clock() >= lease.valid_until_seconds:
            return "the lease of the cluster may have expired"
        return ""

    async def _read_preflight(self) -> Preflight:
        """Read the cluster, note which packages are there, and since when."""
        preflight = await read_preflight(self.access, clock=self.services.clock)
        if preflight.listing is None or preflight.facts is None:
            return preflight
        if preflight.facts.cluster_uuid != self.lease.cluster_uuid:
            return Preflight(problem="another cluster answers at this address now")
        if self._rules.seen_for_seconds <= 0:
            return preflight
        journal = self.services.journal
        now = self.services.wall_clock()
        await journal.seen.note({self.lease: preflight.listing.packages}, now=now)
        first_seen = await journal.seen.since(self.lease.cluster_uuid, now=now)
        return preflight.with_facts(first_seen=first_seen)

    def _plan(self, preflight: Preflight, rules: Rules | None = None) -> Plan:
        return make_plan(
            rules or self._rules,
            preflight.listing,
            preflight.facts,
            now=self.services.wall_clock(),
            problem=preflight.problem,
        )


def log_outcome(deletion: Deletion, decision: Decision | None = None) -> None:
    """Log the outcome of a deletion, and what was decided if that is known."""
    log = audit.info if deletion.outcome in AS_PLANNED else audit.warning
    log(
        "package deletion ended",
        cluster=deletion.cluster,
        policy=deletion.policy,
        version=deletion.version,
        age_seconds=None if decision is None else _rounded(decision.age_seconds),
        reason=None if decision is None else str(decision.reason),
        outcome=str(deletion.outcome),
        attempts=deletion.attempts,
        job=deletion.job_uuid,
        code=deletion.code or None,
        message=deletion.message or None,
    )


def log_plan(cluster: str, policy: PolicyConfig, plan: Plan) -> None:
    """Log every decision of a plan; those to keep a package only at the level debug."""
    for decision in plan.decisions:
        log = audit.info if decision.verdict is Verdict.DELETE else audit.debug
        log(
            "package judged",
            cluster=cluster,
            policy=policy.name,
            dry_run=policy.dry_run,
            version=decision.version,
            age_seconds=_rounded(decision.age_seconds),
            verdict=str(decision.verdict),
            reason=str(decision.reason),
            detail=decision.detail,
        )


def _rounded(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)
