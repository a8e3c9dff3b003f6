"""The tables of cleanup's metrics, which are served if cleanup is configured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from exporter.cleanup.cleanup_board import LeaseStatus, PolicyStatus
from exporter.cleanup.decide.plan import Verdict, VerdictReason
from exporter.cleanup.records import DURATION_BUCKETS_SECONDS, Durations
from exporter.metrics.exposition import Exposition
from exporter.metrics.family import Family, HistogramFamily, Row, Sample, one


def _planned(status: PolicyStatus) -> Iterable[Sample]:
    """Return what a plan holds, and an explicit 0 if it deletes nothing."""
    planned = status.totals.planned
    if planned is None:
        return ()
    counts = {(str(Verdict.DELETE), str(VerdictReason.RETIRED)): 0, **planned}
    return (((reason, verdict), count) for (verdict, reason), count in sorted(counts.items()))


def _totals(status: PolicyStatus) -> object:
    return (status.recorded, status.failure, status.failed_timestamp_seconds)


CLEANUP_FAMILIES: tuple[Family[PolicyStatus], ...] = (
    Family(
        name="ontap_cleanup_candidates",
        help="Packages that the policy's last plan chose.",
        source="the journal",
        depends_on=_totals,
        samples=lambda status: one(status.totals.candidates),
    ),
    Family(
        name="ontap_cleanup_dry_run",
        help="Whether the policy only plans (1) or deletes (0).",
        source="the configuration",
        depends_on=lambda status: status.dry_run,
        samples=lambda status: one(status.dry_run),
    ),
    Family(
        name="ontap_cleanup_jobs_total",
        help="Deletions that have ended, by outcome, since the journal began.",
        source="the journal",
        labels=("outcome",),
        depends_on=lambda status: (status.recorded, status.is_counted),
        samples=lambda status: (
            ((str(outcome),), count) for outcome, count in status.totals.outcomes.items() if status.is_counted
        ),
    ),
    Family(
        name="ontap_cleanup_job_errors_total",
        help="Deletions that have ended with an error code of ONTAP, by code, since the journal began.",
        source="the journal; DELETE /cluster/software/packages/{version} and GET /cluster/jobs/{uuid}: code",
        labels=("code",),
        depends_on=_totals,
        samples=lambda status: (((code,), count) for code, count in sorted(status.totals.codes.items())),
    ),
    Family(
        name="ontap_cleanup_jobs_in_progress",
        help="Deletions that a run or a recovery is working on now, waits for a busy repository included.",
        depends_on=lambda status: status.in_progress,
        samples=lambda status: one(status.in_progress),
    ),
    Family(
        name="ontap_cleanup_last_run_timestamp_seconds",
        help="End of the policy's last run, in Unix time.",
        source="the journal",
        depends_on=_totals,
        samples=lambda status: one(status.totals.last_ended_timestamp_seconds),
    ),
    Family(
        name="ontap_cleanup_last_run_success",
        help="Whether every deletion of the last run succeeded, or there was none to make (1), or not (0).",
        source="the journal",
        depends_on=_totals,
        samples=lambda status: one(status.totals.last_success),
    ),
    Family(
        name="ontap_cleanup_last_run_failure",
        help="Why the last run failed, always 1; absent if it succeeded.",
        source="the journal",
        labels=("reason",),
        depends_on=_totals,
        samples=lambda status: (
            (((status.totals.last_failure,), 1),) if status.totals.last_success is False else ()
        ),
    ),
    Family(
        name="ontap_cleanup_plan_packages",
        help="Packages in the last good plan, by verdict and reason.",
        source="the journal",
        labels=("reason", "verdict"),
        depends_on=_totals,
        samples=_planned,
    ),
    Family(
        name="ontap_cleanup_last_success_timestamp_seconds",
        help="End of the policy's last successful run, in Unix time.",
        source="the journal",
        depends_on=_totals,
        samples=lambda status: one(status.totals.last_success_timestamp_seconds),
    ),
    Family(
        name="ontap_cleanup_next_run_timestamp_seconds",
        help="When the policy's schedule fires next, in Unix time.",
        source="the configuration and the journal",
        depends_on=lambda status: status.next_run_timestamp_seconds,
        samples=lambda status: one(status.next_run_timestamp_seconds),
    ),
    Family(
        name="ontap_cleanup_skipped_runs_total",
        help="Runs that came due while one was going on, or could not start in time, and were left out.",
        depends_on=lambda status: status.skipped_runs,
        samples=lambda status: one(status.skipped_runs),
    ),
)
"""Every metric that carries the labels ``cluster`` and ``policy`` and the cluster's configured labels."""


def update_policy(exposition: Exposition[PolicyStatus], status: PolicyStatus) -> None:
    """Render the metrics of one policy on one cluster."""
    fixed = (("cluster", status.cluster), ("policy", status.policy), *status.labels)
    exposition.update(status.key, status, fixed=fixed)


LEASE_FAMILIES: tuple[Family[LeaseStatus], ...] = (
    Family(
        name="ontap_cleanup_lease_held",
        help="Whether this process may clean the cluster now (1) or not (0).",
        source="the journal",
        samples=lambda lease: one(lease.held),
    ),
)
"""Every metric of cleanup that carries the label ``cluster`` and the cluster's configured labels."""


def update_lease(exposition: Exposition[LeaseStatus], lease: LeaseStatus) -> None:
    """Render what is known of one cluster's lease."""
    exposition.update(lease.cluster, lease, fixed=(("cluster", lease.cluster), *lease.labels))


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupState:
    """The status of cleanup as a whole.

    Attributes:
        durations: how long deletions took, by policy.
        halted: whether the kill switch is on.
        journal_open: whether there is a journal that can be used; without one, nothing is deleted.
        paused: every configured policy, and whether it is paused after failures.
        takeovers: clusters that were taken over from a process that had vanished.
    """

    durations: Mapping[str, Durations]
    halted: bool
    journal_open: bool
    paused: Mapping[str, bool]
    takeovers: int


CLEANUP_STATE_FAMILIES: tuple[Row[CleanupState], ...] = (
    HistogramFamily(
        name="ontap_cleanup_job_duration_seconds",
        help="How long deletions took from DELETE to outcome.",
        source="the journal",
        labels=("policy",),
        bounds=DURATION_BUCKETS_SECONDS,
        samples=lambda state: (
            ((policy,), known.buckets, known.sum_seconds) for policy, known in sorted(state.durations.items())
        ),
    ),
    Family(
        name="ontap_cleanup_halted",
        help="Whether all deleting is halted by the kill switch (1) or not (0).",
        samples=lambda state: one(state.halted),
    ),
    Family(
        name="ontap_cleanup_journal_open",
        help="Whether the journal is open (1); without it (0), nothing is deleted.",
        samples=lambda state: one(state.journal_open),
    ),
    Family(
        name="ontap_cleanup_policy_paused",
        help="Whether the policy deletes nothing after stop_after_failures (1) or not (0).",
        source="the journal",
        labels=("policy",),
        samples=lambda state: (((policy,), paused) for policy, paused in sorted(state.paused.items())),
    ),
    Family(
        name="ontap_cleanup_takeovers_total",
        help="Clusters that this process has taken over from a process that had vanished.",
        samples=lambda state: one(state.takeovers),
    ),
)
"""Every metric of cleanup that belongs to no cluster."""
