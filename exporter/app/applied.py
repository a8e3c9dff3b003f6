"""The applied configuration: which clusters are polled and cleaned now, and how."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import aiohttp

from exporter.app.cleanup_manager import CleanupManager
from exporter.app.sharding import Shard
from exporter.background import in_slices
from exporter.cleanup.delete.limits import Pace
from exporter.cleanup.kill_switch import KillSwitch
from exporter.config import Config
from exporter.metrics.cluster_metrics import CLUSTER_FAMILIES, update_cluster
from exporter.metrics.exposition import Exposition
from exporter.ontap.access import AccessOpener, ClusterAccess
from exporter.ontap.client import RequestCounts
from exporter.polling.board import Board, ClusterStatus
from exporter.polling.fleet import Fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """How many clusters a configuration has added, changed, removed and left alone."""

    added: int
    changed: int
    removed: int
    kept: int


class AppliedConfiguration:
    """Polls and cleans the clusters of the applied configuration, which another one may replace.

    Nothing is polled before the first :meth:`apply`; ``version`` counts how often that has been called.
    """

    def __init__(
        self,
        config: Config,
        *,
        shard: Shard,
        session: aiohttp.ClientSession,
        group: asyncio.TaskGroup,
        kill_switch: KillSwitch,
        pace: Pace,
    ) -> None:
        self.config = config
        self.version = 0
        self.exposition = Exposition(CLUSTER_FAMILIES)
        self.board = Board(on_change=self._show, on_removal=self.exposition.remove)
        self.cleanup = CleanupManager(
            group=group, shard=f"{shard.ordinal}/{shard.total}", kill_switch=kill_switch, pace=pace
        )
        self.counts = RequestCounts()
        self._shard = shard
        self._opener = AccessOpener(session=session, counts=self.counts)
        self._fleet = Fleet(group=group, board=self.board)
        self._accesses: Mapping[str, ClusterAccess] = MappingProxyType({})

    async def apply(self, config: Config) -> Changes:
        """Poll and clean by this configuration from now on; every secret is read again.

        A cluster whose settings are unchanged goes on as before. Polls use the new configuration at once.
        Cleanup uses it when the deletions that it ends have been recorded.
        """
        before = self._accesses
        settings = {name: access.config for name, access in before.items()}
        own = [cluster for cluster in config.clusters if self._shard.owns(cluster.name)]
        accesses = await self._opener.reopen(own, before=before)
        self.config, self._accesses = config, accesses
        await self._fleet.poll(accesses, max_concurrent_polls=config.max_concurrent_polls)
        await self.cleanup.apply(config.cleanup, accesses)
        async for status in in_slices(self.board.statuses()):
            self._note_good_poll(status)
        self.version += 1
        kept = 0
        async for name, access in in_slices(accesses.items()):
            kept += settings.get(name) == access.config
        self._fleet.begin()
        return Changes(
            added=len(accesses.keys() - before.keys()),
            changed=len(accesses.keys() & before.keys()) - kept,
            removed=len(before.keys() - accesses.keys()),
            kept=kept,
        )

    def stop(self) -> None:
        """Cancel polls and cleanup; the task group waits until cleanup has recorded its last DELETE."""
        self._fleet.stop()
        self.cleanup.stop()

    def _show(self, status: ClusterStatus) -> None:
        update_cluster(self.exposition, status)
        self._note_good_poll(status)

    def _note_good_poll(self, status: ClusterStatus) -> None:
        if status.up and status.inventory is not None:
            self.cleanup.note_good_poll(status.name, status.inventory)
