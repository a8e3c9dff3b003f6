"""One run of one policy on one cluster: preflight, plan, deletions, account."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, replace

import structlog

from exporter.cleanup.cleanup_board import CleanupBoard, PolicyStatus
from exporter.cleanup.deleter import Deleter
from exporter.cleanup.journal import Journal
from exporter.cleanup.kill_switch import KillSwitch
from exporter.cleanup.plan import Decision, Plan, Rules
from exporter.cleanup.policy import make_plan
from exporter.cleanup.preflight import DecisionImpossibleError, Preflight, read_preflight
from exporter.cleanup.records import Deletion, Outcome, TargetIdentity
from exporter.ontap.access import ClusterAccess

audit: structlog.stdlib.BoundLogger = structlog.get_logger("exporter.cleanup.audit")

_AS_PLANNED = frozenset({Outcome.SUCCESS, Outcome.ALREADY_GONE, Outcome.PROTECTED})
"""Outcomes that leave a run successful: what was to go is gone, and what came into use was left alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOnCluster:
    """A policy as it applies to one cluster.

    Attributes:
        policy: its name.
        rules: what it retires.
        dry_run: whether it only plans.
        access: the cluster.
    """

    policy: str
    rules: Rules
    dry_run: bool
    access: ClusterAccess

    @property
    def key(self) -> tuple[str, str]:
        """Cluster and policy."""
        return (self.access.name, self.policy)


