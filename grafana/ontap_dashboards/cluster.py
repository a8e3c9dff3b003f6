"""One cluster: its packages, its polls and its cleanup."""

from __future__ import annotations

from dataclasses import replace

from grafana_foundation_sdk.builders import bargauge, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders

from ontap_dashboards import frame, promql, styles
from ontap_dashboards.panels import bars, graph, number, timeline, word
from ontap_dashboards.promql import (
    CLOSED,
    CLUSTER,
    days,
    from_holder,
    from_journal,
    milliseconds,
    of_cluster,
    of_repository,
    series,
)
from ontap_dashboards.tables import Column, Label, listing
from ontap_mixin import cleanup_rules
from ontap_mixin.settings import Settings

THIS_POLICY = Label(
    name="policy", title="Policy", link=styles.dashboard_link("Open this policy", frame.CLEANUP, "policy")
)
NOT_CONFIGURED = "No policy of cleanup applies to this cluster."
NOT_KNOWN = "not known"
FAILURES = series("ontap_poll_failures_total", CLUSTER)
DRY_RUN = "ontap_cleanup_dry_run"
HOUR_SECONDS = 3600
"""Beyond this clock skew, cleanup deletes nothing by age."""


def dashboard(settings: Settings) -> builders.Dashboard:
    """Build it."""
    board = frame.frame(
        settings,
        frame.CLUSTER,
        "ONTAP packages / Cluster",
        "One cluster: what its repository holds, whether its polls succeed, and what cleanup does there.",
        refresh="1m",
        since="now-24h",
    )
    for variable in (
        frame.jobs(),
        frame.one_of("cluster", "Cluster", 'label_values(ontap_up{job=~"$job"}, cluster)'),
        frame.old_after(settings),
        frame.filters("filters", "Filters"),
    ):
        board = board.with_variable(variable)
    for name, expression, color in _events():
        board = frame.annotated(board, name, expression, color)
    board = frame.group(board, "Now", *_state(settings), *_sizes(settings), *_health(settings))
    board = frame.group(board, "Packages", _packages(settings), _packages_over_time(), _identity(settings))
    board = frame.group(board, "Polls", *_polls(), *_failures())
    return frame.group(board, "Cleanup", _policies(), *_deletions())


def _events() -> tuple[tuple[str, str, str], ...]:
    jobs = f'{cleanup_rules.JOBS}{{{CLUSTER}, outcome="success"}}'
    ended = f"changes({series('ontap_cleanup_last_run_timestamp_seconds', CLUSTER)}[$__interval]) > 0"
    run = f"max by (policy) ({ended} unless on (job, instance) {CLOSED})"
    success = _of_policy(from_journal("ontap_cleanup_last_run_success", CLUSTER))
    update = f"max by (cluster) ({series('ontap_software_update_in_progress', promql.NAMED)})"
    return (
        ("Deletions", f"{jobs} - {jobs} offset $__interval > 0", styles.BLUE),
        ("Runs that failed", f"{run} and on (policy) {success} == 0", styles.RED),
        ("Updates", f"{update} > {update} offset $__interval", "purple"),
    )


def _state(settings: Settings) -> tuple[stat.Panel, ...]:
    what_to_do = styles.link("What to do", styles.runbook(settings, "OntapClusterDown"))
    return (
        number(
            "State",
            "Whether the last poll succeeded.",
            promql.STATE,
            words=styles.UP_OR_DOWN,
            colors=styles.thresholds((None, styles.GREY)),
            no_value=NOT_KNOWN,
        ),
        word(
            "Why it is down",
            "The reason of the last poll. docs/metrics.md says what to do for each reason.",
            promql.REASONS,
            "reason",
            color=styles.RED,
            width=4,
            link=what_to_do,
        ),
        number(
            "Available",
            "Share of the time shown in which the last poll had succeeded, as far as that is known.",
            f"max by (cluster) (avg_over_time({series('ontap_up', CLUSTER)}[$__range])) and {promql.UP}",
            unit="percentunit",
            colors=styles.SHARE_UP,
        ),
        number(
            "Last good poll",
            "When the packages were last read in full.",
            milliseconds(promql.LAST_GOOD_POLL),
            unit="dateTimeFromNow",
            words=styles.NEVER,
            no_value=NOT_KNOWN,
            width=4,
        ),
        word(
            "Release",
            "The ONTAP release that the cluster states; the lowest among its nodes.",
            f"max by (ontap_version) ({series('ontap_cluster_info', CLUSTER)})",
            "ontap_version",
            no_value=NOT_KNOWN,
            width=4,
        ),
        word(
            "Update",
            "The state of the software update, in ONTAP's word; “none” if none ever ran.",
            f"label_replace(max by (state) ({of_repository('ontap_software_update_info', 'state')})"
            ', "state", "none", "state", "")',
            "state",
            no_value=NOT_KNOWN,
        ),
        number(
            "Download",
            "Whether a package is being downloaded.",
            of_repository("ontap_software_download_in_progress"),
            words=styles.IN_PROGRESS,
            no_value=NOT_KNOWN,
        ),
    )


