"""The table of the metrics of the exporter itself.

Names, types and labels are a public contract: rows are added, never renamed or dropped.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from exporter import __version__
from exporter.metrics.family import Family, HistogramFamily, Row, one
from exporter.polling.board import BUCKETS_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterState:
    """What the exporter knows about itself; the help of each metric below explains its field.

    ``requests`` are by (method, code). ``poll_durations`` are how many polls took at most as long as each of
    the buckets, and last, how many there were.
    """

    version: str = __version__
    python_version: str = field(default_factory=platform.python_version)
    revision: str
    last_reload_successful: bool
    last_reload_success_timestamp_seconds: float
    cluster_files: int
    cluster_files_failed: int = 0
    clusters: int
    requests: Mapping[tuple[str, str], int]
    poll_delay_seconds: float = 0.0
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
        labels=("python_version", "revision", "version"),
        samples=lambda state: (((state.python_version, state.revision, state.version), 1),),
    ),
    Family(
        name="ontap_exporter_config_last_reload_successful",
        help="Whether the configuration was accepted when it was last read (1) or not (0).",
        samples=lambda state: one(state.last_reload_successful),
    ),
    Family(
        name="ontap_exporter_config_last_reload_success_timestamp_seconds",
        help="When the configuration was last accepted, in Unix time.",
        samples=lambda state: one(state.last_reload_success_timestamp_seconds),
    ),
    Family(
        name="ontap_exporter_cluster_files",
        help="Files of clusters that the configuration names.",
        samples=lambda state: one(state.cluster_files),
    ),
    Family(
        name="ontap_exporter_cluster_files_failed",
        help="Files of clusters that are broken, so that the last good content of each stays applied.",
        samples=lambda state: one(state.cluster_files_failed),
    ),
    Family(
        name="ontap_exporter_clusters",
        help="Clusters that this process polls.",
        samples=lambda state: one(state.clusters),
    ),
    Family(
        name="ontap_exporter_api_requests_total",
        help="Requests sent to ONTAP by method and HTTP status, which is error if no answer came.",
        labels=("code", "method"),
        samples=lambda state: (
            ((code, method), count) for (method, code), count in sorted(state.requests.items())
        ),
    ),
    HistogramFamily(
        name="ontap_exporter_poll_duration_seconds",
        help="How long the polls of all clusters took, good or bad.",
        bounds=BUCKETS_SECONDS,
        samples=lambda state: (((), state.poll_durations, state.poll_duration_sum_seconds),),
    ),
    Family(
        name="ontap_exporter_poll_delay_seconds",
        help="How late the latest poll started; if larger, how late a poll that still waits already is.",
        samples=lambda state: one(state.poll_delay_seconds),
    ),
    Family(
        name="ontap_exporter_polls_waiting",
        help="Polls that are due and have not started.",
        samples=lambda state: one(state.polls_waiting),
    ),
    Family(
        name="ontap_exporter_polls_missed_total",
        help="Polls skipped because the previous poll of the same cluster was still waiting or running.",
        samples=lambda state: one(state.polls_missed),
    ),
    Family(
        name="ontap_exporter_keeping_up",
        help="Whether polls start as early as their intervals demand (1) or not (0).",
        samples=lambda state: one(state.keeping_up),
    ),
    Family(
        name="ontap_exporter_event_loop_lag_seconds",
        help="The longest time that the event loop kept a timer waiting within the last minute or two.",
        samples=lambda state: one(state.event_loop_lag_seconds),
    ),
    Family(
        name="ontap_exporter_shard_ordinal",
        help="This process's place among the shards, from 0.",
        samples=lambda state: one(state.shard_ordinal),
    ),
    Family(
        name="ontap_exporter_total_shards",
        help="Shards that the clusters are divided among.",
        samples=lambda state: one(state.total_shards),
    ),
)
"""Every metric of the exporter itself."""
