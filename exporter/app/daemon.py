"""The composition root: builds everything, owns the tasks, and takes it all down in order."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from socket import socket
from typing import TYPE_CHECKING

import structlog

from exporter import __version__
from exporter.app.applied import AppliedConfiguration, Changes
from exporter.app.cleaning import Cleaning
from exporter.app.garbage import collect_everything, survivors_frozen
from exporter.app.reload import Reloader
from exporter.app.signals import handle_daemon_signals
from exporter.app.systemd import Notifier, passed_sockets
from exporter.cleanup.kill_switch import KillSwitch
from exporter.config import Config, ConfigFiles, masked_yaml
from exporter.metrics.clusters import CLUSTER_FAMILIES, update_cluster
from exporter.metrics.exporter import ExporterState
from exporter.metrics.exposition import Exposition
from exporter.metrics.process import ProcessMetrics
from exporter.ontap.access import AccessOpener
from exporter.ontap.client import RequestCounts, open_session
from exporter.polling.board import Board, ClusterStatus
from exporter.polling.fleet import Fleet
from exporter.polling.loop_lag import LoopLagMonitor
from exporter.sharding import WHOLE, Shard
from exporter.web.listen import ListenAddress, open_sockets
from exporter.web.server import build_application, serving
from exporter.web.sources import Sources

if TYPE_CHECKING:
    from exporter.webconfig import Protection, WebConfig

REVISION_VARIABLE = "ONTAP_PACKAGES_EXPORTER_REVISION"
"""The environment variable that names the source revision; an image sets it when it is built."""
DEFAULT_LISTEN_ADDRESS = ListenAddress(host="", port=10910)

_RENDERERS = 2

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the command line says of a daemon.

    Attributes:
        listen_addresses: where to listen; none: at what systemd passes, else at the default address.
        telemetry_path: where the metrics are served.
        reload_by_http: whether a request may reload the configuration.
        cleanup_halted: whether deleting is halted from the start.
        shard: the share of the clusters that this process looks after.
        web_config: how the pages are protected; None: not at all.
    """

    listen_addresses: tuple[ListenAddress, ...]
    telemetry_path: str
    reload_by_http: bool = False
    cleanup_halted: bool = False
    shard: Shard = WHOLE
    web_config: WebConfig | None = None


