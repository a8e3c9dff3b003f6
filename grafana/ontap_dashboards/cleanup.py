"""Cleanup: the policies, what they chose, how deletions ended, and what stops them."""

from __future__ import annotations

from dataclasses import replace

from grafana_foundation_sdk.builders import bargauge, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders

from ontap_dashboards import frame, styles
from ontap_dashboards.panels import bars, graph, number
from ontap_dashboards.promql import (
    ENDED,
    JOB,
    POLICY,
    from_holder,
    from_journal,
    how_many,
    milliseconds,
    of_cluster,
    of_policy,
    series,
)
from ontap_dashboards.tables import Column, Label, listing
from ontap_mixin import cleanup_rules
from ontap_mixin.settings import Settings

THIS_CLUSTER = Label(
    name="cluster", title="Cluster", link=styles.dashboard_link("Open this cluster", frame.CLUSTER, "cluster")
)
THIS_POLICY = Label(
    name="policy",
    title="Policy",
    link=styles.dashboard_link("Show this policy only", frame.CLEANUP, "policy"),
)
DRY = of_policy(series("ontap_cleanup_dry_run", POLICY))
JOURNALED = of_policy(from_journal("ontap_cleanup_dry_run", POLICY))
"""The policies on clusters of which a journal knows whether they ever ran."""
SUCCESS = of_policy(from_journal("ontap_cleanup_last_run_success", POLICY))
LAST_RUN = of_policy(from_journal("ontap_cleanup_last_run_timestamp_seconds", POLICY))
LAST_SUCCESS = of_policy(from_journal("ontap_cleanup_last_success_timestamp_seconds", POLICY))
NEXT_RUN = of_policy(from_holder("ontap_cleanup_next_run_timestamp_seconds", POLICY))
CANDIDATES = of_policy(from_holder("ontap_cleanup_candidates", POLICY))
IN_PROGRESS = of_policy(series("ontap_cleanup_jobs_in_progress", POLICY))
NO_RUN = -1
WORST = f"topk($rows, ({SUCCESS} == bool 0) or {NO_RUN} + 0 * {DRY})"
"""1 for a policy whose last run on a cluster failed, 0 if it was good; only as many as are shown."""
ERRORS = series("ontap_cleanup_job_errors_total", POLICY)
SKIPPED = series("ontap_cleanup_skipped_runs_total", POLICY)
SECONDS = "ontap_cleanup_job_duration_seconds"
FAILURE = of_policy(from_journal("ontap_cleanup_last_run_failure", POLICY), "reason")
UNDER_WAY = f"({IN_PROGRESS} > 0)"
NOT_CONFIGURED = "Cleanup is not configured, or nothing matches the choice above."
HIDDEN_BY_FILTERS = "A filter on a label of the clusters hides this."


def dashboard(settings: Settings) -> builders.Dashboard:
    """Build it."""
    board = frame.frame(
        settings,
        frame.CLEANUP,
        "ONTAP packages / Cleanup",
        "The policies of cleanup: what they chose, how deletions ended, when runs are due, what stops them.",
        refresh="1m",
        since="now-7d",
    )
    for variable in (
        frame.jobs(),
        frame.several("policy", "Policy", 'label_values(ontap_cleanup_dry_run{job=~"$job"}, policy)'),
        frame.several(
            "cluster",
            "Cluster",
            'label_values(ontap_cleanup_dry_run{job=~"$job", policy=~"$policy"}, cluster)',
        ),
        frame.rows(),
        frame.filters("filters", "Filters"),
    ):
        board = board.with_variable(variable)
    for name, expression, color in _events():
        board = frame.annotated(board, name, expression, color)
    board = frame.group(board, "Now", *_alarms(settings), *_sizes())
    board = frame.group(board, "Policies", _policies(), _policies_on_clusters(), *_under_way())
    board = frame.group(board, "What became of deletions", *_deletions())
    return frame.group(board, "Over time", *_deletions_over_time(), *_runs_over_time())


