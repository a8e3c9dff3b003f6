"""What the handlers read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from aiohttp import web

from exporter.cleanup.cleanup_board import CleanupBoard, LeaseStatus, PolicyStatus
from exporter.cleanup.records import PolicyPause, Run
from exporter.cleanup.report import Page
from exporter.config import PolicyConfig
from exporter.metrics.cleanup import CleanupState
from exporter.metrics.exporter import ExporterState
from exporter.metrics.exposition import Exposition
from exporter.metrics.process import ProcessMetrics
from exporter.polling.board import Board, ClusterStatus
from exporter.web.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupSources:
    """What pages and metrics show about cleanup.

    Attributes:
        board: the newest state of every policy on every cluster.
        exposition: the same, rendered.
        leases: whether this process may clean each cluster, rendered.
        state: gives what is known of cleanup as a whole.
        policies: gives the policies that are applied.
        pauses: gives those that are paused after failures.
        problem: gives why there is no journal, so that nothing is deleted; "" where there is one.
        recorded_runs: gives the runs on a page, and why the journal cannot be read; "" where it can.
        recorded_on: gives the runs that matter of a cluster: the newest ones, and those with the last plan of
            each policy and the newest deletions, this many of each.
        recorded_run: gives a run by its id, None if there is none, and why the journal cannot be read.
    """

    board: CleanupBoard
    exposition: Exposition[PolicyStatus]
    leases: Exposition[LeaseStatus]
    state: Callable[[], CleanupState]
    policies: Callable[[], Sequence[PolicyConfig]]
    pauses: Callable[[], Sequence[PolicyPause]]
    problem: Callable[[], str]
    recorded_runs: Callable[[Page], Awaitable[tuple[Sequence[Run], str]]]
    recorded_on: Callable[[str, int], Awaitable[tuple[Sequence[Run], str]]]
    recorded_run: Callable[[int], Awaitable[tuple[Run | None, str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Everything that is served.

    Attributes:
        board: the newest result of every cluster.
        exposition: the rendered lines of the board.
        cleanup: gives what is shown about cleanup; None if it is not configured.
        process: metrics of this process.
        exporter_state: gives what the exporter knows about itself.
        masked_config: gives the applied configuration as YAML, without secrets.
        configuration_version: gives a value that changes when a configuration is applied or refused.
        reload: reads the configuration again and gives its mistakes; None: requests may not reload.
        wall_clock: gives Unix seconds.
        renderers: threads in which answers that clients share are made.
        page_renderers: threads in which other pages are made: however many, they hold up no scrape.
        telemetry_path: where the metrics are served, below the site's prefix.
        site: where browsers find the pages.
    """

    board: Board
    exposition: Exposition[ClusterStatus]
    cleanup: Callable[[], CleanupSources | None]
    process: ProcessMetrics
    exporter_state: Callable[[], ExporterState]
    masked_config: Callable[[], str]
    configuration_version: Callable[[], Hashable]
    reload: Callable[[], Awaitable[str]] | None
    wall_clock: Callable[[], float]
    renderers: Executor
    page_renderers: Executor
    telemetry_path: str
    site: Site = field(default_factory=Site)


SOURCES = web.AppKey("sources", Sources)