async def run(files: ConfigFiles, config: Config, settings: Settings, *, stop: asyncio.Event) -> None:
    """Poll and serve until ``stop`` is set.

    Args:
        files: the configuration's files, loaded.
        config: what they gave.
        settings: the rest of what the program was told.
        stop: ends it.

    Raises:
        OSError: an address cannot be listened on.
        ExceptionGroup: a bug ended a task.
    """
    notifier = Notifier(os.environ)
    kill_switch = KillSwitch(active=settings.cleanup_halted)

    async def apply(changed: Config) -> Changes:
        notifier.reloading()
        try:
            return await applied.apply(changed)
        finally:
            notifier.ready()

    async with AsyncExitStack() as stack:
        protection = _protection(stack, settings)
        reloader = Reloader(
            files=files,
            apply=apply,
            protection=protection,
            shard=settings.shard,
            wall_clock=time.time,
        )
        stack.enter_context(handle_daemon_signals(kill_switch=kill_switch, reload=reloader.ask))
        sockets = _listen(stack, settings)
        renderers = ThreadPoolExecutor(_RENDERERS, thread_name_prefix="render")
        stack.callback(renderers.shutdown, wait=False, cancel_futures=True)
        counts = RequestCounts()
        opener = AccessOpener(session=await stack.enter_async_context(open_session()), counts=counts)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        exposition = Exposition(CLUSTER_FAMILIES)

        def on_change(status: ClusterStatus) -> None:
            update_cluster(exposition, status)
            if status.up:
                cleaning.note_good_poll(status.name)

        board = Board(on_change=on_change, on_removal=exposition.remove)
        cleaning = Cleaning(group=group, kill_switch=kill_switch, clusters_up=board.clusters_up)
        stack.callback(cleaning.stop)
        fleet = Fleet(group=group, board=board)
        stack.callback(fleet.stop)
        applied = AppliedConfiguration(
            config=config, shard=settings.shard, opener=opener, fleet=fleet, cleaning=cleaning
        )
        loop_lag = LoopLagMonitor(board.lateness)
        myself = _Myself(
            board=board,
            counts=counts,
            reloader=reloader,
            files=files,
            shard=settings.shard,
            loop_lag=loop_lag,
        )
        sources = Sources(
            board=board,
            exposition=exposition,
            cleanup=lambda: cleaning.sources,
            process=ProcessMetrics(),
            exporter_state=myself.state,
            masked_config=lambda: masked_yaml(applied.config),
            reload=reloader.ask if settings.reload_by_http else None,
            wall_clock=time.time,
            renderers=renderers,
            telemetry_path=settings.telemetry_path,
        )
        reloader.warn(config)
        await applied.apply(config)
        stack.callback(group.create_task(reloader.run(), name="reload").cancel)
        stack.enter_context(survivors_frozen())
        stack.callback(group.create_task(loop_lag.run(), name="loop_lag").cancel)
        stack.callback(group.create_task(collect_everything(), name="garbage").cancel)
        stack.callback(group.create_task(notifier.keep_alive(), name="keep alive").cancel)
        await stack.enter_async_context(serving(build_application(sources, protection), sockets, protection))
        if protection is not None:
            stack.callback(group.create_task(protection.watch(), name="web configuration").cancel)
        log.info(
            "polling",
            clusters=len(board.statuses()),
            shard=settings.shard.ordinal,
            total_shards=settings.shard.total,
        )
        notifier.ready()
        await stop.wait()
        notifier.stopping()
        log.info("stopping")
    log.info("stopped")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Myself:
    """What the exporter knows of itself."""

    board: Board
    counts: RequestCounts
    reloader: Reloader
    files: ConfigFiles
    shard: Shard
    loop_lag: LoopLagMonitor

    def state(self) -> ExporterState:
        lateness = self.board.lateness
        now = asyncio.get_running_loop().time()
        return ExporterState(
            version=__version__,
            python_version=platform.python_version(),
            revision=os.environ.get(REVISION_VARIABLE) or "unknown",
            last_reload_successful=self.reloader.successful,
            last_reload_success_timestamp_seconds=self.reloader.success_timestamp_seconds,
            cluster_files=self.files.files,
            cluster_files_failed=self.files.failed_files,
            clusters=len(self.board.statuses()),
            requests=self.counts.totals(),
            poll_delay_seconds=lateness.delay_seconds(now),
            shard_ordinal=self.shard.ordinal,
            total_shards=self.shard.total,
            polls_waiting=lateness.waiting,
            polls_missed=lateness.missed,
            keeping_up=lateness.keeping_up(now),
            event_loop_lag_seconds=self.loop_lag.longest_lag_seconds,
        )


def _protection(stack: AsyncExitStack, settings: Settings) -> Protection | None:
    """Put the web configuration in force where there is one; only then are its libraries loaded."""
    if settings.web_config is None:
        return None
    from exporter.webconfig import protecting  # noqa: PLC0415 - see above

    return stack.enter_context(protecting(settings.web_config, environ=os.environ))


def _listen(stack: AsyncExitStack, settings: Settings) -> tuple[socket, ...]:
    """Bind every address before anything else begins; whatever happens then, the sockets are closed.

    Raises:
        OSError: an address cannot be listened on; its text names the address.
    """
    sockets = [stack.enter_context(passed) for passed in passed_sockets(os.environ)]
    for address in settings.listen_addresses or (() if sockets else (DEFAULT_LISTEN_ADDRESS,)):
        try:
            opened = open_sockets(address)
        except OSError as exc:
            raise OSError(exc.errno, f"cannot listen on {address}: {exc.strerror or exc}") from exc
        sockets += [stack.enter_context(one) for one in opened]
    has_tls = settings.web_config is not None and settings.web_config.tls is not None
    for listening in sockets:
        log.info("listening", address=_written(listening), tls=has_tls)
    return tuple(sockets)


def _written(bound: socket) -> str:
    host, port, *_ = bound.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
