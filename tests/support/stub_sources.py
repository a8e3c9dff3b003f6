"""Made-up sources for the handlers of pages."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from exporter.metrics.cluster_metrics import CLUSTER_FAMILIES
from exporter.metrics.exporter_metrics import ExporterState
from exporter.metrics.exposition import Exposition
from exporter.metrics.process import ProcessMetrics
from exporter.polling.board import Board
from exporter.web.sources import Sources

NOW = 1_800_000_000.0
STATE = ExporterState(
    version="1.2.3",
    python_version="3.11.2",
    revision="abc",
    last_reload_successful=True,
    last_reload_success_timestamp_seconds=NOW,
    cluster_files=2,
    cluster_files_failed=1,
    clusters=3,
    requests={("GET", "200"): 5},
    poll_delay_seconds=0.25,
    shard_ordinal=0,
    total_shards=1,
)


def sources(**changes: object) -> Sources:
    """Return sources without a cluster, except for these changes."""
    nothing = Sources(
        board=Board(on_change=lambda _: None),
        exposition=Exposition(CLUSTER_FAMILIES),
        cleanup=lambda: None,
        process=ProcessMetrics(),
        exporter_state=lambda: STATE,
        masked_config=lambda: "clusters: []\n",
        configuration_version=lambda: 0,
        reload=None,
        wall_clock=lambda: NOW,
        renderers=ThreadPoolExecutor(2),
        page_renderers=ThreadPoolExecutor(1),
        telemetry_path="/metrics",
    )
    return replace(nothing, **changes)  # type: ignore[arg-type]
