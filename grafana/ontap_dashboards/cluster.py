"""One cluster: its packages, its polls and its cleanup."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders

from ontap_dashboards import frame, promql, styles
from ontap_dashboards.panels import bars, graph, number
from ontap_dashboards.promql import CLUSTER, milliseconds, of_cluster, series
from ontap_dashboards.tables import Column, Label, listing

THIS_POLICY = Label(
    name="policy", title="Policy", link=styles.dashboard_link("Open this policy", frame.CLEANUP, "policy")
)
NOT_CONFIGURED = "No policy of cleanup applies to this cluster."
NOT_FRESH = "not fresh"
FAILURES = series("ontap_poll_failures_total", CLUSTER)


def dashboard() -> builders.Dashboard:
    """Build it."""
    board = frame.frame(
        frame.CLUSTER,
        "ONTAP packages / Cluster",
        "One cluster: what its repository holds, whether its polls succeed, and what cleanup does there.",
        refresh="1m",
        since="now-24h",
    )
    for variable in (
        frame.jobs(),
        frame.one_of("cluster", "Cluster", 'label_values(ontap_up{job=~"$job"}, cluster)'),
        frame.old_after(),
        frame.filters("filters", "Filters"),
    ):
        board = board.with_variable(variable)
    board = frame.group(board, "Now", *_state(), *_sizes())
    board = frame.group(board, "Packages", _packages(), _packages_over_time(), _identity())
    board = frame.group(board, "Polls", *_polls(), *_failures())
    return frame.group(board, "Cleanup", _policies(), *_deletions())


def _state() -> tuple[stat.Panel, ...]:
    return (
        number(
            "State",
            "Whether the last poll succeeded.",
            promql.UP,
            words=styles.UP_OR_DOWN,
            colors=styles.thresholds((None, styles.RED), (1, styles.GREEN)),
        ),
        number(
            "Available",
            "Share of the time shown in which the last poll had succeeded.",
            f"max by (cluster) (avg_over_time({series('ontap_up', CLUSTER)}[$__range]))",
            unit="percentunit",
            colors=styles.thresholds((None, styles.RED), (0.9, styles.ORANGE), (0.99, styles.GREEN)),
        ),
        number(
            "Last good poll",
            "When the packages were last read in full.",
            milliseconds(promql.LAST_GOOD_POLL),
            unit="dateTimeFromNow",
            words=styles.NEVER,
        ),
        number(
            "Release",
            "The ONTAP release that the cluster states; the lowest among its nodes.",
            f"max by (ontap_version) ({series('ontap_cluster_info', CLUSTER)})",
            legend="{{ontap_version}}",
            no_value="unknown",
        ),
    )


def _sizes() -> tuple[stat.Panel, ...]:
    return (
        number(
            "Packages",
            "Packages in the repository. A dash means that the listing is not fresh.",
            promql.PACKAGES,
            no_value=NOT_FRESH,
        ),
        number(
            "Old packages",
            "Packages older than “Old after” that are not known to be in use.",
            f"{promql.old_packages()} or {promql.NO_PACKAGE}",
            colors=styles.NONE_IS_BETTER,
            no_value=NOT_FRESH,
        ),
        number(
            "Oldest not in use",
            "Age of the oldest package that is not known to be in use.",
            f"max({promql.NOT_IN_USE})",
            unit="s",
            colors=styles.AGE,
            no_value="none",
        ),
        number(
            "Unnamed records",
            "Records of the listing that have no usable version. They are counted nowhere else.",
            of_cluster("ontap_software_packages_unnamed"),
            colors=styles.NONE_IS_BETTER,
            no_value=NOT_FRESH,
        ),
    )


def _packages() -> table.Panel:
    created = of_cluster("ontap_software_package_create_timestamp_seconds", "version")
    return listing(
        "Packages",
        "Every package in the repository, the oldest first. “Unknown” means that ONTAP did not say when "
        "it was added, or that the versions in use could not be read in full.",
        labels=(Label(name="version", title="Version"),),
        columns=(
            Column(query=of_cluster("ontap_software_package_info", "version"), title=None),
            Column(query=promql.IN_USE, title="Use", words=styles.USE, missing="unknown"),
            Column(query=milliseconds(created), title="Added", unit="dateTimeAsIso", missing="unknown"),
            Column(
                query=promql.AGES, title="Age", unit="s", colors=styles.AGE, missing="unknown", decimals=1
            ),
        ),
        hidden=("cluster",),
        sort=("Age", True),
        no_value="The repository is empty, or its listing is not fresh.",
        width=14,
        height=11,
    )


def _packages_over_time() -> timeseries.Panel:
    return graph(
        "Packages over time",
        "Packages in the repository, and those that are old. A gap means that the listing was not fresh.",
        (
            (promql.PACKAGES, "packages"),
            (f"{promql.old_packages()} or {promql.NO_PACKAGE}", "old and not in use"),
        ),
        decimals=0,
        colors={"packages": styles.BLUE, "old and not in use": styles.ORANGE},
        width=10,
        height=11,
    )


def _identity() -> table.Panel:
    return listing(
        "Identity",
        "What the cluster calls itself, and the labels that the configuration gives to it.",
        labels=(
            Label(name="cluster", title="Cluster"),
            Label(name="name", title="Name in ONTAP"),
            Label(name="ontap_version", title="Release"),
            Label(name="uuid", title="UUID", width=300),
        ),
        columns=(
            Column(
                query=f"max without (instance, job) ({series('ontap_cluster_info', CLUSTER)})", title=None
            ),
        ),
        no_value="The cluster's identity is not known.",
        height=4,
    )


def _polls() -> tuple[timeseries.Panel, ...]:
    polls = series("ontap_polls_total", CLUSTER)
    return (
        graph(
            "State over time",
            "Whether the last poll had succeeded.",
            ((promql.UP, "state"),),
            words=styles.UP_OR_DOWN,
            decimals=0,
            most=1,
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
            ((f"sum by (reason) (increase({FAILURES}[$__range]))", "{{reason}}"),),
            colors=styles.thresholds((None, styles.RED)),
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


def _of_policy(metric: str) -> str:
    return f"max by (policy) ({series(metric, CLUSTER)})"


def _moment(metric: str) -> str:
    return milliseconds(_of_policy(metric))


def _policies() -> table.Panel:
    moment = "dateTimeFromNow"
    return listing(
        "Policies",
        "The policies of cleanup that apply to this cluster, and their last runs.",
        labels=(THIS_POLICY,),
        columns=(
            Column(query=_of_policy("ontap_cleanup_dry_run"), title="Mode", words=styles.DRY_RUN),
            Column(query=_of_policy("ontap_cleanup_candidates"), title="Candidates", decimals=0),
            Column(query=_of_policy("ontap_cleanup_jobs_in_progress"), title="In progress", decimals=0),
            Column(
                query=_moment("ontap_cleanup_last_run_timestamp_seconds"),
                title="Last run",
                unit=moment,
                missing="never",
            ),
            Column(
                query=_of_policy("ontap_cleanup_last_run_success"),
                title="Succeeded",
                words=styles.YES_IS_GOOD,
            ),
            Column(
                query=_moment("ontap_cleanup_last_success_timestamp_seconds"),
                title="Last success",
                unit=moment,
                missing="never",
            ),
            Column(
                query=_moment("ontap_cleanup_next_run_timestamp_seconds"),
                title="Next run",
                unit=moment,
                missing="unknown",
            ),
        ),
        no_value=NOT_CONFIGURED,
        height=6,
    )


def _deletions() -> tuple[table.Panel | bargauge.Panel, ...]:
    jobs = series("ontap_cleanup_jobs_total", CLUSTER)
    errors = series("ontap_cleanup_job_errors_total", CLUSTER)
    return (
        bars(
            "Deletions in the time shown",
            "Deletions that ended in the time shown, by outcome. docs/cleanup.md explains the outcomes.",
            ((f"sum by (outcome) (increase({jobs}[$__range]))", "{{outcome}}"),),
            no_value=NOT_CONFIGURED,
        ),
        listing(
            "ONTAP's error codes",
            "Deletions that ended with an error code of ONTAP, since the journal began. "
            "docs/cleanup.md explains the codes.",
            labels=(THIS_POLICY, Label(name="code", title="Code")),
            columns=(Column(query=f"max by (policy, code) ({errors})", title="Deletions", decimals=0),),
            sort=("Deletions", True),
            no_value="No deletion has ended with an error code.",
            width=12,
            height=8,
        ),
    )