class Runner:
    """Makes runs and accounts for them.

    Args:
        journal: remembers them.
        board: shows them.
        kill_switch: stops all deleting at once.
        wall_clock: gives Unix seconds.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        board: CleanupBoard,
        kill_switch: KillSwitch,
        wall_clock: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._board = board
        self._kill_switch = kill_switch
        self._wall_clock = wall_clock

    async def run(self, subject: PolicyOnCluster, deleter: Deleter) -> None:
        """Plan, and delete what the plan chose unless the policy is a dry run.

        Raises:
            JournalError: a step could not be recorded; what was not recorded was not done.
        """
        started = self._wall_clock()
        preflight = await read_preflight(subject.access)
        being_deleted = await self._being_deleted(subject, deleter, preflight.target_identity)
        preflight = preflight.guarding(being_deleted)
        plan = self._plan(subject, preflight)
        run_id = await self._journal.begin_run(
            cluster=subject.access.name,
            policy=subject.policy,
            dry_run=subject.dry_run,
            plan=plan_as_json(plan),
            candidates=len(plan.chosen),
            now=started,
        )
        _log_plan(subject, plan)
        self._board.change(subject.key, lambda status: _begun(status, plan, started))
        error, success = plan.problem, not plan.problem
        if plan.chosen and being_deleted and not subject.dry_run:
            versions = ", ".join(sorted(being_deleted))
            error, success = f"an earlier deletion may still be going on: {versions}", False
        elif success and not subject.dry_run and preflight.target_identity is not None:
            error, success = await self._delete_all(subject, deleter, run_id, plan, preflight.target_identity)
        ended = self._wall_clock()
        await self._journal.end_run(run_id, success=success, error=error, now=ended)
        self._board.change(subject.key, lambda status: _ended(status, success=success, ended=ended))
        tell = audit.info if success else audit.warning
        tell(
            "cleanup run ended",
            cluster=subject.access.name,
            policy=subject.policy,
            dry_run=subject.dry_run,
            candidates=len(plan.chosen),
            success=success,
            error=error or None,
        )

    def account(self, deletion: Deletion, decision: Decision | None = None) -> None:
        """Show and log the outcome of a deletion that has ended, and what was decided where that is known."""
        self._board.change((deletion.cluster, deletion.policy), lambda status: status.with_outcome(deletion))
        tell = audit.info if deletion.outcome in _AS_PLANNED else audit.warning
        tell(
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

    async def _delete_all(
        self,
        subject: PolicyOnCluster,
        deleter: Deleter,
        run_id: int,
        plan: Plan,
        target_identity: TargetIdentity,
    ) -> tuple[str, bool]:
        """Delete what the plan chose, one by one; return an error, and whether all went as planned."""
        outcomes: list[Outcome | None] = []
        busy_until = deleter.busy_until()
        for chosen in plan.chosen:
            decide_again = self._decider(subject, chosen.version, target_identity)
            try:
                with self._board.in_progress(subject.key):
                    deletion = await deleter.delete(
                        run_id,
                        chosen.version,
                        target_identity=target_identity,
                        decide_again=decide_again,
                        busy_until=busy_until,
                    )
            except DecisionImpossibleError as exc:
                return str(exc), False
            self.account(deletion, chosen)
            outcomes.append(deletion.outcome)
            if deletion.outcome is Outcome.PROTECTED and self._kill_switch.active:
                return "cleanup is halted", False
            if deletion.outcome is Outcome.DENIED:
                return "the cluster denied a deletion, so the run ended", False
            if deletion.outcome is Outcome.TIMEOUT:
                return f"the deletion of {chosen.version} may still be going on, so the run ended", False
        return "", all(outcome in _AS_PLANNED for outcome in outcomes)

    def _decider(
        self, subject: PolicyOnCluster, version: str, target_identity: TargetIdentity
    ) -> Callable[[], Coroutine[None, None, Decision | None]]:
        """Return what reads everything afresh and decides on one version again, right before its DELETE."""

        async def decide_again() -> Decision | None:
            preflight = await read_preflight(subject.access)
            if self._kill_switch.active:
                raise DecisionImpossibleError("cleanup is halted")
            if preflight.listing is None or preflight.facts is None:
                raise DecisionImpossibleError(preflight.problem, denied=preflight.denied)
            if preflight.target_identity is None or not preflight.target_identity.is_same(target_identity):
                raise DecisionImpossibleError("another cluster answers at this address now")
            unlimited = replace(subject.rules, max_deletes=len(preflight.listing.packages))
            return self._plan(replace(subject, rules=unlimited), preflight).decision(version)

        return decide_again

    def _plan(self, subject: PolicyOnCluster, preflight: Preflight) -> Plan:
        return make_plan(
            subject.rules,
            preflight.listing,
            preflight.facts,
            now=self._wall_clock(),
            problem=preflight.problem,
        )

    async def _being_deleted(
        self, subject: PolicyOnCluster, deleter: Deleter, target_identity: TargetIdentity | None
    ) -> frozenset[str]:
        """Return the versions that a job of an earlier deletion, under whatever name, may still delete."""
        if target_identity is None:
            return frozenset()  # nothing can be deleted now
        given_up = await self._journal.given_up(subject.access.name, target_identity=target_identity)
        return frozenset([deletion.version for deletion in given_up if await deleter.may_still_run(deletion)])


def plan_as_json(plan: Plan) -> str:
    """Return every decision of a plan as a JSON list, for the journal."""
    return json.dumps([asdict(decision) for decision in plan.decisions])


def _log_plan(subject: PolicyOnCluster, plan: Plan) -> None:
    for decision in plan.decisions:
        audit.info(
            "package judged",
            cluster=subject.access.name,
            policy=subject.policy,
            dry_run=subject.dry_run,
            version=decision.version,
            age_seconds=_rounded(decision.age_seconds),
            verdict=str(decision.verdict),
            reason=str(decision.reason),
            detail=decision.detail,
        )


def _rounded(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)


def _begun(status: PolicyStatus, plan: Plan, started: float) -> PolicyStatus:
    totals = replace(status.totals, candidates=len(plan.chosen), last_started_timestamp_seconds=started)
    return replace(status, totals=totals)


def _ended(status: PolicyStatus, *, success: bool, ended: float) -> PolicyStatus:
    totals = replace(status.totals, last_ended_timestamp_seconds=ended, last_success=success)
    if success:
        totals = replace(totals, last_success_timestamp_seconds=ended)
    return replace(status, totals=totals)
