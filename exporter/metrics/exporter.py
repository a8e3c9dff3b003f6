"""The table of the metrics of the exporter itself.

Names, types and labels are a public contract: rows are added, never renamed or dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exporter.metrics.family import Family, HistogramFamily, Kind, Row, one
from exporter.polling.poll_durations import BUCKETS_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterState:
    """What the exporter knows about itself.

    Attributes:
        version: the version of this program.
        python_version: the version of the interpreter.
        revision: the source revision that this program was built from.
        last_reload_successful: whether the configuration was accepted when it was last read.
        last_reload_success_timestamp_seconds: when it was last accepted.
        cluster_files: how many cluster files the configuration names.
        cluster_files_failed: how many cluster files are broken; their last good content stays applied.
        clusters: how many clusters this process polls.
        requests: requests sent to ONTAP by (method, code).
        poll_delay_seconds: how late the latest poll started; if a waiting poll is later, how late that one
            is.
        shard_ordinal: the number of this process's shard, from 0.
        total_shards: how many shards there are.
        polls_waiting: polls that are due and have not started.
        polls_missed: due times skipped because the poll before was still waiting or running.
        keeping_up: whether polls start on time.
        event_loop_lag_seconds: how late a timer fired at most, within the last minute or two.
        poll_durations: how many polls took at most as long as each of the buckets, and last, how many there
            were.
        poll_duration_sum_seconds: the durations of all polls together.
    """

    version: str
    python_version: str
    revision: str
    last_reload_successful: bool
    last_reload_success_timestamp_seconds: float
    cluster_files: int
    cluster_files_failed: int
    clusters: int
    requests: Mapping[tuple[str, str], int]
    poll_delay_seconds: float
    shard_ordinal: int
    total_shards: int
    polls_waiting: int = 0
    polls_missed: int = 0
    keeping_up: bool = True
    event_loop_lag_seconds: float = 0.0
    poll_durations: Sequence[int] = (0,) * (len(BUCKETS_SECONDS) + 1)
    poll_duration_sum_seconds: float = 0.0


EXPORTER_FAMILIES: tuple[Row[ExporterState], ...] = (
    Family(
        name="ontap_exporter_build_info",
        help="What this exporter was built from, always 1.",
        source="exporter",
        labels=("python_version", "revision", "version"),
        samples=lambda state: (((state.python_version, state.revision, state.version), 1),),
    ),
    Family(
        name="ontap_exporter_config_last_reload_successful",
        help="Whether the configuration was accepted when it was last read (1) or not (0).",
        source="exporter",
        samples=lambda state: one(state.last_reload_successful),
    ),
    Family(
        name="ontap_exporter_config_last_reload_success_timestamp_seconds",
        help="When the configuration was last accepted, in Unix time.",
        source="exporter",
        samples=lambda state: one(state.last_reload_success_timestamp_seconds),
    ),
    Family(
        name="ontap_exporter_cluster_files",
        help="Files of clusters that the configuration names.",
        source="exporter",
        samples=lambda state: one(state.cluster_files),
    ),
    Family(
        name="ontap_exporter_cluster_files_failed",
        help="Files of clusters that are broken, so that the last good content of each stays applied.",
        source="exporter",
        samples=lambda state: one(state.cluster_files_failed),
    ),
    Family(
        name="ontap_exporter_clusters",
        help="Clusters that this process polls.",
        source="exporter",
        samples=lambda state: one(state.clusters),
    ),
    Family(
        name="ontap_exporter_api_requests_total",
        kind=Kind.COUNTER,
        help="Requests sent to ONTAP by method and HTTP status, which is error if no answer came.",
        source="exporter",
        labels=("code", "method"),
        samples=lambda state: (
            ((code, method), count) for (method, code), count in sorted(state.requests.items())
        ),
    ),
    HistogramFamily(
        name="ontap_exporter_poll_duration_seconds",
        help="How long the polls of all clusters took, good or bad.",
        source="exporter",
        bounds=BUCKETS_SECONDS,
        samples=lambda state: (((), state.poll_durations, state.poll_duration_sum_seconds),),
    ),
    Family(
        name="ontap_exporter_poll_delay_seconds",
        help="How late the latest poll started, or how late one already is that still waits.",
        source="exporter",
        samples=lambda state: one(state.poll_delay_seconds),
    ),
    Family(
        name="ontap_exporter_polls_waiting",
        help="Polls that are due and have not started.",
        source="exporter",
        samples=lambda state: one(state.polls_waiting),
    ),
    Family(
        name="ontap_exporter_polls_missed_total",
        kind=Kind.COUNTER,
        help="Polls left out because the one before of the same cluster still waited or went on.",
        source="exporter",
        samples=lambda state: one(state.polls_missed),
    ),
    Family(
        name="ontap_exporter_keeping_up",
        help="Whether polls start as early as their intervals demand (1) or not (0).",
        source="exporter",
        samples=lambda state: one(state.keeping_up),
    ),
    Family(
        name="ontap_exporter_event_loop_lag_seconds",
        help="The longest time that the event loop kept a timer waiting within the last minute or two.",
        source="exporter",
        samples=lambda state: one(state.event_loop_lag_seconds),
    ),
    Family(
        name="ontap_exporter_shard_ordinal",
        help="This process's place among the shards, from 0.",
        source="exporter",
        samples=lambda state: one(state.shard_ordinal),
    ),
    Family(
        name="ontap_exporter_total_shards",
        help="Shards that the clusters are divided among.",
        source="exporter",
        samples=lambda state: one(state.total_shards),
    ),
)
"""Every metric of the exporter itself."""
