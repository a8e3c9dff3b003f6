"""The fleet: what needs a person now, and which cluster holds what."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders

from ontap_dashboards import fleet_clusters, fleet_holdings, frame, promql, styles
from ontap_dashboards.panels import bars, graph, number
from ontap_dashboards.promql import (
    CLUSTER,
    JOB,
    NAMED,
    days,
    from_journal,
    how_many,
    milliseconds,
    of_cluster,
    of_policy,
    series,
)
from ontap_dashboards.tables import Column, Label, listing
from ontap_mixin import cleanup_rules, cluster_rules, package_rules
from ontap_mixin.settings import Settings

RUN_SUCCESS = of_policy(from_journal("ontap_cleanup_last_run_success", CLUSTER))
RUN_FAILURE = of_policy(from_journal("ontap_cleanup_last_run_failure", CLUSTER), "reason")
RUN_END = of_policy(from_journal("ontap_cleanup_last_run_timestamp_seconds", CLUSTER))
THIS_POLICY = Label(
    name="policy", title="Policy", link=styles.dashboard_link("Open this policy", frame.CLEANUP, "policy")
)
DOWN_NEWEST = f"topk($rows, {promql.LAST_GOOD_POLL} and {promql.DOWN})"
QUARTER_HOURS_OF_A_DAY = 96
"""Points of a graph: with 10,000 clusters, Prometheus reads 10,000 series for each of them."""
RECORDED = "no rules, or nothing known"


def dashboard(settings: Settings) -> builders.Dashboard:
    """Build it."""
    board = frame.frame(
        settings,
        frame.FLEET,
        "ONTAP packages / Fleet",
        "The package repositories of all clusters: what needs attention now, and which cluster holds what.",
        refresh="5m",
        since="now-24h",
    )
    for variable in (
        frame.jobs(),
        frame.several("cluster", "Cluster", 'label_values(ontap_up{job=~"$job"}, cluster)'),
        frame.label_of_clusters(settings),
        frame.old_after(settings),
        frame.rows(),
        frame.filters("filters", "Filters"),
    ):
        board = board.with_variable(variable)
    for name, expression, color in _events():
        board = frame.annotated(board, name, expression, color)
    board = frame.group(
        board,
        "What needs a person now",
        *_alarms(),
        _reasons(),
        _alerts(settings),
        _clusters_down(settings),
        _runs_failed(),
    )
    board = frame.group(board, "The fleet at a glance", *_sizes(settings), *_over_time())
    board = frame.folded(board, "Clusters", fleet_clusters.breakdown(), fleet_clusters.clusters(settings))
    board = frame.folded(board, "Old packages", *fleet_holdings.old(settings))
    board = frame.folded(board, "Versions", *fleet_holdings.versions(settings), fleet_holdings.holdings())
    return frame.folded(board, "Polls", *fleet_clusters.polls())


def _events() -> tuple[tuple[str, str, str], ...]:
    """Mark what happened, by the few series that the rules record for it."""
    ended = f'{cleanup_rules.ENDED}{{{JOB}, outcome="success"}}'
    failed = f"{cleanup_rules.RUNS_FAILED}{{{JOB}}}"
    updates = package_rules.UPDATES
    started = series("process_start_time_seconds", JOB)
    return (
        ("Deletions", f"sum by (policy) (sum_over_time({ended}[$__interval])) > 0", styles.BLUE),
        ("Runs that failed", f"sum by (policy) (max_over_time({failed}[$__interval]))", styles.RED),
        ("Updates", f"{updates} > {updates} offset $__interval", "purple"),
        ("Starts of exporters", f"changes({started}[$__interval]) > 0", styles.ORANGE),
    )


def _alarm(title: str, description: str, expression: str, *, leads_to: str = "") -> stat.Panel:
    """Show a number that should be 0."""
    link = styles.link("Open the dashboard", f"/d/{leads_to}?{styles.KEPT}") if leads_to else None
    return number(title, description, expression, colors=styles.NONE_IS_GOOD, link=link, width=4)


def _alarms() -> tuple[stat.Panel, ...]:
    return (
        _alarm(
            "Exporters down",
            "Exporters that Prometheus cannot scrape. A filter on a label of the clusters hides this.",
            how_many(f"max by (job, instance) ({series('up', JOB)}) == bool 0"),
            leads_to=frame.EXPORTER,
        ),
        _alarm(
            "Clusters down",
            "Clusters whose last poll failed. They are listed below.",
            how_many(f"{promql.STATE} == bool 0"),
        ),
        _alarm(
            "No fresh listing",
            "Clusters without a good poll within stale_after. Nothing is said about their packages.",
            f"count({promql.UP} unless on (cluster) {series('ontap_software_packages', NAMED)})"
            f" or 0 * count({promql.UP})",
        ),
        _alarm(
            "Cleanup failed",
            "Policies whose last run on a cluster did not succeed, counted once for every cluster. A dash "
            "means that cleanup is not configured, or no run has ended yet.",
            how_many(f"{RUN_SUCCESS} == bool 0"),
            leads_to=frame.CLEANUP,
        ),
        number(
            "Kill switch",
            "Whether the kill switch is on, so that nothing is deleted. A dash means that cleanup is not "
            "configured. A filter on a label of the clusters hides this.",
            f"max({series('ontap_cleanup_halted', JOB)})",
            colors=styles.NONE_IS_GOOD,
            words=styles.ON_OR_OFF,
            width=4,
            link=styles.link("Open the dashboard", f"/d/{frame.CLEANUP}?{styles.KEPT}"),
        ),
        number(
            "Up",
            "Share of the clusters whose last poll succeeded.",
            f"avg({promql.STATE})",
            unit="percentunit",
            colors=styles.SHARE_UP,
            width=4,
        ),
    )


def _reasons() -> bargauge.Panel:
    return bars(
        "Down, by reason",
        "Clusters that are down, by the reason of their last poll, each counted once. docs/metrics.md says "
        "what to do for each.",
        ((f"count by (reason) ({promql.REASONS})", "{{reason}}"),),
        colors=styles.thresholds((None, styles.GREY), (0, styles.RED)),
        no_value="no reason is known",
        width=8,
        height=7,
    )


def _alerts(settings: Settings) -> table.Panel:
    firing = 'ALERTS{alertname=~"Ontap.+", alertstate="firing"}'
    page = f"{settings.runbook_base}${{__value.raw}}.md"
    return listing(
        "Firing alerts",
        "Alerts of the exporter's rules that fire now, and about how many clusters, policies or processes.",
        labels=(
            Label(name="alertname", title="Alert", link=styles.link("What to do", page)),
            Label(name="severity", title="Severity"),
        ),
        columns=(
            Column(query=f"count by (alertname, severity) ({firing})", title="Firing", decimals=0, width=90),
        ),
        sort=("Severity", False),
        no_value="No alert is known to fire.",
        width=16,
        height=7,
    )


def _clusters_down(settings: Settings) -> table.Panel:
    what_to_do = styles.link("What to do", styles.runbook(settings, "OntapClusterDown"))
    return listing(
        "Clusters that are down",
        "Clusters whose last poll failed, and the reason of that poll; those that went down last come "
        "first. Nothing is said about their packages.",
        labels=(
            fleet_holdings.THIS_CLUSTER,
            Label(name="reason", title="Reason", link=what_to_do),
        ),
        columns=(
            Column(
                query=milliseconds(DOWN_NEWEST),
                title="Last good poll",
                unit="dateTimeFromNow",
                words=styles.NEVER,
            ),
            Column(query=f"{promql.REASONS} and on (cluster) {DOWN_NEWEST}", title=None),
        ),
        sort=("Last good poll", True),
        no_value="No cluster is known to be down.",
        width=12,
        height=8,
    )


def _runs_failed() -> table.Panel:
    return listing(
        "Cleanup runs that failed",
        "The last runs of policies that did not succeed, and why, the latest first. Empty if cleanup is not "
        "configured.",
        labels=(fleet_holdings.THIS_CLUSTER, THIS_POLICY, Label(name="reason", title="Reason")),
        columns=(
            Column(
                query=milliseconds(
                    f"topk($rows, {RUN_FAILURE} * on (cluster, policy) group_left () {RUN_END})"
                ),
                title="Last run",
                unit="dateTimeFromNow",
            ),
        ),
        sort=("Last run", True),
        no_value="No failed run is known.",
        width=12,
        height=8,
    )


def _sizes(settings: Settings) -> tuple[stat.Panel, ...]:
    none = f"0 * count({promql.UP}) unless on () ({promql.UP} unless on (cluster) {promql.OLD_DECIDED})"
    certificate_days = f"{settings.thresholds.certificate_days:g}"
    expiry = of_cluster("ontap_cluster_certificate_expiry_timestamp_seconds")
    valid = f"0 * count({promql.UP}) unless on () ({promql.UP} unless on (cluster) {expiry})"
    return (
        number("Clusters", "Clusters that are polled.", f"count({promql.UP})", width=4),
        number("Packages", "Packages of all clusters that are up.", f"sum({promql.PACKAGES})", width=4),
        number(
            "Have old packages",
            "Clusters with at least one package that is older than “Old after” and known to be unused. 0 "
            "only if all clusters are up, and use and age are known of all packages. From the series that "
            "the rules record.",
            f"count({promql.OLDEST_UNUSED} > $old_after) or {none}",
            colors=styles.NONE_IS_BETTER,
            no_value=RECORDED,
            width=4,
        ),
        number(
            "Oldest unused package",
            "Age of the oldest package that is known to be unused. From the series that the rules record.",
            days(f"max({promql.OLDEST_UNUSED})"),
            unit=styles.DAYS,
            colors=styles.age_days(settings),
            no_value=RECORDED,
            width=4,
        ),
        number(
            "Updates",
            "Clusters with a software update that is unfinished.",
            f"sum({promql.of_repository('ontap_software_update_in_progress')})",
            width=4,
        ),
        number(
            "Certificates",
            f"Certificates of clusters that expire within {certificate_days} days, or have expired. 0 only "
            "if that is known of all clusters: it is not of one that never answered or is not verified.",
            f"count({expiry} < time() + {certificate_days} * 86400) or {valid}",
            colors=styles.NONE_IS_BETTER,
            width=4,
        ),
    )


def _over_time() -> tuple[timeseries.Panel, ...]:
    up = f"max by (cluster) ({cluster_rules.UP}{{{CLUSTER}}})"
    held = f"max by (cluster) ({package_rules.PACKAGES}{{{NAMED}}})"
    return (
        graph(
            "Clusters down",
            "Clusters whose last poll failed. A gap means that nothing is known. From the series that the "
            "rules record.",
            ((how_many(f"{up} == bool 0"), "down"),),
            decimals=0,
            points=QUARTER_HOURS_OF_A_DAY,
            colors={"down": styles.RED},
        ),
        graph(
            "Packages",
            "Packages in all fresh listings together. It falls while a cluster has no fresh listing. From "
            "the series that the rules record.",
            ((f"sum({held})", "packages"),),
            decimals=0,
            points=QUARTER_HOURS_OF_A_DAY,
        ),
    )
