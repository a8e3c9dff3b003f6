"""Expressions that every dashboard asks in the same way.

Several exporters may see the same cluster, as two that stand by for each other do, or an old and a new one
during a roll-out. So what is known of a cluster is reduced to one series with ``max`` before it is counted.
What happened is summed: every poll took place, and one exporter at a time adds to the totals of cleanup.
"""

from __future__ import annotations

JOB = 'job=~"$job"'
"""The exporters that were chosen."""
INSTANCE = f'{JOB}, instance=~"$instance"'
"""The processes that were chosen."""
CLUSTER = f'{JOB}, cluster=~"$cluster"'
"""The clusters that were chosen."""
POLICY = f'{CLUSTER}, policy=~"$policy"'
"""The policies that were chosen, on the clusters that were chosen."""


def series(metric: str, scope: str, *matchers: str) -> str:
    """Select the series of a metric within a scope."""
    return f"{metric}{{{', '.join((scope, *matchers))}}}"


def of_cluster(metric: str, *labels: str) -> str:
    """One series for every cluster, or for every cluster and the labels."""
    return f"max by ({', '.join(('cluster', *labels))}) ({series(metric, CLUSTER)})"


def of_policy(metric: str, *labels: str) -> str:
    """One series for every policy on every cluster, or for these and the labels."""
    return f"max by ({', '.join(('cluster', 'policy', *labels))}) ({series(metric, POLICY)})"


def milliseconds(expression: str) -> str:
    """Give a Unix time in milliseconds, which Grafana's units of time need."""
    return f"1000 * {expression}"


def how_many(condition: str) -> str:
    """Count the series for which a ``bool`` comparison holds: 0 if it holds for none of them."""
    return f"sum({condition})"


UP = of_cluster("ontap_up")
DOWN = f"({UP} == 0)"
"""The clusters whose last poll failed."""
LAST_GOOD_POLL = of_cluster("ontap_last_successful_poll_timestamp_seconds")
PACKAGES = of_cluster("ontap_software_packages")
IN_USE = of_cluster("ontap_software_package_in_use", "version")
AGES = of_cluster("ontap_software_package_age_seconds", "version")
NOT_IN_USE = f"({AGES} unless {IN_USE} == 1)"
"""The ages of packages that are not known to be in use."""
NO_PACKAGE = f"0 * sum({PACKAGES})"
"""0 if there is a listing, no value if there is none."""


def refused(reason: str) -> str:
    """Count the clusters that are down now, after a failure for this reason within the last two hours.

    Two hours cover the longest pause between two polls, which is one hour.
    """
    failures = series("ontap_poll_failures_total", CLUSTER, f'reason="{reason}"')
    return (
        how_many(f"{UP} == bool 0 and max by (cluster) (increase({failures}[2h])) > 0") + f" or 0 * sum({UP})"
    )


def old_packages(*, by: str = "") -> str:
    """Count the packages beyond the chosen age that are not known to be in use."""
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} ({NOT_IN_USE} > bool $old_after)"
