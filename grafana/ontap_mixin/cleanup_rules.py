"""Rules about cleanup. Without a section ``cleanup`` in the configuration, none of these metrics exists.

All processes that share a journal serve the same totals. A process that has lost its journal may serve old
ones, so its series are left out; another alert fires if no process has the journal open.
"""

from __future__ import annotations

from ontap_mixin.rules import Alert, Group, Promql, Record, text

JOBS = "cluster_policy_outcome:ontap_cleanup_jobs:max"
FAILURE = "cluster_policy_reason:ontap_cleanup_last_run_failure:max"
ALL_ENDED = "cluster_policy:ontap_cleanup_jobs:sum"
ENDED = "job_policy_outcome:ontap_cleanup_jobs:delta2m"
FAILURES = "job_policy_reason:ontap_cleanup_last_run_failure:count"
RUNS_FAILED = "job_policy:ontap_cleanup_last_run_failure:count5m"
EVALUATED_EVERY = "2m"
PLANNED = "policy_reason:ontap_cleanup_plan_packages:sum"
DELETIONS = "job:ontap_cleanup_deletions:delta1d"


def groups(p: Promql) -> tuple[Group, ...]:
    """Return the rules."""
    return (
        Group(name="ontap-cleanup.rules", rules=_records(p), interval=EVALUATED_EVERY),
        Group(
            name="ontap-cleanup.alerts",
            rules=(_unusual(p), *_failed(p), *_late(p), *_stopped(p), *_waiting(p)),
            interval="2m",
        ),
    )


def _of_policy(p: Promql, *further: str) -> str:
    return p.of_cluster("policy", *further)


def _with_journal(p: Promql, metric: str, *matchers: str) -> str:
    """Select what processes say that have not lost their journal."""
    closed = p.series("ontap_cleanup_journal_open")
    return f"{p.series(metric, *matchers)} unless on ({p.instance}) {closed} == 0"


def _records(p: Promql) -> tuple[Record, ...]:
    success = 'outcome="success"'
    return (
        Record(
            name=JOBS,
            why="One series for each counter of the journal, whatever processes have served it. It never "
            "shrinks, so a difference counts every deletion once, where increase() would depend on the "
            "names of processes.",
            expr=f"max by ({_of_policy(p, 'outcome')}) ({p.series('ontap_cleanup_jobs_total')})",
        ),
        Record(name=ALL_ENDED, expr=f"sum by ({_of_policy(p)}) ({JOBS})"),
        Record(
            name=DELETIONS,
            why="Another set of rules, with other cluster_labels, may record a counter too: it counts once.",
            expr=text(f"""
                sum by ({p.job}) (
                  max by ({p.cluster}, job, policy) (
                    {JOBS}{{{success}}} - min_over_time({JOBS}{{{success}}}[1d])
                  )
                )
            """),
        ),
        Record(
            name=ENDED,
            why="For dashboards: their sum over any time counts each deletion once, and needs few series. "
            "No idelta(): VictoriaMetrics counts from 0 for a series that appears again.",
            expr=text(f"""
                sum by ({p.job}, policy, outcome) (
                  max by ({p.cluster}, job, policy, outcome) (
                    clamp_min({JOBS} - {JOBS} offset {EVALUATED_EVERY}, 0)
                  )
                )
            """),
        ),
        Record(
            name=FAILURE,
            expr=text(f"""
                max by ({_of_policy(p, "reason")}) (
                  {_with_journal(p, "ontap_cleanup_last_run_failure")}
                )
            """),
        ),
        Record(
            name=FAILURES,
            expr=text(f"""
                count by ({p.job}, policy, reason) (max by ({p.cluster}, job, policy, reason) ({FAILURE}))
            """),
        ),
        Record(
            name=RUNS_FAILED,
            why="For dashboards, which mark when runs failed: their ends are known a scrape later.",
            expr=text(f"""
                count by ({p.job}, policy) (
                  max by ({p.cluster}, job, policy) ({FAILURE})
                  and on ({p.cluster}, job, policy)
                  time() - max by ({p.cluster}, job, policy) (
                    {_with_journal(p, "ontap_cleanup_last_run_timestamp_seconds")}
                  ) < 300
                )
            """),
        ),
        Record(
            name=PLANNED,
            why="Only the process that may clean the cluster has the newest plan.",
            expr=text(f"""
                sum by ({p.job}, policy, verdict, reason) (
                  max by ({_of_policy(p, "verdict", "reason")}) (
                    {p.series("ontap_cleanup_plan_packages")}
                    unless on ({p.polled}) {p.series("ontap_cleanup_lease_held")} == 0
                  )
                )
            """),
        ),
    )