def _sizes(settings: Settings) -> tuple[stat.Panel, ...]:
    return (
        number(
            "Packages",
            "Packages in the repository. Not known while the cluster is down.",
            promql.PACKAGES,
            no_value=NOT_KNOWN,
        ),
        number(
            "Old packages",
            "Packages older than “Old after” that are known to be unused. 0 only if use and age are known of "
            "all packages.",
            promql.OLD_PACKAGES,
            colors=styles.NONE_IS_BETTER,
            no_value=NOT_KNOWN,
        ),
        number(
            "Oldest unused",
            "Age of the oldest package that is known to be unused.",
            days(f"max({promql.UNUSED})"),
            unit=styles.DAYS,
            colors=styles.age_days(settings),
        ),
        number(
            "Unnamed",
            "Records of the listing that have no usable version. They are counted nowhere else.",
            of_repository("ontap_software_packages_unnamed"),
            colors=styles.NONE_IS_BETTER,
            no_value=NOT_KNOWN,
        ),
    )


def _health(settings: Settings) -> tuple[stat.Panel, ...]:
    expiry = of_cluster("ontap_cluster_certificate_expiry_timestamp_seconds")
    thresholds = settings.thresholds
    return (
        number(
            "Certificate",
            "Days until the certificate expires that the cluster showed last. Not known if not verified.",
            days(f"({expiry} - time())"),
            unit=styles.DAYS,
            colors=styles.thresholds(
                (None, styles.GREY),
                (-100_000, styles.RED),
                (0, styles.ORANGE),
                (thresholds.certificate_days, styles.GREEN),
            ),
            no_value=NOT_KNOWN,
            width=6,
        ),
        number(
            "Clock skew",
            "The cluster's clock minus the exporter's. Beyond an hour, cleanup deletes nothing by age.",
            f"abs({of_cluster('ontap_cluster_clock_skew_seconds')})",
            unit="s",
            colors=styles.thresholds(
                (None, styles.GREY),
                (0, styles.GREEN),
                (thresholds.clock_skew_seconds, styles.ORANGE),
                (HOUR_SECONDS, styles.RED),
            ),
            no_value=NOT_KNOWN,
            width=6,
        ),
    )


def _packages(settings: Settings) -> table.Panel:
    created = of_repository("ontap_software_package_create_timestamp_seconds", "version")
    return listing(
        "Packages",
        "Every package in the repository, in the order of releases. “Unknown” means that ONTAP did not say "
        "when it was added, or that the versions in use could not be read in full. Empty while the cluster "
        "is down.",
        labels=(Label(name="version", title="Version"),),
        columns=(
            Column(query=of_repository("ontap_software_package_info", "sort_key", "version"), title=None),
            Column(query=promql.IN_USE, title="Use", words=styles.USE, missing="unknown"),
            Column(query=milliseconds(created), title="Added", unit="dateTimeAsIso", missing="unknown"),
            Column(
                query=days(promql.AGES),
                title="Age",
                unit=styles.DAYS,
                colors=styles.age_days(settings),
                missing="unknown",
                decimals=0,
            ),
        ),
        hidden=("cluster",),
        order="sort_key",
        no_value="The repository is empty, or what it holds is not known.",
        width=14,
        height=11,
    )


def _packages_over_time() -> timeseries.Panel:
    return graph(
        "Packages over time",
        "Packages in the repository, and those that are old and known to be unused. A gap means that the "
        "listing was not known.",
        (
            (promql.PACKAGES, "packages"),
            (promql.OLD_PACKAGES, "old and not in use"),
        ),
        decimals=0,
        colors={"packages": styles.BLUE, "old and not in use": styles.ORANGE},
        width=10,
        height=11,
    )


def _identity(settings: Settings) -> table.Panel:
    return listing(
        "Identity",
        "What the cluster calls itself, and those of its labels that cluster_labels in grafana/mixin.yaml "
        "names.",
        labels=(
            Label(name="cluster", title="Cluster"),
            Label(name="name", title="Name in ONTAP"),
            Label(name="ontap_version", title="Release"),
            Label(name="uuid", title="UUID", width=320),
        ),
        columns=(
            Column(
                query=of_cluster(
                    "ontap_cluster_info", "name", "ontap_version", "uuid", *settings.cluster_labels
                ),
                title=None,
            ),
        ),
        no_value="The cluster's identity is not known.",
        height=4,
    )


