"""Rules about clusters that cannot be read, or whose clock or certificate is wrong."""

from __future__ import annotations

from textwrap import indent

from ontap_mixin.rules import Alert, Group, Promql, Record, text

UP = "cluster:ontap_up:max"
CLUSTERS = "job:ontap_up:count"
REASON = "cluster_reason:ontap_poll_failing:max"
REASONS = "job_reason:ontap_poll_failing:count"
OWN_ALERTS = 'reason=~"unauthorized|incomplete"'
"""Reasons that have alerts of their own."""


def groups(p: Promql) -> tuple[Group, ...]:
    """Return the rules."""
    return (
        Group(name="ontap-clusters.rules", rules=_records(p)),
        Group(name="ontap-clusters.alerts", rules=(*_down(p), *_refused(p), *_incomplete(p), _stale(p))),
        Group(
            name="ontap-clusters-slow.alerts", rules=(_flapping(p), _skewed(p), _expires(p)), interval="5m"
        ),
    )


def _records(p: Promql) -> tuple[Record, ...]:
    return (
        Record(
            name=UP,
            why="Before its first poll, nothing is known of a cluster: not that it is down either.",
            expr=text(f"""
                max by ({p.of_cluster()}) (
                  {p.series("ontap_up")}
                  unless on ({p.polled}) {p.series("ontap_polls_total")} == 0
                )
            """),
        ),
        Record(
            name=CLUSTERS,
            why="Another set of rules, with other cluster_labels, may record a cluster too: it counts once.",
            expr=_count(p, UP),
        ),
        Record(
            name=REASON,
            why="Why a cluster is down. What only one of several replicas cannot do does not count.",
            expr=text(f"""
                max by ({p.of_cluster("reason")}) ({p.series("ontap_poll_failing")})
                and on ({p.cluster}, job) {UP} == 0
            """),
        ),
        Record(
            name=REASONS,
            expr=f"count by ({p.job}, reason) (max by ({p.cluster}, job, reason) ({REASON}))",
        ),
    )


def _count(p: Promql, clusters: str) -> str:
    """Count clusters, each once, although several sets of rules may have recorded it with other labels."""
    return f"count by ({p.job}) (\n  max by ({p.cluster}, job) (\n{indent(clusters, ' ' * 4)}\n  )\n)"


def _failing_as(p: Promql, matcher: str) -> str:
    """Select the clusters that fail for a reason.

    While an exporter restarts, nothing is known of them: what was known before goes on.
    """
    failing = f"{REASON}{{{matcher}}}"
    return f"{failing}\nor\nlast_over_time({failing}[10m]) unless on ({p.cluster}, job) {UP}"


def _of_each(failing: str) -> str:
    return f"sum without (reason) (\n{indent(failing, ' ' * 2)}\n)"


def _down(p: Promql) -> tuple[Alert, ...]:
    ratio, many = p.settings.thresholds.clusters_down_ratio, p.settings.thresholds.many_clusters
    # Over a time, for an exporter that restarts knows no cluster, and then one after another.
    clusters = f"max_over_time({CLUSTERS}[10m])"
    down = _count(
        p,
        f"max_over_time({UP}[5m]) == 0\n"
        f"unless on ({p.cluster}, job) (\n{indent(_failing_as(p, OWN_ALERTS), ' ' * 2)}\n)",
    )
    too_large_a_part = f"{down}\n/ on ({p.job}) {clusters}\n> {ratio:g}"
    return (
        Alert(
            name="OntapManyClustersDown",
            why="It fires before the alerts about single clusters, so that it can inhibit them. In a small "
            "fleet, a ratio says nothing. Refused logins and incomplete listings have alerts of their "
            "own.",
            expr=f"{too_large_a_part}\nand on ({p.job}) {clusters} >= {many}",
            summary="Polls of many clusters fail at the same time.",
            description="{{ $value | humanizePercentage }} of the clusters of the job {{ $labels.job }} "
            "cannot be read. Look for a common cause first.",
        ),
        Alert(
            name="OntapSeveralClustersDown",
            why="In a large fleet, a part that is too small for the ratio is a storm too. It also fires "
            "before the alerts about single clusters.",
            expr=f"{down} >= {many}\nunless on ({p.job})\n{too_large_a_part}",
            summary="Polls of several clusters of the job {{ $labels.job }} fail at the same time.",
            description="{{ $value | humanize }} clusters of the job {{ $labels.job }} cannot be read. Look "
            "for a common cause first.",
        ),
        Alert(
            name="OntapClusterDown",
            why="No good poll for 10 minutes: a restarting exporter, which shows nothing for a while, "
            "neither raises the alert nor hides a cluster that is down.",
            expr=f"max_over_time({UP}[10m]) == 0",
            summary="Polls of the cluster {{ $labels.cluster }} fail.",
            description="No poll of {{ $labels.cluster }} has succeeded for 15 minutes (ontap_up is {{ "
            "$value | humanize }}). Its packages are not known, and cleanup deletes nothing "
            "there.",
        ),
    )


