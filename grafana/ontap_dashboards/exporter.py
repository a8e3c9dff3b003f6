"""The exporter itself: is it well, does it keep up, what does it need."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import stat, table, timeseries

from ontap_dashboards import frame, styles
from ontap_dashboards.panels import graph, number
from ontap_dashboards.promql import INSTANCE, JOB, how_many, milliseconds, series
from ontap_dashboards.tables import Column, Label, listing
from ontap_mixin.settings import Settings

THIS_INSTANCE = Label(
    name="instance",
    title="Instance",
    link=styles.dashboard_link("Show this instance only", frame.EXPORTER, "instance"),
    width=180,
)
QUANTILES = ((0.99, "99 %"), (0.9, "90 %"), (0.5, "median"))
LATE = (
    "How late the latest poll started, or how late a waiting poll already is. It grows when more polls are "
    "due than max_concurrent_polls or the machine allows."
)
REQUESTS = "ontap_exporter_api_requests_total"
UP = f"max by (job, instance) ({series('up', INSTANCE)})"


def dashboard(settings: Settings) -> builders.Dashboard:
    """Build it."""
    board = frame.frame(
        settings,
        frame.EXPORTER,
        "ONTAP packages / Exporter",
        "The exporters themselves: whether they work, whether their polls are on time, and what they use.",
        refresh="30s",
        since="now-6h",
    )
    # With `up`, an exporter that is dead can be chosen too.
    instances = 'label_values(up{job=~"$job"}, instance)'
    for variable in (
        frame.jobs(),
        frame.several("instance", "Instance", instances),
        # Not named as on the other dashboards: a filter on a cluster's label would hide everything here.
        frame.filters("exporter_filters", "Filters"),
    ):
        board = board.with_variable(variable)
    started = f"changes({series('process_start_time_seconds', INSTANCE)}[$__interval]) > 0"
    board = frame.annotated(board, "Starts of exporters", started, styles.ORANGE)
    board = frame.group(board, "Now", *_alarms(), *_sizes())
    board = frame.group(board, "Exporters", _exporters())
    board = frame.group(board, "Polling", *_polling(), *_keeping_up(), *_requests())
    board = frame.group(board, "Process", *_process())
    return frame.group(board, "Scraping", *_scraping())


def _of_instance(metric: str) -> str:
    return f"max by (instance) ({series(metric, INSTANCE)})"


def _quantile(share: float) -> str:
    buckets = _rate("ontap_exporter_poll_duration_seconds_bucket", "le")
    return f"histogram_quantile({share}, {buckets})"


def _rate(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate({series(metric, INSTANCE)}[$__rate_interval]))"


def _alarms() -> tuple[stat.Panel, ...]:
    total, ordinal = (series(f"ontap_exporter_{name}", JOB) for name in ("total_shards", "shard_ordinal"))
    running = f'count_values by (job) ("ordinal", {ordinal})'
    reloaded = series("ontap_exporter_config_last_reload_successful", INSTANCE)
    return (
        number(
            "Exporters down",
            "Exporters that Prometheus cannot scrape.",
            how_many(f"{UP} == bool 0"),
            colors=styles.NONE_IS_GOOD,
        ),
        number(
            "Shards missing",
            "Shards without an exporter, so that their clusters are not polled.",
            f"sum(max by (job) ({total}) - on (job) count by (job) ({running}))",
            colors=styles.NONE_IS_GOOD,
        ),
        number(
            "Config refused",
            "Exporters whose latest configuration was refused, so that an older one stays applied.",
            how_many(f"{reloaded} == bool 0"),
            colors=styles.NONE_IS_GOOD,
        ),
        number(
            "Files broken",
            "Files of clusters that are broken now, so that their last good content stays applied.",
            f"sum({series('ontap_exporter_cluster_files_failed', INSTANCE)})",
            colors=styles.NONE_IS_GOOD,
        ),
        number(
            "Polls are late by",
            LATE,
            f"max({series('ontap_exporter_poll_delay_seconds', INSTANCE)})",
            unit="s",
            colors=styles.thresholds(
                (None, styles.GREY), (0, styles.GREEN), (5, styles.ORANGE), (60, styles.RED)
            ),
        ),
        number(
            "Slowest scrape",
            "How long the last scrape of the slowest exporter took.",
            f"max({series('scrape_duration_seconds', INSTANCE)} and on (job, instance) {UP} == 1)",
            unit="s",
            colors=styles.thresholds(
                (None, styles.GREY), (0, styles.GREEN), (5, styles.ORANGE), (10, styles.RED)
            ),
        ),
    )


def _sizes() -> tuple[stat.Panel, ...]:
    return (
        number(
            "Exporters up",
            "Exporters that Prometheus can scrape.",
            f"sum({UP})",
            colors=styles.thresholds((None, styles.GREY), (0, styles.RED), (1, styles.GREEN)),
        ),
        number(
            "Clusters",
            "Clusters that the exporters poll, all shards together. What several replicas poll counts once.",
            f"count(count by (cluster) ({series('ontap_up', INSTANCE)}))",
        ),
    )


def _exporters() -> table.Panel:
    own = "ontap_exporter"
    build = series(f"{own}_build_info", INSTANCE)
    accepted = _of_instance(f"{own}_config_last_reload_success_timestamp_seconds")
    started = _of_instance("process_start_time_seconds")
    return listing(
        "Exporters",
        "One line for every process, those that are down first: what it was built from, its shard, its "
        "configuration and its start. Of one that is down, only that is known.",
        labels=(
            THIS_INSTANCE,
            Label(name="version", title="Version"),
            Label(name="revision", title="Revision"),
            Label(name="python_version", title="Python"),
        ),
        columns=(
            Column(query=_of_instance("up"), title="State", words=styles.UP_OR_DOWN, width=80),
            Column(query=f"max by (instance, version, revision, python_version) ({build})", title=None),
            Column(query=_of_instance(f"{own}_shard_ordinal"), title="Shard", decimals=0, width=70),
            Column(query=_of_instance(f"{own}_total_shards"), title="of", decimals=0, width=50),
            Column(query=_of_instance(f"{own}_clusters"), title="Clusters", decimals=0),
            Column(query=_of_instance(f"{own}_cluster_files"), title="Cluster files", decimals=0),
            Column(
                query=_of_instance(f"{own}_config_last_reload_successful"),
                title="Config good",
                words=styles.YES_IS_GOOD,
            ),
            Column(query=milliseconds(accepted), title="Last accepted", unit="dateTimeFromNow"),
            Column(query=milliseconds(started), title="Started", unit="dateTimeFromNow"),
        ),
        sort=("State", False),
        height=6,
    )


def _polling() -> tuple[timeseries.Panel, ...]:
    return (
        graph(
            "Polls",
            "Polls per second that ended, good or bad.",
            ((_rate("ontap_polls_total", "instance"), "{{instance}}"),),
            unit="cps",
            width=8,
        ),
        graph(
            "Polls are late by",
            LATE,
            ((_of_instance("ontap_exporter_poll_delay_seconds"), "{{instance}}"),),
            unit="s",
            width=8,
        ),
        graph(
            "How long polls take",
            "Of all polls that ended: the 99th and 90th percentile, and the median.",
            [(_quantile(share), legend) for share, legend in QUANTILES],
            unit="s",
            width=8,
        ),
    )


def _keeping_up() -> tuple[timeseries.Panel, ...]:
    behind = f"1 - min by (instance) ({series('ontap_exporter_keeping_up', INSTANCE)})"
    return (
        graph(
            "Not keeping up",
            "1 while polls start late. docs/metrics.md says what to do.",
            ((behind, "{{instance}}"),),
            decimals=0,
            width=8,
        ),
        graph(
            "Polls that wait or are skipped",
            "Polls that are due and have not started, and skipped polls per minute.",
            (
                (_of_instance("ontap_exporter_polls_waiting"), "{{instance}} waiting"),
                (f"60 * {_rate('ontap_exporter_polls_missed_total', 'instance')}", "{{instance}} skipped"),
            ),
            width=8,
        ),
        graph(
            "Lag of the event loop",
            "The longest of the last minute or two. Everything that the exporter does may be late by it.",
            ((_of_instance("ontap_exporter_event_loop_lag_seconds"), "{{instance}}"),),
            unit="s",
            width=8,
        ),
    )


def _requests() -> tuple[timeseries.Panel, ...]:
    return (
        graph(
            "Requests to ONTAP by status",
            "Requests per second by HTTP status; “error” means that no answer came.",
            ((_rate(REQUESTS, "code"), "{{code}}"),),
            unit="reqps",
            stacked=True,
            width=8,
        ),
        graph(
            "Requests to ONTAP by method",
            "Requests per second by HTTP method. Only cleanup sends DELETE.",
            ((_rate(REQUESTS, "method"), "{{method}}"),),
            unit="reqps",
            stacked=True,
            width=8,
        ),
        graph(
            "Failed polls by reason",
            "Failed polls per second, all clusters together. docs/metrics.md explains the reasons.",
            ((_rate("ontap_poll_failures_total", "reason"), "{{reason}}"),),
            unit="cps",
            stacked=True,
            width=8,
        ),
    )


def _process() -> tuple[timeseries.Panel, ...]:
    files = f"{_of_instance('process_open_fds')} / {_of_instance('process_max_fds')}"
    return (
        graph(
            "Processor time",
            "Share of one processor. The exporter works mainly in one thread, so at 100 % it cannot do more.",
            ((_rate("process_cpu_seconds_total", "instance"), "{{instance}}"),),
            unit="percentunit",
            width=8,
        ),
        graph(
            "Memory",
            "Resident memory.",
            ((_of_instance("process_resident_memory_bytes"), "{{instance}}"),),
            unit="bytes",
            width=8,
        ),
        graph(
            "Open files",
            "Share of the file descriptors that the process may open. Connections to clusters count.",
            ((files, "{{instance}}"),),
            unit="percentunit",
            width=8,
        ),
    )


def _scraping() -> tuple[timeseries.Panel, ...]:
    return (
        graph(
            "How long scrapes take",
            "As Prometheus measured it.",
            ((_of_instance("scrape_duration_seconds"), "{{instance}}"),),
            unit="s",
            width=8,
        ),
        graph(
            "Samples of a scrape",
            "Samples that Prometheus read in one scrape. It grows with the clusters and their packages.",
            ((_of_instance("scrape_samples_scraped"), "{{instance}}"),),
            decimals=0,
            width=8,
        ),
        graph(
            "Clusters",
            "Clusters that each exporter polls.",
            ((_of_instance("ontap_exporter_clusters"), "{{instance}}"),),
            decimals=0,
            width=8,
        ),
    )