def _polls() -> tuple[timeseries.Panel | statetimeline.Panel, ...]:
    polls = series("ontap_polls_total", CLUSTER)
    update, download = (
        f"max by (cluster) ({series(f'ontap_software_{what}_in_progress', promql.NAMED)})"
        for what in ("update", "download")
    )
    return (
        timeline(
            "States over time",
            "Whether the last poll had succeeded, and whether an update or a download was under way. A gap "
            "means that this was not known.",
            (
                (promql.STATE, "polls", styles.UP_OR_DOWN),
                (update, "update", styles.IN_PROGRESS),
                (download, "download", styles.IN_PROGRESS),
            ),
            width=8,
        ),
        graph(
            "How long polls take",
            "Duration of the last poll, good or bad.",
            ((of_cluster("ontap_poll_duration_seconds"), "duration"),),
            unit="s",
            width=8,
        ),
        graph(
            "Polls",
            "Polls per minute that ended, good or bad. Polls are skipped after a refused login.",
            ((f"60 * sum(rate({polls}[$__rate_interval]))", "polls"),),
            unit="cpm",
            interval=frame.POLL_INTERVAL,
            width=8,
        ),
    )


def _failures() -> tuple[timeseries.Panel | bargauge.Panel, ...]:
    return (
        graph(
            "Failed polls by reason",
            "Failed polls per minute. docs/metrics.md explains the reasons.",
            ((f"60 * sum by (reason) (rate({FAILURES}[$__rate_interval]))", "{{reason}}"),),
            unit="cpm",
            stacked=True,
            interval=frame.POLL_INTERVAL,
            width=8,
            height=10,
        ),
        bars(
            "Failed polls in the time shown",
            "Failed polls by reason, in the time shown.",
            ((f"sum by (reason) (increase({FAILURES}[$__range])) > 0", "{{reason}}"),),
            colors=styles.thresholds((None, styles.GREY), (0, styles.RED)),
            no_value="none is known",
            width=8,
            height=10,
        ),
        graph(
            "Pages of the listing",
            "Pages that the last good poll read.",
            ((of_cluster("ontap_poll_pages"), "pages"),),
            decimals=0,
            width=8,
            height=10,
        ),
    )


def _of_policy(known: str, *labels: str) -> str:
    return f"max by ({', '.join(('policy', *labels))}) ({known})"


def _last(metric: str) -> str:
    """Give the end of the last such run: 0 if there was none, and nothing if the journal is not open."""
    never = f"0 * {_of_policy(from_journal(DRY_RUN, CLUSTER))}"
    return f"{milliseconds(_of_policy(from_journal(metric, CLUSTER)))} or {never}"


def _policies() -> table.Panel:
    moment = "dateTimeFromNow"
    failure = _of_policy(from_journal("ontap_cleanup_last_run_failure", CLUSTER), "reason")
    candidates = from_holder("ontap_cleanup_candidates", CLUSTER)
    in_progress = series("ontap_cleanup_jobs_in_progress", CLUSTER)
    return listing(
        "Policies",
        "The policies of cleanup that apply to this cluster, and their last runs.",
        labels=(THIS_POLICY, Label(name="reason", title="Failed as")),
        columns=(
            Column(query=_of_policy(series(DRY_RUN, CLUSTER)), title="Mode", words=styles.DRY_RUN),
            Column(query=failure, title=None),
            Column(query=_of_policy(candidates), title="Candidates", decimals=0),
            Column(query=_of_policy(in_progress), title="In progress", decimals=0),
            Column(
                query=_last("ontap_cleanup_last_run_timestamp_seconds"),
                title="Last run",
                unit=moment,
                words=styles.NOT_YET,
                missing="unknown",
            ),
            Column(
                query=_of_policy(from_journal("ontap_cleanup_last_run_success", CLUSTER)),
                title="Succeeded",
                words=styles.YES_IS_GOOD,
            ),
            Column(
                query=_last("ontap_cleanup_last_success_timestamp_seconds"),
                title="Last success",
                unit=moment,
                words=styles.NOT_YET,
                missing="unknown",
            ),
            Column(
                query=milliseconds(
                    _of_policy(from_holder("ontap_cleanup_next_run_timestamp_seconds", CLUSTER))
                ),
                title="Next run",
                unit=moment,
                missing="unknown",
            ),
        ),
        no_value=NOT_CONFIGURED,
        height=6,
    )


def _deletions() -> tuple[table.Panel | bargauge.Panel, ...]:
    jobs = f"{cleanup_rules.JOBS}{{{CLUSTER}}}"
    errors = series("ontap_cleanup_job_errors_total", CLUSTER)
    return (
        bars(
            "Deletions in the time shown",
            "Deletions that ended in the time shown, by outcome, each counted once. docs/cleanup.md "
            "explains the outcomes. From the series that the rules record.",
            ((f"sum by (outcome) ({jobs} - min_over_time({jobs}[$__range])) > 0", "{{outcome}}"),),
            no_value="none is known",
        ),
        listing(
            "ONTAP's error codes",
            "Deletions that ended with an error code of ONTAP, since the journal began. docs/cleanup.md "
            "explains the codes.",
            labels=(
                replace(THIS_POLICY, width=110),
                Label(name="code", title="Code", texts=styles.CODES),
            ),
            columns=(
                Column(query=f"max by (policy, code) ({errors})", title="Deletions", decimals=0, width=90),
            ),
            sort=("Deletions", True),
            no_value="No deletion is known to have ended with an error code.",
            width=12,
            height=8,
        ),
    )
