"""Starts, changes and stops cleanup as the configuration says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from exporter.cleanup.cleanup_board import CleanupBoard
from exporter.cleanup.delete.limits import Pace
from exporter.cleanup.kill_switch import KillSwitch, boot_time
from exporter.config import CleanupConfig
from exporter.metrics.cleanup_metrics import (
    CLEANUP_FAMILIES,
    LEASE_FAMILIES,
    CleanupState,
    update_lease,
    update_policy,
)
from exporter.metrics.exposition import Exposition
from exporter.ontap.access import ClusterAccess
from exporter.ontap.requests.inventory import Inventory
from exporter.web.sources import CleanupSources

if TYPE_CHECKING:
    from exporter.cleanup.service import CleanupService


class CleanupManager:
    """Runs cleanup's service while the configuration has a cleanup section.

    Args:
        group: owns the service's task.
        shard: identifies the share of the clusters that this process may clean.
    """

    def __init__(self, *, group: asyncio.TaskGroup, shard: str, kill_switch: KillSwitch, pace: Pace) -> None:
        self._group = group
        self._shard = shard
        self._kill_switch = kill_switch
        self._pace = pace
        self._running: _Running | None = None

    async def apply(self, config: CleanupConfig | None, accesses: Mapping[str, ClusterAccess]) -> None:
        """Clean by this configuration from now on; None: delete nothing any more.

        If the configuration names another journal, the service is ended and a new one is started. The old one
        sends no further DELETE and records what it has sent.
        """
        running = self._running
        if running is not None and (config is None or running.journal != config.state.dsn):
            self._running = None
            running.task.cancel()
            await asyncio.wait({running.task})
        if config is not None:
            if self._running is None or self._running.task.done():
                self._running = self._start(config)
            await self._running.service.configure(config, accesses)

    def note_good_poll(self, cluster: str, inventory: Inventory) -> None:
        """Take note of a good poll: who the cluster is, and what it holds."""
        if self._running is not None:
            self._running.service.note_good_poll(cluster, inventory)

    def resume_paused(self) -> None:
        """Let policies delete again that are paused after failures."""
        if self._running is not None:
            self._running.service.resume_paused()

    def stop(self) -> None:
        """Cancel the service; the task group waits until it has recorded what it has sent."""
        if self._running is not None:
            self._running.task.cancel()

    @property
    def sources(self) -> CleanupSources | None:
        """What pages and metrics show about cleanup; None if cleanup is not configured."""
        return None if self._running is None else self._running.sources

    def _start(self, config: CleanupConfig) -> _Running:
        from exporter.cleanup.service import CleanupService  # noqa: PLC0415 - loads the database libraries

        exposition, leases = Exposition(CLEANUP_FAMILIES), Exposition(LEASE_FAMILIES)
        board = CleanupBoard(
            on_change=lambda status: update_policy(exposition, status),
            on_removal=exposition.remove,
            on_lease=lambda lease: update_lease(leases, lease),
            on_lease_removal=leases.remove,
        )
        service = CleanupService(
            config=config,
            shard=self._shard,
            board=board,
            kill_switch=self._kill_switch,
            pace=self._pace,
            clock=boot_time,
            wall_clock=time.time,
        )
        return _Running(
            journal=config.state.dsn,
            service=service,
            sources=CleanupSources(
                service=service,
                board=board,
                exposition=exposition,
                leases=leases,
                state=lambda: CleanupState(
                    durations=board.durations,
                    halted=self._kill_switch.active,
                    journal_open=service.is_open,
                    paused={policy.name: False for policy in service.policies()}
                    | {pause.policy: True for pause in service.pauses()},
                    takeovers=service.sharing.takeovers,
                ),
            ),
            task=self._group.create_task(service.run(), name="cleanup"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    """A running service, its task, and the ``state`` (database URL) that it was started with."""

    journal: str
    service: CleanupService
    sources: CleanupSources
    task: asyncio.Task[NoReturn]
