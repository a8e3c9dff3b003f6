"""The fleet's clusters, one by one, and how their polls go."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, table, timeseries

from ontap_dashboards import frame, promql, styles
from ontap_dashboards.fleet_holdings import THIS_CLUSTER
from ontap_dashboards.panels import bars, graph, spread
from ontap_dashboards.promql import CLUSTER, milliseconds, of_cluster, series
from ontap_dashboards.tables import Column, Label, listing


def clusters() -> table.Panel:
    """List every cluster."""
    old = f"{promql.old_packages(by='cluster')} or 0 * {promql.PACKAGES}"
    return listing(
        "All clusters",
        "Every cluster that is polled; clusters that are down come first. A dash means that the value is not "
        "known: package counts go away when the listing is no longer fresh.",
        labels=(THIS_CLUSTER, Label(name="ontap_version", title="Release")),
        columns=(
            Column(query=promql.UP, title="State", words=styles.UP_OR_DOWN, width=90),
            Column(query=of_cluster("ontap_cluster_info", "ontap_version"), title=None),
            Column(query=promql.PACKAGES, title="Packages", decimals=0),
            Column(query=old, title="Old packages", decimals=0),
            Column(
                query=f"max by (cluster) ({promql.NOT_IN_USE})",
                title="Oldest not in use",
                unit="s",
                colors=styles.AGE,
                decimals=1,
            ),
            Column(
                query=milliseconds(promql.LAST_GOOD_POLL),
                title="Last good poll",
                unit="dateTimeFromNow",
                words=styles.NEVER,
            ),
            Column(query=of_cluster("ontap_poll_duration_seconds"), title="Poll took", unit="s", decimals=2),
        ),
        sort=("State", False),
        height=14,
    )


def polls() -> tuple[timeseries.Panel | bargauge.Panel, ...]:
    """Show how polls go."""
    failures = series("ontap_poll_failures_total", CLUSTER)
    available = f"max by (cluster) (avg_over_time({series('ontap_up', CLUSTER)}[$__range]))"
    return (
        graph(
            "Failed polls by reason",
            "Failed polls per minute. docs/metrics.md explains the reasons.",
            ((f"60 * sum by (reason) (rate({failures}[$__rate_interval]))", "{{reason}}"),),
            unit="cpm",
            stacked=True,
            interval=frame.POLL_INTERVAL,
            width=8,
        ),
        graph(
            "How long polls take",
            "The last poll of every cluster: the slowest, the 90th percentile and the median.",
            spread(of_cluster("ontap_poll_duration_seconds")),
            unit="s",
            width=8,
        ),
        bars(
            "Least available clusters",
            "The ten clusters that were up for the smallest share of the time shown. "
            "Clusters that were always up are not shown.",
            ((f"bottomk(10, {available} < 1)", "{{cluster}}"),),
            unit="percentunit",
            colors=styles.thresholds((None, styles.RED), (0.9, styles.ORANGE)),
            no_value="none",
            most=1,
            width=8,
        ),
    )
