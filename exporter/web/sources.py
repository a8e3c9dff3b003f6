"""What the handlers read."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from aiohttp import web

from exporter.metrics.exposition import Exposition
from exporter.metrics.families import ExporterState
from exporter.metrics.process import ProcessMetrics
from exporter.polling.board import Board


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Everything that is served.

    Attributes:
        board: the newest result of every cluster.
        exposition: the same, rendered.
        process: metrics of this process.
        exporter_state: tells of the exporter now.
        masked_config: gives the configuration in force as YAML, without secrets.
        wall_clock: gives Unix seconds.
        renderers: threads in which expositions are joined and compressed.
        telemetry_path: where the metrics are served.
    """

    board: Board
    exposition: Exposition
    process: ProcessMetrics
    exporter_state: Callable[[], ExporterState]
    masked_config: Callable[[], str]
    wall_clock: Callable[[], float]
    renderers: Executor
    telemetry_path: str


SOURCES = web.AppKey("sources", Sources)