def _refused(p: Promql) -> tuple[Alert, ...]:
    refused = _failing_as(p, 'reason="unauthorized"')
    return (
        Alert(
            name="OntapManyPasswordsRefused",
            expr=f"{_count(p, refused)} >= {p.settings.thresholds.many_clusters}",
            summary="Many clusters of the job {{ $labels.job }} refuse the login of the exporter.",
            description="{{ $value | humanize }} clusters of the job {{ $labels.job }} refuse the login, or "
            "the file with the secret cannot be read. Probably a password was changed. ONTAP "
            "locks accounts after a few wrong passwords.",
        ),
        Alert(
            name="OntapPasswordRefused",
            expr=_of_each(refused),
            summary="The cluster {{ $labels.cluster }} refuses the login of the exporter.",
            description="{{ $labels.cluster }} refuses the login, or the file with the secret cannot be "
            "read (ontap_poll_failing is {{ $value | humanize }}). ONTAP locks accounts after a "
            "few wrong passwords.",
        ),
    )


def _incomplete(p: Promql) -> tuple[Alert, ...]:
    incomplete = _failing_as(p, 'reason="incomplete"')
    return (
        Alert(
            name="OntapManyListingsIncomplete",
            expr=f"{_count(p, incomplete)} >= {p.settings.thresholds.many_clusters}",
            summary="Many listings of the job {{ $labels.job }} cannot be read to their end.",
            description="The listings of {{ $value | humanize }} clusters of the job {{ $labels.job }} may "
            "be incomplete. Probably return_timeout is too short. Part of a listing is never "
            "published.",
        ),
        Alert(
            name="OntapListingIncomplete",
            expr=_of_each(incomplete),
            summary="The packages listing of {{ $labels.cluster }} cannot be read to its end.",
            description="The last poll of {{ $labels.cluster }} ended with a listing that may be incomplete "
            "(ontap_poll_failing is {{ $value | humanize }}). Part of a listing is never "
            "published.",
        ),
    )


def _stale(p: Promql) -> Alert:
    return Alert(
        name="OntapListingStale",
        why="The listing is served for stale_after, so this needs no threshold of its own. It also finds a "
        "cluster that is not polled any more although its last poll was good. The timestamp is 0 before "
        "the first good poll.",
        expr=text(f"""
            time() - max by ({p.of_cluster()}) ({p.series("ontap_last_successful_poll_timestamp_seconds")})
            unless on ({p.cluster}) {p.series("ontap_software_packages")}
        """),
        summary="The packages of {{ $labels.cluster }} are not known.",
        description="The last good poll of {{ $labels.cluster }} {{ if gt $value 1e9 }}was before the start "
        "of the exporter, or there was none{{ else }}ended {{ $value | humanizeDuration }} "
        "ago{{ end }}. Its package metrics are not served until the next one.",
    )


def _flapping(p: Promql) -> Alert:
    return Alert(
        name="OntapClusterFlapping",
        why="Six hours hold some polls even with a poll_interval of 1h.",
        expr=f"changes({UP}[6h]) >= {p.settings.thresholds.cluster_changes}",
        summary="The cluster {{ $labels.cluster }} is up and down again and again.",
        description="{{ $labels.cluster }} has gone up or down {{ $value | humanize }} times within six "
        "hours. Each time was too short for the alert that it is down.",
    )


def _skewed(p: Promql) -> Alert:
    return Alert(
        name="OntapClusterClockSkewed",
        expr=text(f"""
            max by ({p.of_cluster()}) (abs({p.series("ontap_cluster_clock_skew_seconds")}))
            > {p.settings.thresholds.clock_skew_seconds:g}
        """),
        summary="The clock of {{ $labels.cluster }} is wrong.",
        description="The clocks of {{ $labels.cluster }} and of the exporter differ by {{ $value | "
        "humanizeDuration }}. Beyond an hour, cleanup deletes nothing there by age.",
    )


def _expires(p: Promql) -> Alert:
    expiry = p.series("ontap_cluster_certificate_expiry_timestamp_seconds")
    return Alert(
        name="OntapCertificateExpires",
        why="A replica that has not reached the cluster since the renewal still serves the old date.",
        expr=text(f"""
            max by ({p.of_cluster()}) ({expiry}) - time()
            < {p.settings.thresholds.certificate_days:g} * 86400
        """),
        summary="The certificate of {{ $labels.cluster }} expires soon, or has expired.",
        description="The certificate of {{ $labels.cluster }} {{ if lt $value 0.0 }}has expired{{ else "
        "}}expires in {{ $value | humanizeDuration }}{{ end }}. After that, no poll succeeds.",
    )
