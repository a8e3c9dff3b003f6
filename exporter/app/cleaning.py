"""Cleanup, which a configuration may switch on, change and switch off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from exporter.cleanup.cleanup_board import CleanupBoard
from exporter.cleanup.kill_switch import KillSwitch
from exporter.cleanup.limits import Pace
from exporter.config import CleanupConfig
from exporter.metrics.cleanup import CLEANUP_FAMILIES, CleanupState, update_policy
from exporter.metrics.exposition import Exposition
from exporter.ontap.access import ClusterAccess
from exporter.web.sources import CleanupSources

if TYPE_CHECKING:
    from exporter.cleanup.service import CleanupService


class Cleaning:
    """Runs a service for as long as a configuration asks for one.

    Args:
        group: owns its task.
        kill_switch: stops all deleting at once.
        clusters_up: gives the clusters whose last poll was good.
    """

    def __init__(
        self, *, group: asyncio.TaskGroup, kill_switch: KillSwitch, clusters_up: Callable[[], Iterable[str]]
    ) -> None:
        self._group = group
        self._kill_switch = kill_switch
        self._clusters_up = clusters_up
        self._going: _Going | None = None

    async def apply(self, config: CleanupConfig | None, accesses: Mapping[str, ClusterAccess]) -> None:
        """Clean by this configuration from now on; with none, delete nothing any more.

        Another state needs another service, so the one before is brought to its end first; whatever it was
        about to delete stays.
        """
        going = self._going
        if going is not None and config is not None and going.state == config.state:
            going.service.configure(config, accesses)
        else:
            self._going = None
            if going is not None:
                going.task.cancel()
                await asyncio.wait({going.task})
            if config is not None:
                self._going = self._start(config, accesses)
        for name in self._clusters_up():
            self.note_good_poll(name)

    def note_good_poll(self, cluster: str) -> None:
        """Take note that a cluster has had a good poll."""
        if self._going is not None:
            self._going.service.note_good_poll(cluster)

    def stop(self) -> None:
        """Cancel the service; the task group waits until it has recorded what it was about to."""
        if self._going is not None:
            self._going.task.cancel()

    @property
    def sources(self) -> CleanupSources | None:
        """What there is to show; None where cleanup is not configured."""
        return None if self._going is None else self._going.sources

    def _start(self, config: CleanupConfig, accesses: Mapping[str, ClusterAccess]) -> _Going:
        from exporter.cleanup.service import CleanupService  # noqa: PLC0415 - loads the database libraries

        exposition = Exposition(CLEANUP_FAMILIES)
        board = CleanupBoard(
            on_change=lambda status: update_policy(exposition, status), on_removal=exposition.remove
        )
        service = CleanupService(
            config=config,
            accesses=accesses,
            board=board,
            kill_switch=self._kill_switch,
            pace=Pace(),
            wall_clock=time.time,
        )
        return _Going(
            state=config.state,
            service=service,
            sources=CleanupSources(
                board=board,
                exposition=exposition,
                state=lambda: CleanupState(
                    durations=board.durations,
                    halted=self._kill_switch.active,
                    journal_open=service.journal is not None,
                ),
                report=service.report,
            ),
            task=self._group.create_task(service.run(), name="cleanup"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Going:
    """A service that runs, and what it shows."""

    state: str
    service: CleanupService
    sources: CleanupSources
    task: asyncio.Task[NoReturn]
