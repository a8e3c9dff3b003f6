"""The report on cleanup, page by page: policies, next runs, the last runs with every verdict, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from exporter.cleanup.cleanup_board import PolicyStatus
from exporter.cleanup.records import Deletion, PolicyPause, Run
from exporter.config import PolicyConfig, format_duration

if TYPE_CHECKING:
    from exporter.cleanup.journal.runs import RunStore

RUNS_PER_QUERY = 10
"""How many runs are read in one transaction."""
MAX_CHARACTERS = 4_000_000
"""A page has no further runs once their plans and messages are this long together."""


def policy_as_json(policy: PolicyConfig) -> dict[str, Any]:
    """Return a policy as it is applied; durations as the configuration writes them."""
    return {
        "policy": policy.name,
        "schedule": policy.schedule,
        "timezone": policy.timezone if policy.schedule is not None else None,
        "every": None if policy.every is None else format_duration(policy.every),
        "keep_newest": policy.keep_newest,
        "older_than": None if policy.older_than is None else format_duration(policy.older_than),
        "include": list(policy.include),
        "exclude": list(policy.exclude),
        "seen_for": format_duration(policy.seen_for),
        "start_within": format_duration(policy.start_within),
        "stop_after_failures": policy.stop_after_failures,
        "approved_plan": None if policy.approved_plan is None else str(policy.approved_plan),
        "max_deletes_per_run": policy.max_deletes_per_run,
        "dry_run": policy.dry_run,
    }


def status_as_json(status: PolicyStatus) -> dict[str, Any]:
    """Return a policy's status on one cluster; times are Unix seconds."""
    totals = status.totals
    return {
        "cluster": status.cluster,
        "policy": status.policy,
        "dry_run": status.dry_run,
        "candidates": totals.candidates,
        "outcomes": {str(outcome): count for outcome, count in totals.outcomes.items()},
        "error_codes": dict(totals.codes),
        "jobs_in_progress": status.in_progress,
        "last_run_timestamp_seconds": totals.last_ended_timestamp_seconds,
        "last_run_success": totals.last_success,
        "last_run_failure": totals.last_failure,
        "last_success_timestamp_seconds": totals.last_success_timestamp_seconds,
        "next_run_timestamp_seconds": status.next_run_timestamp_seconds,
        "skipped_runs": status.skipped_runs,
        "problem": status.problem,
    }


def run_as_json(run: Run) -> dict[str, Any]:
    """Return one run with every verdict of its plan and every outcome."""
    return {
        "id": run.id,
        "cluster": run.cluster,
        "policy": run.policy,
        "dry_run": run.dry_run,
        "started_timestamp_seconds": run.started_timestamp_seconds,
        "ended_timestamp_seconds": run.ended_timestamp_seconds,
        "success": run.success,
        "failure": run.failure,
        "error": run.error,
        "plan": _plan_as_json(run),
        "deletions": [_deletion_as_json(deletion) for deletion in run.deletions],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which part of the report is wanted.

    Attributes:
        limit: this many clusters, and this many runs, at most.
        before: only runs with a smaller id; None: from the newest on.
        after: only clusters that follow on this name in the configuration; None: from the first on.
        clusters: only these names; empty: all.
    """

    limit: int = 100
    before: int | None = None
    after: str | None = None
    clusters: frozenset[str] = frozenset()

    def statuses(self, statuses: Iterable[PolicyStatus]) -> tuple[PolicyStatus, ...]:
        """Return the statuses on this page, given all of them in the order of the configuration.

        Raises:
            ValueError: no policy applies to the cluster ``after``.
        """
        groups = groupby(statuses, key=lambda status: status.cluster)
        if self.after is not None and self.after not in (name for name, _ in groups):
            raise ValueError(f"after: no policy applies to a cluster {self.after!r}; begin again without it")
        wanted = (group for name, group in groups if not self.clusters or name in self.clusters)
        return tuple(status for group in islice(wanted, self.limit) for status in group)

    async def runs(self, store: RunStore) -> tuple[Run, ...]:
        """Return the runs on this page, newest first; fewer if their plans are long.

        Raises:
            JournalError: they cannot be read.
        """
        found: list[Run] = []
        characters, before = 0, self.before
        while len(found) < self.limit and characters < MAX_CHARACTERS:
            limit = min(RUNS_PER_QUERY, self.limit - len(found))
            some = await store.recent(limit, before=before, clusters=self.clusters)
            if not some:
                break
            found += some
            before = some[-1].id
            characters += sum(_characters(run) for run in some)
        return tuple(found)

    def is_filled_by(self, runs: Sequence[Run]) -> bool:
        """Say whether these runs fill the page, so that older ones may follow on the next."""
        return len(runs) >= self.limit or sum(map(_characters, runs)) >= MAX_CHARACTERS

    def following(self, statuses: Sequence[PolicyStatus], runs: Sequence[Run]) -> Page | None:
        """Return the page after this one, which has these statuses and runs; None after the last one."""
        clusters = len({status.cluster for status in statuses})
        if clusters < self.limit and not self.is_filled_by(runs):
            return None
        after = statuses[-1].cluster if statuses else self.after
        return replace(self, before=runs[-1].id if runs else self.before or 0, after=after)


def summary_of(
    policies: Iterable[PolicyConfig], paused: Iterable[PolicyPause], *, halted: bool, problem: str
) -> dict[str, Any]:
    """Return what holds for all clusters; ``problem`` is "" if there is a journal that can be used."""
    return {
        "halted": halted,
        "problem": problem,
        "policies": [policy_as_json(policy) for policy in policies],
        "paused": [
            {
                "policy": pause.policy,
                "since_timestamp_seconds": pause.since_timestamp_seconds,
                "reason": pause.reason,
            }
            for pause in paused
        ],
    }


def _characters(run: Run) -> int:
    return len(run.plan) + len(run.error) + sum(len(one.message) for one in run.deletions)


def _plan_as_json(run: Run) -> Any:  # noqa: ANN401 - JSON
    """Return every verdict of a run's plan; None if the journal does not keep it."""
    try:
        return json.loads(run.plan)
    except ValueError:
        return None  # the journal was damaged; the rest of the report still counts


def decisions_of(run: Run) -> list[dict[str, Any]]:
    """Return the verdicts of a run's plan; none if the journal does not keep them, or was damaged there."""
    found = _plan_as_json(run)
    return [one for one in found if _is_decision(one)] if isinstance(found, list) else []


def _is_decision(found: object) -> bool:
    return (
        isinstance(found, dict)
        and all(isinstance(found.get(name), str) for name in ("version", "verdict", "reason", "detail"))
        and isinstance(found.get("age_seconds"), int | float | None)
    )


def _deletion_as_json(deletion: Deletion) -> dict[str, Any]:
    return {
        "version": deletion.version,
        "phase": str(deletion.phase),
        "outcome": None if deletion.outcome is None else str(deletion.outcome),
        "intended_timestamp_seconds": deletion.intended_timestamp_seconds,
        "ended_timestamp_seconds": deletion.ended_timestamp_seconds,
        "attempts": deletion.attempts,
        "job": deletion.job_uuid,
        "code": deletion.code,
        "message": deletion.message,
    }
