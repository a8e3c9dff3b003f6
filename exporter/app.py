"""The composition root: builds everything, owns the tasks and the signals, and takes it all down in order."""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from socket import socket
from typing import TYPE_CHECKING

import structlog

from exporter import __version__
from exporter.access import ClusterAccess, open_accesses
from exporter.cleanup.board import CleanupBoard
from exporter.cleanup.halt import Halt
from exporter.cleanup.limits import Pace
from exporter.config import Config, masked_yaml
from exporter.metrics.clusters import CLUSTER_FAMILIES, update_cluster
from exporter.metrics.exporter import ExporterState
from exporter.metrics.exposition import Exposition
from exporter.metrics.process import ProcessMetrics
from exporter.ontap.client import RequestCounts, open_session
from exporter.polling.board import Board, ClusterStatus
from exporter.polling.fleet import Fleet
from exporter.web.listen import ListenAddress, open_sockets
from exporter.web.server import build_application, serving
from exporter.web.sources import CleanupSources, Sources

if TYPE_CHECKING:
    from exporter.cleanup.service import CleanupService
    from exporter.metrics.cleanup import CleanupCollector

REVISION_VARIABLE = "ONTAP_PACKAGES_EXPORTER_REVISION"
"""The environment variable that names the source revision; an image sets it when it is built."""

_RENDERERS = 2

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the command line says of a daemon."""

    listen_addresses: tuple[ListenAddress, ...]
    telemetry_path: str
    cleanup_halted: bool = False


async def run(config: Config, settings: Settings, *, stop: asyncio.Event) -> None:
    """Poll and serve until ``stop`` is set.

    Raises:
        OSError: an address cannot be listened on.
        ExceptionGroup: a bug ended a poller.
    """
    counts = RequestCounts()
    exposition = Exposition(CLUSTER_FAMILIES)
    async with AsyncExitStack() as stack:
        sockets = _bind(stack, settings.listen_addresses)
        for listening in sockets:
            log.info("listening", address=_written(listening))
        renderers = ThreadPoolExecutor(_RENDERERS, thread_name_prefix="render")
        stack.callback(renderers.shutdown, wait=False, cancel_futures=True)
        session = await stack.enter_async_context(open_session())
        accesses = open_accesses(config.clusters, session=session, counts=counts)
        halt = Halt(active=settings.cleanup_halted)
        cleanup = _cleanup(config, accesses, halt)

        def on_change(status: ClusterStatus) -> None:
            update_cluster(exposition, status)
            if cleanup is not None and status.up:
                cleanup.service.note_good_poll(status.name)

        board = Board(on_change=on_change)
        exporter = _Exporter(board=board, counts=counts, loaded_timestamp_seconds=time.time())
        sources = Sources(
            board=board,
            exposition=exposition,
            cleanup=None if cleanup is None else cleanup.sources,
            process=ProcessMetrics() if cleanup is None else ProcessMetrics(cleanup.collector),
            exporter_state=exporter.state,
            masked_config=lambda: masked_yaml(config),
            wall_clock=time.time,
            renderers=renderers,
            telemetry_path=settings.telemetry_path,
        )
        fleet = Fleet(board=board, max_concurrent_polls=config.max_concurrent_polls)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        stack.callback(fleet.stop)
        fleet.start(group, accesses.values())
        if cleanup is not None:
            task = group.create_task(cleanup.service.run(), name="cleanup")
            stack.callback(task.cancel)
        stack.enter_context(halt_on_signals(halt))
        await stack.enter_async_context(serving(build_application(sources), sockets))
        log.info("polling", clusters=len(config.clusters))
        await stop.wait()
        log.info("stopping")
    log.info("stopped")


@contextmanager
def stop_on_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set ``stop`` on SIGTERM and SIGINT for as long as the context lasts."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


@contextmanager
def halt_on_signals(halt: Halt) -> Iterator[None]:
    """Halt all deleting at SIGUSR1 and release it at SIGUSR2, for as long as the context lasts.

    SIGHUP, which would end the program otherwise, is told to be of no use.
    """
    loop = asyncio.get_running_loop()

    def engage() -> None:
        halt.engage()
        log.warning("cleanup is halted: nothing more is deleted until SIGUSR2")

    def release() -> None:
        halt.release()
        log.warning("cleanup is released: policies delete again")

    def unheeded() -> None:
        log.warning("the configuration is read at start only, so SIGHUP changes nothing")

    handlers = {signal.SIGUSR1: engage, signal.SIGUSR2: release, signal.SIGHUP: unheeded}
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cleanup:
    """Everything that cleanup consists of."""

    service: CleanupService
    sources: CleanupSources
    collector: CleanupCollector


def _cleanup(config: Config, accesses: Mapping[str, ClusterAccess], halt: Halt) -> _Cleanup | None:
    """Build cleanup where it is configured; only then are its libraries loaded."""
    if config.cleanup is None:
        return None
    from exporter.cleanup.service import CleanupService  # noqa: PLC0415 - loads the database libraries
    from exporter.metrics.cleanup import CLEANUP_FAMILIES, CleanupCollector, update_policy  # noqa: PLC0415

    exposition = Exposition(CLEANUP_FAMILIES)
    board = CleanupBoard(on_change=lambda status: update_policy(exposition, status))
    service = CleanupService(
        config=config.cleanup,
        accesses=accesses,
        board=board,
        halt=halt,
        pace=Pace(),
        wall_clock=time.time,
    )
    return _Cleanup(
        service=service,
        sources=CleanupSources(board=board, exposition=exposition, report=service.report),
        collector=CleanupCollector(
            durations=lambda: board.durations,
            halted=lambda: halt.active,
            journal_open=lambda: service.journal is not None,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exporter:
    """What the exporter knows of itself."""

    board: Board
    counts: RequestCounts
    loaded_timestamp_seconds: float

    def state(self) -> ExporterState:
        return ExporterState(
            version=__version__,
            python_version=platform.python_version(),
            revision=os.environ.get(REVISION_VARIABLE) or "unknown",
            last_reload_successful=True,
            last_reload_success_timestamp_seconds=self.loaded_timestamp_seconds,
            clusters=len(self.board.statuses()),
            requests=self.counts.totals(),
            poll_delay_seconds=self.board.poll_delay_seconds,
            shard_ordinal=0,
            total_shards=1,
        )


def _bind(stack: AsyncExitStack, addresses: Iterable[ListenAddress]) -> tuple[socket, ...]:
    """Bind every address before anything else begins; whatever happens then, the sockets are closed.

    Raises:
        OSError: an address cannot be listened on; its text names the address.
    """
    sockets: list[socket] = []
    for address in addresses:
        try:
            opened = open_sockets(address)
        except OSError as exc:
            raise OSError(exc.errno, f"cannot listen on {address}: {exc.strerror or exc}") from exc
        for bound in opened:
            stack.callback(bound.close)
        sockets += opened
    return tuple(sockets)


def _written(bound: socket) -> str:
    host, port, *_ = bound.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
