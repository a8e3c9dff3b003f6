"""What the handlers read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from exporter.cleanup.cleanup_board import CleanupBoard, LeaseStatus, PolicyStatus
from exporter.metrics.cleanup_metrics import CleanupState
from exporter.metrics.exporter_metrics import ExporterState
from exporter.metrics.exposition import Exposition
from exporter.metrics.process import ProcessMetrics
from exporter.polling.board import Board, ClusterStatus
from exporter.web.site import Site

if TYPE_CHECKING:
    from exporter.cleanup.service import CleanupService


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupSources:
    """What pages and metrics show about cleanup."""

    service: CleanupService
    board: CleanupBoard
    """The newest status of every policy on every cluster."""
    exposition: Exposition[PolicyStatus]
    """The same, rendered."""
    leases: Exposition[LeaseStatus]
    """Whether this process may clean each cluster, rendered."""
    state: Callable[[], CleanupState]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Everything that is served."""

    board: Board
    exposition: Exposition[ClusterStatus]
    """The rendered lines of the board."""
    cleanup: Callable[[], CleanupSources | None]
    """None if it is not configured."""
    process: ProcessMetrics
    exporter_state: Callable[[], ExporterState]
    masked_config: Callable[[], str]
    """The applied configuration as YAML, without secrets."""
    configuration_version: Callable[[], Hashable]
    """Changes when a configuration is applied or refused."""
    reload: Callable[[], Awaitable[str]] | None
    """Reads the configuration again and gives its mistakes; None: requests may not reload."""
    wall_clock: Callable[[], float]
    """Unix seconds."""
    renderers: Executor
    """Threads in which answers that clients share are made."""
    page_renderers: Executor
    """Threads in which other pages are made: however many, they hold up no scrape."""
    telemetry_path: str
    """Where the metrics are served, below the site's prefix."""
    site: Site = field(default_factory=Site)


SOURCES = web.AppKey("sources", Sources)
