"""Expressions that every dashboard asks in the same way.

Several exporters may see the same cluster, as two that stand by for each other do, or an old and a new one
during a roll-out. So what is known of a cluster is reduced to one series with ``max`` before it is counted.

Packages may come from another job than the state of their cluster, one target for each cluster. So nothing
about packages is chosen by ``job`` or ``instance``. Nothing is said about packages of a cluster that is down.

Whatever needs all packages of a large fleet is asked from the series that the rules record.
"""

from __future__ import annotations

from ontap_mixin import cleanup_rules, package_rules

JOB = 'job=~"$job"'
"""The exporters that were chosen."""
INSTANCE = f'{JOB}, instance=~"$instance"'
"""The processes that were chosen."""
NAMED = 'cluster=~"$cluster"'
"""The clusters that were chosen, whatever job serves them."""
CLUSTER = f"{JOB}, {NAMED}"
"""The clusters that were chosen, as the chosen exporters see them."""
POLICY = f'{CLUSTER}, policy=~"$policy"'
"""The policies that were chosen, on the clusters that were chosen."""
CLOSED = f"ontap_cleanup_journal_open{{{JOB}}} == 0"
"""The processes whose journal is not open."""


def series(metric: str, scope: str, *matchers: str) -> str:
    """Select the series of a metric within a scope."""
    return f"{metric}{{{', '.join((scope, *matchers))}}}"


def of_cluster(metric: str, *labels: str) -> str:
    """One series for every cluster, or for every cluster and the labels."""
    return f"max by ({', '.join(('cluster', *labels))}) ({series(metric, CLUSTER)})"


def of_repository(metric: str, *labels: str) -> str:
    """Likewise for what comes from the listing, of clusters that are up."""
    held = f"max by ({', '.join(('cluster', *labels))}) ({series(metric, NAMED)})"
    return f"({held} and on (cluster) {UP} == 1)"


def from_journal(metric: str, scope: str) -> str:
    """Select what comes from the journal: a process that has lost it may serve what is old."""
    return f"{series(metric, scope)} unless on (job, instance) {CLOSED}"


def from_holder(metric: str, scope: str) -> str:
    """Likewise, without the processes that may not clean a cluster while another may: that one knows best."""
    lease = series("ontap_cleanup_lease_held", JOB)
    others = f"({lease} == 0 and on (job, cluster) {lease} == 1)"
    return f"{from_journal(metric, scope)} unless on (job, instance, cluster) {others}"


def of_policy(known: str, *labels: str) -> str:
    """One series for every policy on every cluster, or for these and the labels."""
    return f"max by ({', '.join(('cluster', 'policy', *labels))}) ({known})"


def milliseconds(expression: str) -> str:
    """Give a Unix time in milliseconds, which Grafana's units of time need."""
    return f"1000 * {expression}"


def days(seconds: str) -> str:
    """Give a time in days, the unit of all ages here."""
    return f"{seconds} / 86400"


def how_many(condition: str) -> str:
    """Count the series for which a ``bool`` comparison holds: 0 if it holds for none of them."""
    return f"sum({condition})"


UP = of_cluster("ontap_up")
STATE = f"({UP} and on (cluster) {of_cluster('ontap_last_poll_timestamp_seconds')})"
"""1 for a cluster that is up, 0 for one that is down; nothing before its first poll."""
DOWN = f"({STATE} == 0)"
"""The clusters whose last poll failed."""
REASONS = f"(topk by (cluster) (1, {of_cluster('ontap_poll_failing', 'reason')}) and on (cluster) {DOWN})"
"""Why they are down: one reason for each, although replicas may fail for different ones."""
LAST_GOOD_POLL = of_cluster("ontap_last_successful_poll_timestamp_seconds")
PACKAGES = of_repository("ontap_software_packages")
INFO = of_repository("ontap_software_package_info", "version")
IN_USE = of_repository("ontap_software_package_in_use", "version")
AGES = of_repository("ontap_software_package_age_seconds", "version")
UNUSED = f"({AGES} and {IN_USE} == 0)"
"""The ages of packages that are known to be unused."""
UNDECIDED = f"({INFO} unless ({IN_USE} == 1 or {UNUSED}))"
"""Packages of which it is not known whether they are unused, or how old they are if they are unused."""
OLDEST_UNUSED = of_repository(package_rules.OLDEST)
_OLD, _AGELESS = (series(record, NAMED) for record in (package_rules.OLD, package_rules.AGELESS))
OLD_KNOWN = f"({_OLD} > 0 or {_OLD} unless on (cluster) {_AGELESS})"
"""Each cluster's old ones: 0 only if the use of all packages and the age of all unused ones are known."""
OLD_UNUSED = f"(max by (cluster) {OLD_KNOWN} and on (cluster) {UP} == 1)"
"""Likewise, of clusters that are up."""
OLD_DECIDED = f"(max by (cluster) ({_OLD} unless on (cluster) {_AGELESS}) and on (cluster) {UP} == 1)"
"""The clusters that are up of which the use of all packages and the age of all unused ones are known."""
ENDED = f'{cleanup_rules.ENDED}{{{JOB}, policy=~"$policy"}}'
"""Deletions that have ended since the rules were evaluated before."""


OLD_PACKAGES = f"count({UNUSED} > $old_after) or 0 * sum({PACKAGES}) unless on () {UNDECIDED}"
"""The packages beyond the chosen age that are known to be unused: 0 only if that is known of all packages."""
