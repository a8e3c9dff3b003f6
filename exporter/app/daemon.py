"""The composition root: starts everything in order, owns the tasks, and ends everything in reverse order."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from socket import socket
from typing import TYPE_CHECKING

import structlog

from exporter.app.applied import AppliedConfiguration, Changes
from exporter.app.event_loop import handle_loop_error
from exporter.app.garbage_collection import FullCollections
from exporter.app.reload import Reloader
from exporter.app.sharding import Shard
from exporter.app.signals import handle_daemon_signals
from exporter.app.systemd import Notifier, passed_sockets
from exporter.cleanup.delete.limits import Pace
from exporter.cleanup.kill_switch import KillSwitch
from exporter.config import Config, ConfigFiles, masked_yaml
from exporter.metrics.exporter_metrics import ExporterState
from exporter.metrics.process import ProcessMetrics
from exporter.ontap.session import open_session
from exporter.polling.lateness import monitor
from exporter.web.addresses import ListenAddress, open_sockets
from exporter.web.routes import build_application, serving
from exporter.web.site import Site
from exporter.web.sources import Sources

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.web.auth import Protection, WebConfig

REVISION = os.environ.get("ONTAP_PACKAGES_EXPORTER_REVISION") or "unknown"
"""The source revision; an image sets the variable when it is built."""
DEFAULT_LISTEN_ADDRESS = ListenAddress(host="", port=10910)

_IN_USE = (
    "Address already in use; another program listens there, maybe another exporter: end it, "
    "or choose another address, e.g. --web.listen-address=:10911"
)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSettings:
    """The settings from the command line.

    Attributes:
        listen_addresses: where to listen; if empty, on the sockets from systemd, else at the default address.
        cleanup_halted: whether the kill switch is on from the start.
        web_config: how the pages are protected; None: not at all.
        pace: the pauses of cleanup; no flag changes them.
        announce: called with the URL of the pages as soon as they can be opened.
    """

    listen_addresses: tuple[ListenAddress, ...]
    telemetry_path: str
    site: Site = field(default_factory=Site)
    reload_by_http: bool = False
    cleanup_halted: bool = False
    shard: Shard = field(default_factory=Shard)
    web_config: WebConfig | None = None
    pace: Pace = field(default_factory=Pace)
    announce: Callable[[str], None] | None = None


async def run(files: ConfigFiles, config: Config, settings: DaemonSettings, *, stop: asyncio.Event) -> None:
    """Poll and serve until ``stop`` is set.

    At the end, the exit stack undoes everything in reverse order. The server stops listening and finishes the
    answers that it is sending. Polls and cleanup are cancelled, and the task group waits until cleanup has
    recorded the DELETE that it has sent. Then connections and sockets are closed.

    Raises:
        OSError: an address cannot be listened on.
        ExceptionGroup: a bug ended a task.
    """
    asyncio.get_running_loop().set_exception_handler(handle_loop_error)
    notifier = Notifier(os.environ)
    kill_switch = KillSwitch(active=settings.cleanup_halted)

    async def reapply(changed: Config) -> Changes:
        notifier.reloading()
        try:
            return await applied.apply(changed)
        finally:
            notifier.ready()

    def resume_paused() -> None:
        applied.cleanup.resume_paused()

    collections = FullCollections()
    async with AsyncExitStack() as stack:
        stack.callback(collections.stop)
        collections.hold_off()
        protection = _protection(stack, settings)
        reloader = Reloader(
            files=files,
            apply=reapply,
            resume_paused=resume_paused,
            protection=protection,
            hold_off_collections=collections.hold_off,
            wall_clock=time.time,
        )
        stack.enter_context(handle_daemon_signals(kill_switch=kill_switch, reload=reloader.ask))
        sockets = _listen(stack, settings)
        session = await stack.enter_async_context(open_session())
        group = await stack.enter_async_context(asyncio.TaskGroup())

        applied = AppliedConfiguration(
            config,
            shard=settings.shard,
            session=session,
            group=group,
            kill_switch=kill_switch,
            pace=settings.pace,
        )
        stack.callback(applied.stop)
        reloader.note(config)
        await applied.apply(config)

        stack.callback(group.create_task(reloader.run(), name="reload").cancel)
        stack.callback(group.create_task(monitor(applied.board.lateness), name="loop lag").cancel)
        stack.callback(group.create_task(notifier.keep_alive(), name="keep alive").cancel)

        sources = _sources(stack, settings=settings, files=files, reloader=reloader, applied=applied)
        await stack.enter_async_context(serving(build_application(sources, protection), sockets, protection))
        if protection is not None:
            stack.callback(group.create_task(protection.watch(), name="web configuration").cancel)
        log.info(
            "polling",
            clusters=len(applied.board.statuses()),
            shard=settings.shard.ordinal,
            total_shards=settings.shard.total,
        )
        notifier.ready()

        await stop.wait()
        notifier.stopping()
        log.info("stopping")
    log.info("stopped")


def _threads(stack: AsyncExitStack, count: int, *, name: str) -> Executor:
    """Return threads for short work; the stack ends them without waiting for them."""
    threads = ThreadPoolExecutor(count, thread_name_prefix=name)
    stack.callback(threads.shutdown, wait=False, cancel_futures=True)
    return threads


def _sources(
    stack: AsyncExitStack,
    *,
    settings: DaemonSettings,
    files: ConfigFiles,
    reloader: Reloader,
    applied: AppliedConfiguration,
) -> Sources:
    """Collect what the server shows."""

    def exporter_state() -> ExporterState:
        lateness = applied.board.lateness
        now = asyncio.get_running_loop().time()
        return ExporterState(
            revision=REVISION,
            last_reload_successful=reloader.successful,
            last_reload_success_timestamp_seconds=reloader.success_timestamp_seconds,
            cluster_files=files.files,
            cluster_files_failed=files.failed_files,
            clusters=len(applied.board.statuses()),
            requests=applied.counts.totals(),
            poll_delay_seconds=lateness.delay_seconds(now),
            shard_ordinal=settings.shard.ordinal,
            total_shards=settings.shard.total,
            polls_waiting=lateness.waiting,
            polls_missed=lateness.missed,
            keeping_up=lateness.keeping_up(now),
            event_loop_lag_seconds=lateness.longest_lag_seconds,
            poll_durations=applied.board.poll_durations.cumulative(),
            poll_duration_sum_seconds=applied.board.poll_durations.sum_seconds,
        )

    return Sources(
        board=applied.board,
        exposition=applied.exposition,
        cleanup=lambda: applied.cleanup.sources,
        process=ProcessMetrics(),
        exporter_state=exporter_state,
        masked_config=lambda: masked_yaml(applied.config),
        configuration_version=lambda: (applied.version, reloader.successful),
        reload=reloader.ask if settings.reload_by_http else None,
        wall_clock=time.time,
        renderers=_threads(stack, 2, name="render"),
        page_renderers=_threads(stack, 1, name="page"),
        telemetry_path=settings.telemetry_path,
        site=settings.site,
    )


def _protection(stack: AsyncExitStack, settings: DaemonSettings) -> Protection | None:
    """Apply the web configuration if there is one; only then load its libraries."""
    if settings.web_config is None:
        return None
    from exporter.web.auth import protecting  # noqa: PLC0415 - see above

    return stack.enter_context(protecting(settings.web_config, environ=os.environ))


def _listen(stack: AsyncExitStack, settings: DaemonSettings) -> tuple[socket, ...]:
    """Bind every address before anything is polled; the stack closes the sockets.

    Raises:
        OSError: an address cannot be listened on; the message names the address.
    """
    sockets = [stack.enter_context(passed) for passed in passed_sockets(os.environ)]
    for address in settings.listen_addresses or (() if sockets else (DEFAULT_LISTEN_ADDRESS,)):
        try:
            opened = open_sockets(address)
        except OSError as exc:
            why = _IN_USE if exc.errno == errno.EADDRINUSE else exc.strerror or exc
            raise OSError(exc.errno, f"cannot listen on {address}: {why}") from exc
        sockets += [stack.enter_context(one) for one in opened]
    has_tls = settings.web_config is not None and settings.web_config.tls is not None
    for listening in sockets:
        log.info("listening", address=_address_of(listening), tls=has_tls)
    if settings.announce is not None and sockets:
        settings.announce(f"{_url_of(sockets[0], has_tls=has_tls)}{settings.site.prefix}/")
    return tuple(sockets)


def _url_of(bound: socket, *, has_tls: bool) -> str:
    """Return the URL for a browser on this machine, without a path."""
    host, port, *_ = bound.getsockname()
    is_any = host in {"0.0.0.0", "::"}  # noqa: S104 - compared, not listened on
    scheme = "https" if has_tls else "http"
    return f"{scheme}://localhost:{port}" if is_any else f"{scheme}://{_address_of(bound)}"


def _address_of(bound: socket) -> str:
    host, port, *_ = bound.getsockname()
    return str(ListenAddress(host=host, port=port))