def _events() -> tuple[tuple[str, str, str], ...]:
    failed = f'{cleanup_rules.RUNS_FAILED}{{{JOB}, policy=~"$policy"}}'
    return (
        (
            "Deletions",
            f"sum by (policy) (sum_over_time({_ended('success')}[$__interval])) > 0",
            styles.BLUE,
        ),
        ("Runs that failed", f"sum by (policy) (max_over_time({failed}[$__interval]))", styles.RED),
        (
            "Starts of exporters",
            f"changes({series('process_start_time_seconds', JOB)}[$__interval]) > 0",
            "purple",
        ),
    )


def _ended(outcome: str) -> str:
    return ENDED.removesuffix("}") + f', outcome="{outcome}"}}'


def _alarms(settings: Settings) -> tuple[stat.Panel, ...]:
    overdue_hours = settings.thresholds.cleanup_overdue_hours

    def alarm(title: str, description: str, expression: str, *, harmless: bool = False) -> stat.Panel:
        colors = styles.NONE_IS_BETTER if harmless else styles.NONE_IS_GOOD
        return number(title, description, expression, colors=colors)

    return (
        number(
            "Kill switch",
            f"Whether the kill switch is on, so that nothing is deleted. {HIDDEN_BY_FILTERS}",
            f"max({series('ontap_cleanup_halted', JOB)})",
            colors=styles.NONE_IS_GOOD,
            words=styles.ON_OR_OFF,
        ),
        alarm(
            "Journal not open",
            "Exporters whose journal is not open, so that they delete nothing. This includes exporters that "
            f"wait because another one holds the journal. {HIDDEN_BY_FILTERS}",
            how_many(f"{series('ontap_cleanup_journal_open', JOB)} == bool 0"),
            harmless=True,
        ),
        alarm(
            "Runs failed",
            "Policies whose last run on a cluster did not succeed, counted once for every cluster.",
            how_many(f"{SUCCESS} == bool 0"),
        ),
        alarm(
            "Runs overdue",
            f"Runs that were due more than {overdue_hours:g} hours ago and have not ended: they take long, "
            "or wait for other runs.",
            how_many(f"{NEXT_RUN} < bool time() - {overdue_hours:g} * 3600"),
            harmless=True,
        ),
        alarm(
            "No success yet",
            "Policies that have had a run on a cluster, but never one that succeeded.",
            f"count({LAST_RUN}) - (count({LAST_SUCCESS}) or 0 * count({LAST_RUN}))",
            harmless=True,
        ),
        alarm(
            "Policies paused",
            f"Policies that delete nothing after so many failures in a row. {HIDDEN_BY_FILTERS}",
            how_many(f"max by (policy) ({from_journal('ontap_cleanup_policy_paused', JOB)}) == bool 1"),
        ),
        alarm(
            "Nobody cleans",
            "Clusters that no exporter may clean now: none holds the lease.",
            how_many(f"{of_cluster('ontap_cleanup_lease_held')} == bool 0"),
            harmless=True,
        ),
        alarm(
            "Taken over",
            "Clusters that an exporter has taken over within a day from one that had vanished. "
            f"{HIDDEN_BY_FILTERS}",
            f"sum(increase({series('ontap_cleanup_takeovers_total', JOB)}[1d]))",
            harmless=True,
        ),
    )


def _sizes() -> tuple[stat.Panel, ...]:
    return (
        number(
            "Candidates",
            "Packages that the last plans chose, dry runs included.",
            f"sum({CANDIDATES})",
            width=8,
        ),
        number(
            "In progress",
            "Deletions that are being sent or followed now; at most one for each cluster.",
            f"sum({IN_PROGRESS})",
            width=8,
        ),
        number(
            "Dry runs",
            "Policies that only plan, counted once for every cluster.",
            f"sum({DRY})",
            width=8,
        ),
    )


