"""The fleet's packages: the old ones, the versions, and which cluster holds what."""

from __future__ import annotations

from dataclasses import replace

from grafana_foundation_sdk.builders import bargauge, table

from ontap_dashboards import frame, promql, styles
from ontap_dashboards.panels import bars
from ontap_dashboards.promql import CLUSTER, days, of_repository, series
from ontap_dashboards.tables import Column, Label, listing, matrix
from ontap_mixin.settings import Settings

THIS_CLUSTER = Label(
    name="cluster",
    title="Cluster",
    link=styles.dashboard_link("Open this cluster", frame.CLUSTER, "cluster", "old_after"),
)
THIS_VERSION = Label(name="version", title="Version")
INFO = of_repository("ontap_software_package_info", "sort_key", "train", "version")
DAY_SECONDS = 86_400
BRACKETS = (
    ("up to 30 days", 0, 30),
    ("30 to 90 days", 30, 90),
    ("90 to 180 days", 90, 180),
    ("180 days to 1 year", 180, 365),
    ("1 to 2 years", 365, 730),
    ("over 2 years", 730, None),
)


def old(settings: Settings) -> tuple[table.Panel | bargauge.Panel, ...]:
    """Show which packages are the oldest, and which clusters hold most of them."""
    return (
        listing(
            "Oldest packages that are not in use",
            "The oldest packages that are known to be unused, whatever “Old after” says. “Rows” sets how "
            "many.",
            labels=(THIS_CLUSTER, THIS_VERSION),
            columns=(
                Column(
                    query=days(f"topk($rows, {promql.UNUSED})"),
                    title="Age",
                    unit=styles.DAYS,
                    colors=styles.age_days(settings),
                    decimals=0,
                ),
            ),
            sort=("Age", True),
            no_value="No unused package is known.",
            width=10,
            height=11,
        ),
        bars(
            "Clusters with the most old packages",
            "The ten clusters with the most packages that are older than “Old after” and known to be unused.",
            ((f"topk(10, count by (cluster) ({promql.UNUSED} > $old_after))", "{{cluster}}"),),
            colors=styles.thresholds((None, styles.GREY), (0, styles.ORANGE)),
            no_value="none is known",
            width=7,
            height=11,
        ),
        bars(
            "Packages by age",
            "All packages, those in use included, by the time since they were added.",
            [
                *((_between(since, until), title) for title, since, until in BRACKETS),
                (_or_none(f"count({promql.INFO} unless {promql.AGES})"), "not known"),
            ],
            no_value="no age is known",
            width=7,
            height=11,
        ),
    )


def _between(since_days: int, until_days: int | None) -> str:
    """Count the packages of an age."""
    aged = f"{promql.AGES} >= {since_days * DAY_SECONDS}"
    if until_days:
        aged += f" < {until_days * DAY_SECONDS}"
    return _or_none(f"count({aged})")


def _or_none(counted: str) -> str:
    """Give 0 if nothing is counted in the listings, and no value if there is no listing."""
    return f"{counted} or 0 * sum({promql.PACKAGES})"


def versions(settings: Settings) -> tuple[table.Panel | bargauge.Panel, ...]:
    """Show how many clusters hold each version, and which versions are not in use."""
    releases = f"max by (cluster, ontap_version) ({series('ontap_cluster_info', CLUSTER)})"
    unused = f"count by (version) ({promql.INFO}) == count by (version) ({promql.IN_USE} == 0)"
    return (
        listing(
            "Versions",
            "Every version in the repositories, in the order of releases: how many clusters hold it, and on "
            "how many it is in use.",
            labels=(THIS_VERSION, Label(name="train", title="Train")),
            columns=(
                Column(query=f"count by (sort_key, train, version) ({INFO})", title="Clusters", decimals=0),
                Column(
                    query=f"sum by (version) ({promql.IN_USE})",
                    title="In use on",
                    missing="unknown",
                    decimals=0,
                ),
                Column(
                    query=days(f"max by (version) ({promql.AGES})"),
                    title="Oldest",
                    unit=styles.DAYS,
                    colors=styles.age_days(settings),
                    missing="unknown",
                    decimals=0,
                ),
            ),
            order="sort_key",
            width=10,
            height=12,
        ),
        listing(
            "Releases in use",
            "ONTAP releases by the number of clusters that state them; the lowest among a cluster's nodes.",
            labels=(Label(name="ontap_version", title="Release"),),
            columns=(Column(query=f"count by (ontap_version) ({releases})", title="Clusters", decimals=0),),
            sort=("Clusters", True),
            width=6,
            height=12,
        ),
        bars(
            "Most widespread unused versions",
            "The ten versions that most clusters hold, and that are known to be unused on all of them.",
            ((f"topk(10, {unused})", "{{version}}"),),
            no_value="none is known",
            width=8,
            height=12,
        ),
    )


def holdings() -> table.Panel:
    """Show which cluster holds packages of which release train."""
    ordered = rf'label_replace({INFO}, "order", "$1", "sort_key", "([0-9]+[.][0-9]+)[.].*")'
    return matrix(
        "Which cluster holds packages of which train",
        "Packages by release train, such as 9.14: one line for each cluster. The clusters with most "
        "packages are shown; “Rows” sets how many. “Cluster” above restricts the table, and a cluster's "
        "name opens the list of its versions. Versions that are no release are under “other”.",
        "label_replace("
        f"count by (cluster, train, order) ({ordered}) and on (cluster) topk($rows, {promql.PACKAGES})"
        ', "train", "other", "train", "")',
        rows=replace(THIS_CLUSTER, width=180),
        across="train",
        order="order",
    )