def _unusual(p: Promql) -> Alert:
    thresholds = p.settings.thresholds
    return Alert(
        name="OntapDeletionsUnusual",
        why="Compared with the busiest day of the last four weeks, for policies may run once a week. Without "
        "a history, there is nothing that excuses so many: a first day is when a policy is likeliest wrong.",
        expr=text(f"""
            {DELETIONS} > {thresholds.deletions_a_day}
            unless {DELETIONS} <= {thresholds.deletions_ratio:g} * max_over_time({DELETIONS}[28d] offset 1d)
        """),
        summary="Cleanup of the job {{ $labels.job }} deletes more packages than usual.",
        description="Within a day, cleanup of the job {{ $labels.job }} has deleted {{ $value | humanize }} "
        "packages: far more than on any other day of the last four weeks that Prometheus knows.",
    )


def _failed(p: Promql) -> tuple[Alert, ...]:
    return (
        Alert(
            name="OntapCleanupFailing",
            why="For a day after the run: a policy may run once a week, and one missed run is no week of "
            "failing. Other reasons have alerts of their own, or are no fault.",
            expr=text(f"""
                {FAILURE}{{reason!~"denied|refused|stopped"}}
                and on ({p.cluster}, job, policy)
                time() - max by ({p.cluster}, job, policy) (
                  {p.series("ontap_cleanup_last_run_timestamp_seconds")}
                ) < 86400
            """),
            summary="The last run of {{ $labels.policy }} on {{ $labels.cluster }} failed.",
            description="The last run of the cleanup policy {{ $labels.policy }} on {{ $labels.cluster }} "
            "failed, as {{ $labels.reason }} (ontap_cleanup_last_run_failure is {{ $value | "
            "humanize }}).",
        ),
        Alert(
            name="OntapCleanupDenied",
            expr=f'sum without (reason) ({FAILURE}{{reason="denied"}})',
            summary="The cluster {{ $labels.cluster }} denies deletions to {{ $labels.policy }}.",
            description="The last run of the cleanup policy {{ $labels.policy }} on {{ $labels.cluster }} "
            "was denied (ontap_cleanup_last_run_failure is {{ $value | humanize }}). The role "
            "lacks a privilege, or the login is refused.",
        ),
        Alert(
            name="OntapCleanupPaused",
            expr=f"max by ({p.job}, policy) ({_with_journal(p, 'ontap_cleanup_policy_paused')}) == 1",
            summary="The policy {{ $labels.policy }} is paused after failures.",
            description="So many deletions of the policy {{ $labels.policy }} failed in a row that it "
            "deletes nothing any more (ontap_cleanup_policy_paused is {{ $value | humanize }}), "
            "until it is changed, or the configuration is reloaded.",
        ),
    )


def _late(p: Promql) -> tuple[Alert, ...]:
    overdue = f"{p.settings.thresholds.cleanup_overdue_hours:g} * 3600"
    return (
        Alert(
            name="OntapCleanupOverdue",
            why="Only the process that may clean the cluster knows when it does.",
            expr=text(f"""
                time() - max by ({_of_policy(p)}) (
                  {p.series("ontap_cleanup_next_run_timestamp_seconds")}
                  unless on ({p.polled}) {p.series("ontap_cleanup_lease_held")} == 0
                  unless on ({p.instance}) {p.series("ontap_cleanup_journal_open")} == 0
                ) > {overdue}
            """),
            summary="A run of {{ $labels.policy }} on {{ $labels.cluster }} is overdue.",
            description="The run of the cleanup policy {{ $labels.policy }} on {{ $labels.cluster }} was "
            "due {{ $value | humanizeDuration }} ago and has not begun.",
        ),
        Alert(
            name="OntapCleanupJobStuck",
            why="A deletion is in progress all the time, and none has ended meanwhile: each end resets the "
            "`for`, which is twice the sum of job_timeout and retry_busy_for.",
            expr=text(f"""
                max by ({_of_policy(p)}) (
                  max_over_time({p.series("ontap_cleanup_jobs_in_progress")}[5m])
                ) > 0
                unless on ({p.cluster}, job, policy)
                {ALL_ENDED} - min_over_time({ALL_ENDED}[10m]) > 0
            """),
            summary="A deletion of {{ $labels.policy }} on {{ $labels.cluster }} does not end.",
            description="{{ $value | humanize }} deletion of the cleanup policy {{ $labels.policy }} on {{ "
            "$labels.cluster }} has been in progress for two hours, and none has ended in this "
            "time.",
        ),
    )


