"""The fleet's packages: the old ones, the versions, and which cluster holds what."""

from __future__ import annotations

from dataclasses import replace

from grafana_foundation_sdk.builders import bargauge, table

from ontap_dashboards import frame, promql, styles
from ontap_dashboards.panels import bars
from ontap_dashboards.promql import CLUSTER, series
from ontap_dashboards.tables import Column, Label, listing, matrix

THIS_CLUSTER = Label(
    name="cluster",
    title="Cluster",
    link=styles.dashboard_link("Open this cluster", frame.CLUSTER, "cluster", "old_after"),
)
THIS_VERSION = Label(name="version", title="Version")
VERSION = 'version=~"$version"'
INFO = f"max by (cluster, version) ({series('ontap_software_package_info', CLUSTER, VERSION)})"
USE = f"max by (cluster, version) ({series('ontap_software_package_in_use', CLUSTER, VERSION)})"
AGE = f"max by (cluster, version) ({series('ontap_software_package_age_seconds', CLUSTER, VERSION)})"
BRACKETS = (
    ("up to 30 days", 0, 30),
    ("30 to 90 days", 30, 90),
    ("90 to 180 days", 90, 180),
    ("180 days to 1 year", 180, 365),
    ("1 to 2 years", 365, 730),
    ("over 2 years", 730, None),
)


def old() -> tuple[table.Panel | bargauge.Panel, ...]:
    """Show which packages are the oldest, and which clusters hold most of them."""
    return (
        listing(
            "Oldest packages that are not in use",
            "The oldest packages that are not known to be in use, whatever “Old after” says. "
            "“Rows” sets how many.",
            labels=(THIS_CLUSTER, THIS_VERSION),
            columns=(
                Column(
                    query=f"topk($rows, {promql.NOT_IN_USE})",
                    title="Age",
                    unit="s",
                    colors=styles.AGE,
                    decimals=1,
                ),
            ),
            sort=("Age", True),
            no_value="No unused package is known.",
            width=10,
            height=11,
        ),
        bars(
            "Clusters with the most old packages",
            "The ten clusters with the most packages older than “Old after” that are not known to be in use.",
            ((f"topk(10, {promql.old_packages(by='cluster')} > 0)", "{{cluster}}"),),
            colors=styles.thresholds((None, styles.ORANGE)),
            width=7,
            height=11,
        ),
        bars(
            "Packages by age",
            "All packages whose age is known, those in use included, by the time since they were added.",
            [(_between(since, until), title) for title, since, until in BRACKETS],
            width=7,
            height=11,
        ),
    )


def _between(since_days: int, until_days: int | None) -> str:
    """Count the packages of an age."""
    aged = f"{promql.AGES} >= {since_days * styles.DAY}"
    if until_days:
        aged += f" < {until_days * styles.DAY}"
    return f"count({aged}) or {promql.NO_PACKAGE}"


def versions() -> tuple[table.Panel | bargauge.Panel, ...]:
    """Show how many clusters hold each version, and which versions are not in use."""
    releases = f"max by (cluster, ontap_version) ({series('ontap_cluster_info', CLUSTER)})"
    unused = f"count by (version) ({INFO}) and on (version) sum by (version) ({USE}) == 0"
    return (
        listing(
            "Versions",
            "Every version in the repositories: how many clusters hold it, and on how many it is in use. "
            "“Version” above restricts this row.",
            labels=(THIS_VERSION,),
            columns=(
                Column(query=f"count by (version) ({INFO})", title="Clusters that hold it", decimals=0),
                Column(query=f"sum by (version) ({USE})", title="In use on", missing="unknown", decimals=0),
                Column(
                    query=f"max by (version) ({AGE})",
                    title="Oldest",
                    unit="s",
                    colors=styles.AGE,
                    missing="unknown",
                    decimals=1,
                ),
            ),
            sort=("Clusters that hold it", True),
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
            "The ten versions that most clusters hold and that no chosen cluster uses.",
            ((f"topk(10, {unused})", "{{version}}"),),
            width=8,
            height=12,
        ),
    )


def holdings() -> table.Panel:
    """Show which cluster holds which version."""
    return matrix(
        "Which cluster holds which version",
        "One line for each cluster, one column for each version. The clusters with most packages are shown; "
        "“Rows” sets how many. “Cluster” and “Version” above restrict the table.",
        f"({USE} or 2 * {INFO}) and on (cluster) topk($rows, {promql.PACKAGES})",
        rows=replace(THIS_CLUSTER, width=160),
        across="version",
        words={
            0: ("held", "semi-dark-blue"),
            1: ("in use", "semi-dark-green"),
            2: ("use unknown", "semi-dark-orange"),
        },
    )
