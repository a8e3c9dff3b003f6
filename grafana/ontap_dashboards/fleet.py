"""The fleet: what needs a person now, and which cluster holds what."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import stat, table, timeseries

from ontap_dashboards import fleet_clusters, fleet_holdings, frame, promql, styles
from ontap_dashboards.panels import graph, number
from ontap_dashboards.promql import CLUSTER, JOB, how_many, milliseconds, of_cluster, refused, series
from ontap_dashboards.tables import Column, Label, listing

RUN_SUCCESS = f"max by (cluster, policy) ({series('ontap_cleanup_last_run_success', CLUSTER)})"
RUN_END = f"max by (cluster, policy) ({series('ontap_cleanup_last_run_timestamp_seconds', CLUSTER)})"
THIS_POLICY = Label(
    name="policy", title="Policy", link=styles.dashboard_link("Open this policy", frame.CLEANUP, "policy")
)
FAILURES = series("ontap_poll_failures_total", CLUSTER)
DOWN_FOR_LONGEST = f"bottomk($rows, {promql.LAST_GOOD_POLL} and {promql.DOWN})"


def dashboard() -> builders.Dashboard:
    """Build it."""
    board = frame.frame(
        frame.FLEET,
        "ONTAP packages / Fleet",
        "The package repositories of all clusters: what needs attention now, and which cluster holds what.",
        refresh="1m",
        since="now-24h",
    )
    for variable in (
        frame.jobs(),
        frame.several("cluster", "Cluster", 'label_values(ontap_up{job=~"$job"}, cluster)'),
        frame.several(
            "version",
            "Version",
            'label_values(ontap_software_package_info{job=~"$job", cluster=~"$cluster"}, version)',
        ),
        frame.old_after(),
        frame.rows(),
        frame.filters("filters", "Filters"),
    ):
        board = board.with_variable(variable)
    board = frame.group(
        board, "What needs a person now", *_alarms(), *_cleanup_alarms(), _clusters_down(), _runs_failed()
    )
    board = frame.group(board, "The fleet at a glance", *_sizes(), *_old(), *_over_time())
    board = frame.group(board, "Old packages", *fleet_holdings.old())
    board = frame.group(board, "Versions", *fleet_holdings.versions(), fleet_holdings.holdings())
    board = frame.group(board, "Clusters", fleet_clusters.clusters())
    return frame.group(board, "Polls", *fleet_clusters.polls())


def _alarm(title: str, description: str, expression: str, *, leads_to: str = "") -> stat.Panel:
    """Show a number that should be 0."""
    link = styles.link("Open the dashboard", f"/d/{leads_to}?{styles.KEPT}") if leads_to else None
    return number(title, description, expression, colors=styles.NONE_IS_GOOD, link=link)


def _alarms() -> tuple[stat.Panel, ...]:
    reloaded = series("ontap_exporter_config_last_reload_successful", JOB)
    return (
        _alarm(
            "Exporters down",
            "Exporters that Prometheus cannot scrape. A filter on a label of the clusters hides this.",
            how_many(f"{series('up', JOB)} == bool 0"),
            leads_to=frame.EXPORTER,
        ),
        _alarm(
            "Config refused",
            "Exporters whose latest configuration was refused, so that an older one stays applied. "
            "A filter on a label of the clusters hides this.",
            how_many(f"{reloaded} == bool 0"),
            leads_to=frame.EXPORTER,
        ),
        _alarm(
            "Clusters down",
            "Clusters whose last poll failed. They are listed below.",
            how_many(f"{promql.UP} == bool 0"),
        ),
        _alarm(
            "Passwords refused",
            "Clusters that are down and have refused the login within the last two hours. "
            "ONTAP locks an account after a few wrong passwords.",
            refused("unauthorized"),
        ),
        _alarm(
            "Incomplete listings",
            "Clusters that are down and whose listing could not be read to its end in the last two hours.",
            refused("incomplete"),
        ),
        _alarm(
            "No fresh listing",
            "Clusters without a good poll within stale_after. The panels below do not show their packages.",
            f"count({promql.UP}) - (count({promql.PACKAGES}) or 0 * count({promql.UP}))",
        ),
    )


def _cleanup_alarms() -> tuple[stat.Panel, ...]:
    return (
        _alarm(
            "Cleanup failed",
            "Policies whose last run on a cluster did not succeed, counted once for every cluster. "
            "A dash means that cleanup is not configured, or no run has ended yet.",
            how_many(f"{RUN_SUCCESS} == bool 0"),
            leads_to=frame.CLEANUP,
        ),
        _alarm(
            "Kill switch on",
            "Exporters whose kill switch is on, so that they delete nothing. A dash means that cleanup "
            "is not configured. A filter on a label of the clusters hides this.",
            how_many(f"{series('ontap_cleanup_halted', JOB)} == bool 1"),
            leads_to=frame.CLEANUP,
        ),
    )


def _clusters_down() -> table.Panel:
    reasons = f"topk by (cluster) (1, sum by (cluster, reason) (increase({FAILURES}[2h])) > 0)"
    return listing(
        "Clusters that are down",
        "Clusters whose last poll failed, and the most frequent reason of the last two hours. Those without "
        "a good poll for the longest time come first. docs/metrics.md explains the reasons.",
        labels=(fleet_holdings.THIS_CLUSTER, Label(name="reason", title="Reason")),
        columns=(
            Column(
                query=milliseconds(DOWN_FOR_LONGEST),
                title="Last good poll",
                unit="dateTimeFromNow",
                words=styles.NEVER,
            ),
            Column(
                query=f"{reasons} and on (cluster) {DOWN_FOR_LONGEST}",
                title="Failed polls in 2 h",
                decimals=0,
            ),
        ),
        sort=("Last good poll", False),
        no_value="Every cluster is up.",
        width=12,
        height=8,
    )


def _runs_failed() -> table.Panel:
    return listing(
        "Cleanup runs that failed",
        "The last runs of policies that did not succeed, the latest first. "
        "Empty if cleanup is not configured.",
        labels=(fleet_holdings.THIS_CLUSTER, THIS_POLICY),
        columns=(
            Column(
                query=milliseconds(f"topk($rows, {RUN_END} and {RUN_SUCCESS} == 0)"),
                title="Last run",
                unit="dateTimeFromNow",
            ),
        ),
        sort=("Last run", True),
        no_value="No failed run is known.",
        width=12,
        height=8,
    )


def _sizes() -> tuple[stat.Panel, ...]:
    versions = f"count(count by (version) ({of_cluster('ontap_software_package_info', 'version')}))"
    return (
        number("Clusters", "Clusters that are polled.", f"count({promql.UP})"),
        number(
            "Up",
            "Share of the clusters whose last poll succeeded.",
            f"avg({promql.UP})",
            unit="percentunit",
            colors=styles.thresholds((None, styles.RED), (0.9, styles.ORANGE), (1, styles.GREEN)),
        ),
        number("Packages", "Packages in all fresh listings together.", f"sum({promql.PACKAGES})"),
        number(
            "Versions",
            "Different versions in all fresh listings together.",
            f"{versions} or {promql.NO_PACKAGE}",
        ),
    )


def _old() -> tuple[stat.Panel, ...]:
    holding = f"sum(max by (cluster) ({promql.NOT_IN_USE} > bool $old_after))"
    return (
        number(
            "Old packages",
            "Packages older than “Old after” that are not known to be in use.",
            f"{promql.old_packages()} or {promql.NO_PACKAGE}",
            colors=styles.NONE_IS_BETTER,
        ),
        number(
            "Have old packages",
            "Clusters that hold at least one package older than “Old after” that is not known to be in use.",
            f"{holding} or {promql.NO_PACKAGE}",
            colors=styles.NONE_IS_BETTER,
        ),
        number(
            "Oldest package",
            "Age of the oldest package that is not known to be in use.",
            f"max({promql.NOT_IN_USE})",
            unit="s",
            colors=styles.AGE,
        ),
        number(
            "Unnamed records",
            "Records of listings that have no usable version. They are counted nowhere else.",
            f"sum({of_cluster('ontap_software_packages_unnamed')})",
            colors=styles.NONE_IS_BETTER,
        ),
    )


def _over_time() -> tuple[timeseries.Panel, ...]:
    return (
        graph(
            "Clusters up and down",
            "Clusters by the result of their last poll.",
            ((f"sum({promql.UP})", "up"), (how_many(f"{promql.UP} == bool 0"), "down")),
            stacked=True,
            decimals=0,
            colors={"up": styles.GREEN, "down": styles.RED},
        ),
        graph(
            "Packages",
            "Packages in all fresh listings together. It falls while a cluster has no fresh listing.",
            ((f"sum({promql.PACKAGES})", "packages"),),
            decimals=0,
        ),
    )