def _policies() -> table.Panel:
    return listing(
        "Policies",
        "One line for every policy, over all clusters that it applies to.",
        labels=(THIS_POLICY,),
        columns=(
            Column(query=f"count by (policy) ({DRY})", title="Clusters", decimals=0),
            Column(query=f"max by (policy) ({DRY})", title="Mode", words=styles.DRY_RUN),
            Column(query=f"sum by (policy) ({CANDIDATES})", title="Candidates", decimals=0),
            Column(query=f"sum by (policy) ({IN_PROGRESS})", title="In progress", decimals=0),
            Column(
                query=f"sum by (policy) ({SUCCESS} == bool 0)",
                title="Runs failed",
                colors=styles.NONE_IS_GOOD,
                decimals=0,
            ),
            _moment(f"max by (policy) ({LAST_RUN})", "Last run", never=f"max by (policy) ({JOURNALED})"),
            _moment(f"min by (policy) ({NEXT_RUN})", "Next run"),
        ),
        no_value=NOT_CONFIGURED,
        height=6,
    )


def _policies_on_clusters() -> table.Panel:
    result: styles.Words = {
        NO_RUN: ("not known", styles.GREY),
        0: ("good", styles.GREEN),
        1: ("failed", styles.RED),
    }
    return listing(
        "Policies on clusters",
        "One line for every policy on every cluster, failed ones first. “Rows” sets how many.",
        labels=(THIS_CLUSTER, THIS_POLICY, Label(name="reason", title="Failed as")),
        columns=(
            Column(query=WORST, title="Result", words=result),
            Column(query=f"{FAILURE} and on (cluster, policy) {WORST}", title=None),
            Column(query=f"{DRY} and {WORST}", title="Mode", words=styles.DRY_RUN),
            Column(query=f"{CANDIDATES} and {WORST}", title="Candidates", decimals=0),
            Column(query=f"{IN_PROGRESS} and {WORST}", title="In progress", decimals=0),
            _moment(f"({LAST_RUN} and {WORST})", "Last run", never=f"({JOURNALED} and {WORST})"),
            _moment(f"({LAST_SUCCESS} and {WORST})", "Last success", never=f"({JOURNALED} and {WORST})"),
            _moment(f"({NEXT_RUN} and {WORST})", "Next run"),
        ),
        sort=("Result", True),
        no_value=NOT_CONFIGURED,
        height=12,
    )


def _under_way() -> tuple[table.Panel, table.Panel]:
    # Without a moment at which nothing was under way, it counts from when this was first known.
    idle = f"max_over_time((time() * ({IN_PROGRESS} == bool 0))[6h:5m]) > 0"
    first = f"min_over_time((time() + 0 * {IN_PROGRESS})[6h:5m])"
    since = f"time() - ({idle} or {first}) and {UNDER_WAY}"
    plan = of_policy(from_holder("ontap_cleanup_plan_packages", POLICY), "verdict", "reason")
    return (
        listing(
            "Deletions under way",
            "Clusters on which a deletion is being sent or followed, and for how long there has been no "
            "pause, to five minutes and up to six hours. Deletions that follow each other count together; a "
            "single one should take no longer than retry_busy_for and job_timeout together.",
            labels=(THIS_CLUSTER, THIS_POLICY),
            columns=(Column(query=since, title="Without a pause for", unit=styles.SECONDS, decimals=0),),
            sort=("Without a pause for", True),
            no_value="No deletion is known to be under way.",
            width=10,
            height=8,
        ),
        listing(
            "Last plans, by reason",
            "Packages in the last good plans of each policy, on all clusters together, by verdict and "
            "reason. docs/cleanup.md explains the reasons.",
            labels=(
                THIS_POLICY,
                Label(name="verdict", title="Verdict"),
                Label(name="reason", title="Reason"),
            ),
            columns=(
                Column(query=f"sum by (policy, verdict, reason) ({plan})", title="Packages", decimals=0),
            ),
            sort=("Packages", True),
            no_value="No plan is known.",
            width=14,
            height=8,
        ),
    )


def _moment(query: str, title: str, *, never: str = "") -> Column:
    """Show a time: "never" where an expression has a value instead, and else "unknown"."""
    shown = f"{milliseconds(query)} or 0 * {never}" if never else milliseconds(query)
    words = styles.NOT_YET if never else None
    return Column(query=shown, title=title, unit="dateTimeFromNow", words=words, missing="unknown")


