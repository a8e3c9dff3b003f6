"""The fleet's clusters, one by one and by a label of theirs, and how their polls go."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, statetimeline, table, timeseries

from ontap_dashboards import frame, promql, styles
from ontap_dashboards.fleet_holdings import THIS_CLUSTER
from ontap_dashboards.panels import bars, graph, spread, timeline
from ontap_dashboards.promql import CLUSTER, days, milliseconds, of_cluster, of_repository, series
from ontap_dashboards.tables import Column, Label, listing
from ontap_mixin import cluster_rules
from ontap_mixin.settings import Settings


def breakdown() -> table.Panel:
    """Compare the parts of the fleet that a label of the clusters tells apart."""
    up = f"max by (cluster, $by) ({series('ontap_up', CLUSTER)})"
    polled = f"({up} and on (cluster) {of_cluster('ontap_last_poll_timestamp_seconds')})"
    held = "max by (cluster, $by) " + f"({series('ontap_software_packages', promql.NAMED)})"
    return listing(
        "By label",
        "Clusters and packages by the label that “Break down by” chooses. Clusters without this label are "
        "in the line without a name.",
        labels=(Label(name="$by", title="Value"),),
        columns=(
            Column(query=f"count by ($by) ({up})", title="Clusters", decimals=0),
            Column(
                query=f"sum by ($by) ({polled} == bool 0)",
                title="Down",
                colors=styles.NONE_IS_GOOD,
                decimals=0,
            ),
            Column(
                query=f"sum by ($by) ({held} and on (cluster) {promql.UP} == 1)",
                title="Packages",
                decimals=0,
            ),
        ),
        sort=("Clusters", True),
        height=8,
    )


def clusters(settings: Settings) -> table.Panel:
    """List every cluster."""
    old_days = settings.thresholds.unused_package_age_days
    return listing(
        "All clusters",
        "Every cluster that is polled; clusters that are down come first. A dash means that the value is "
        "not known: nothing is said about the packages of a cluster that is down. From what age a package "
        "counts in the column “Unused over” is set in grafana/mixin.yaml, and not by “Old after”.",
        labels=(THIS_CLUSTER, Label(name="ontap_version", title="Release")),
        columns=(
            Column(query=promql.STATE, title="State", words=styles.UP_OR_DOWN, width=90),
            Column(query=of_cluster("ontap_cluster_info", "ontap_version"), title=None),
            Column(query=promql.PACKAGES, title="Packages", decimals=0),
            Column(query=promql.OLD_UNUSED, title=f"Unused over {old_days:g} d", decimals=0),
            Column(
                query=days(promql.OLDEST_UNUSED),
                title="Oldest unused",
                unit=styles.DAYS,
                colors=styles.age_days(settings),
                decimals=0,
            ),
            Column(
                query=of_repository("ontap_software_update_in_progress"),
                title="Update",
                words=styles.IN_PROGRESS,
            ),
            Column(
                query=milliseconds(promql.LAST_GOOD_POLL),
                title="Last good poll",
                unit="dateTimeFromNow",
                words=styles.NEVER,
            ),
            Column(
                query=of_cluster("ontap_poll_duration_seconds"),
                title="Poll took",
                unit=styles.SECONDS,
                decimals=2,
            ),
        ),
        sort=("State", False),
        height=14,
    )


def polls() -> tuple[timeseries.Panel | bargauge.Panel | statetimeline.Panel, ...]:
    """Show how polls go."""
    failures = series("ontap_poll_failures_total", CLUSTER)
    available = f"max by (cluster) (avg_over_time({cluster_rules.UP}{{{CLUSTER}}}[$__range]))"
    least = f"bottomk(10, {available} < 1 and {promql.UP})"
    return (
        timeline(
            "Clusters that were down",
            "The ten clusters that were up for the smallest share of the time shown. From the series that "
            "the rules record.",
            (
                (
                    f"max by (cluster) ({cluster_rules.UP}{{{CLUSTER}}}) and on (cluster) {least}",
                    "{{cluster}}",
                    styles.UP_OR_DOWN,
                ),
            ),
            width=16,
            height=12,
        ),
        bars(
            "Least available clusters",
            "The share of the time shown in which these clusters were up. Clusters that were always up are "
            "not shown. From the series that the rules record.",
            ((least, "{{cluster}}"),),
            unit="percentunit",
            colors=styles.SHARE_UP,
            no_value="none is known",
            most=1,
            width=8,
            height=12,
        ),
        graph(
            "Failed polls by reason",
            "Failed polls per minute. docs/metrics.md explains the reasons.",
            ((f"60 * sum by (reason) (rate({failures}[$__rate_interval]))", "{{reason}}"),),
            unit="cpm",
            stacked=True,
            interval=frame.POLL_INTERVAL,
        ),
        graph(
            "How long polls take",
            "The last poll of every cluster: the slowest, the 90th percentile and the median.",
            spread(of_cluster("ontap_poll_duration_seconds")),
            unit="s",
        ),
    )
