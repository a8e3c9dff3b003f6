"""The whole account of cleanup as a JSON document: policies, next runs, the last runs with every verdict."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from exporter.cleanup.cleanup_board import PolicyStatus
from exporter.cleanup.records import Deletion, Run
from exporter.config import PolicyConfig, format_duration


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
    """Return a policy's state on one cluster; times are Unix seconds."""
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
        "last_success_timestamp_seconds": totals.last_success_timestamp_seconds,
        "next_run_timestamp_seconds": status.next_run_timestamp_seconds,
        "skipped_runs": status.skipped_runs,
        "problem": status.problem,
    }


def run_as_json(run: Run) -> dict[str, Any]:
    """Return one run with every verdict of its plan and every outcome."""
    return {
        "cluster": run.cluster,
        "policy": run.policy,
        "dry_run": run.dry_run,
        "started_timestamp_seconds": run.started_timestamp_seconds,
        "ended_timestamp_seconds": run.ended_timestamp_seconds,
        "success": run.success,
        "error": run.error,
        "plan": _plan(run),
        "deletions": [_deletion_as_json(deletion) for deletion in run.deletions],
    }


def report(
    policies: Iterable[PolicyConfig],
    statuses: Iterable[PolicyStatus],
    runs: Iterable[Run],
    *,
    halted: bool,
    problem: str,
) -> dict[str, Any]:
    """Return the whole account.

    Args:
        policies: as configured.
        statuses: of every policy on every cluster.
        runs: the last ones, newest first.
        halted: whether deleting is halted.
        problem: why there is no journal, so that nothing is deleted; "" where there is one.
    """
    return {
        "halted": halted,
        "problem": problem,
        "policies": [policy_as_json(policy) for policy in policies],
        "clusters": [status_as_json(status) for status in statuses],
        "runs": [run_as_json(run) for run in runs],
    }


def _plan(run: Run) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(run.plan)
    except ValueError:
        return None  # the journal was damaged; the rest of the account still counts


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