def _deletions() -> tuple[table.Panel | bargauge.Panel, ...]:
    return (
        bars(
            "Deletions on all clusters",
            "Deletions that ended in the time shown, by outcome, each counted once, whatever clusters are "
            "chosen: the dashboard of a cluster has its own. docs/cleanup.md explains the outcomes. From the "
            f"series that the rules record. {HIDDEN_BY_FILTERS}",
            ((f"sum by (outcome) (sum_over_time({ENDED}[$__range])) > 0", "{{outcome}}"),),
            no_value="none is known",
            width=6,
        ),
        listing(
            "ONTAP's error codes",
            "Deletions that ended with an error code of ONTAP, since the journal began, most frequent "
            "first. docs/cleanup.md explains the codes.",
            labels=(
                replace(THIS_CLUSTER, width=140),
                replace(THIS_POLICY, width=110),
                Label(name="code", title="Code", texts=styles.CODES),
            ),
            columns=(
                Column(
                    query=f"topk($rows, max by (cluster, policy, code) ({ERRORS}))",
                    title="Deletions",
                    decimals=0,
                    width=90,
                ),
            ),
            sort=("Deletions", True),
            no_value="No deletion is known to have ended with an error code.",
            width=12,
            height=8,
        ),
        _durations(),
    )


def _durations() -> table.Panel:
    """Show how long deletions take; too few end to show it over time."""
    buckets, total, count = (
        series(f"{SECONDS}_{part}", JOB, 'policy=~"$policy"') for part in ("bucket", "sum", "count")
    )
    mean = f"sum by (policy) ({total}) / (sum by (policy) ({count}) > 0)"
    most = f"histogram_quantile(0.9, sum by (policy, le) ({buckets}))"
    return listing(
        "How long deletions take",
        "From DELETE to the outcome, since the journal began, on all clusters together.",
        labels=(THIS_POLICY,),
        columns=(
            Column(query=mean, title="Mean", unit=styles.SECONDS, decimals=1),
            Column(query=most, title="90 %", unit=styles.SECONDS, decimals=1),
        ),
        no_value="No deletion is known to have ended.",
        width=6,
        height=8,
    )


def _deletions_over_time() -> tuple[timeseries.Panel, ...]:
    return (
        graph(
            "Deletions on all clusters, by outcome",
            "Deletions that ended, by outcome, whatever clusters are chosen; each is in one bar. From the "
            f"series that the rules record. {HIDDEN_BY_FILTERS}",
            ((f"sum by (outcome) (sum_over_time({ENDED}[$__interval])) > 0", "{{outcome}}"),),
            bars=True,
            colors={
                "success": styles.GREEN,
                "already_gone": styles.BLUE,
                "protected": "purple",
                "busy": "yellow",
                "timeout": styles.ORANGE,
                "failure": styles.RED,
                "denied": "dark-red",
            },
        ),
        graph(
            "Candidates by policy",
            "Packages that the last plans chose, dry runs included.",
            ((f"sum by (policy) ({CANDIDATES})", "{{policy}}"),),
            decimals=0,
        ),
    )


def _runs_over_time() -> tuple[timeseries.Panel, ...]:
    return (
        graph(
            "Runs that failed",
            "Clusters on which the last run of the policy did not succeed.",
            ((f"sum by (policy) ({SUCCESS} == bool 0)", "{{policy}}"),),
            decimals=0,
            width=8,
        ),
        graph(
            "Deletions in progress",
            "Deletions that are being sent or followed.",
            ((f"sum by (policy) ({IN_PROGRESS})", "{{policy}}"),),
            stacked=True,
            decimals=0,
            width=8,
        ),
        graph(
            "Runs skipped",
            "Runs skipped because an earlier run of the same policy on the same cluster was going on.",
            ((f"sum by (policy) (increase({SKIPPED}[$__rate_interval]))", "{{policy}}"),),
            bars=True,
            width=8,
        ),
    )