def _stopped(p: Promql) -> tuple[Alert, ...]:
    shard = "shard"
    return (
        Alert(
            name="OntapCleanupHalted",
            expr=f"max by ({p.job}) (last_over_time({p.series('ontap_cleanup_halted')}[10m])) == 1",
            summary="The kill switch of the job {{ $labels.job }} has been on for hours.",
            description="The kill switch of the job {{ $labels.job }} has been on for four hours "
            "(ontap_cleanup_halted is {{ $value | humanize }}). No policy deletes anything, and "
            "runs that become due are skipped.",
        ),
        Alert(
            name="OntapCleanupJournalClosed",
            why="A process that waits for another's journal is no trouble, so a whole shard must be without.",
            expr=text(f"""
                max by ({p.job}, {shard}) (
                  max by ({p.instance}) ({p.series("ontap_cleanup_journal_open")})
                  * on ({p.instance}) group_left ({shard})
                  count_values by ({p.instance}) ("{shard}", {p.series("ontap_exporter_shard_ordinal")})
                ) == 0
            """),
            summary="The journal of cleanup is not open, so nothing is deleted.",
            description="No process of shard {{ $labels.shard }} of the job {{ $labels.job }} has the "
            "journal of cleanup open (ontap_cleanup_journal_open is {{ $value | humanize }}). "
            "Until one has, nothing is deleted or planned, and runs that become due wait.",
        ),
    )


def _lately(record: str, reason: str) -> str:
    """Select what has a reason, or had when it was last known: nothing is while an exporter restarts."""
    return f'last_over_time({record}{{reason="{reason}"}}[30m])'


def _waiting(p: Promql) -> tuple[Alert, ...]:
    """One alert for each policy: 1,000 clusters in a dry run are one decision."""
    candidates, dry_run, paused, opened = (
        p.series(f"ontap_cleanup_{name}")
        for name in ("candidates", "dry_run", "policy_paused", "journal_open")
    )
    return (
        Alert(
            name="OntapCleanupAwaitsApproval",
            why="While an exporter restarts, its plans are not known: the last ones go on.",
            expr=f"sum by ({p.job}, policy) ({_lately(PLANNED, 'not_approved')}) > 0",
            summary="The policy {{ $labels.policy }} waits for an approval.",
            description="{{ $value | humanize }} packages would be deleted by the policy {{ $labels.policy "
            "}} if its approved plan named them. The plan is too old, or they are new.",
        ),
        Alert(
            name="OntapCleanupCapped",
            why="Either each run leaves something over, or the limit of the day ends runs. Dry runs have "
            "limits too, but delete nothing anyway.",
            expr=text(f"""
                sum by ({p.job}, policy) ({_lately(PLANNED, "over_limit")}) > 0
                unless on ({p.job}, policy) last_over_time({dry_run}[30m]) == 1
                or
                count by ({p.job}, policy) (
                  max by ({p.cluster}, job, policy) (
                    {_lately(FAILURE, "refused")}
                  )
                )
                unless on ({p.job}, policy) last_over_time({paused}[30m]) == 1
            """),
            summary="The policy {{ $labels.policy }} does not get on because of its limits.",
            description="For a day, max_deletes_per_run has left packages over, or max_deletes_per_day has "
            "ended runs of the policy {{ $labels.policy }}; {{ $value | humanize }} packages or "
            "clusters wait.",
        ),
        Alert(
            name="OntapCleanupCandidatesPileUp",
            why="A process that has lost the journal for longer than a restart takes may serve old plans.",
            expr=text(f"""
                sum by ({p.job}, policy) (
                  max by ({p.cluster}, job, policy) (
                    last_over_time({candidates}[30m])
                    and on ({p.polled}, policy) last_over_time({dry_run}[30m]) == 1
                    unless on ({p.instance}) max_over_time({opened}[30m]) == 0
                  )
                ) > {p.settings.thresholds.dry_run_candidates}
            """),
            summary="The policy {{ $labels.policy }} would delete packages, but only plans.",
            description="For three days, the dry runs of the cleanup policy {{ $labels.policy }} have "
            "chosen packages, now {{ $value | humanize }} on all clusters together. Nothing "
            "deletes them.",
        ),
    )
