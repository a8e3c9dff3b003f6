"""The clusters that this process may clean: who they are, what they list, and the cleaner of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace

import structlog

from exporter.background import in_slices
from exporter.cleanup.cleaners.cleaner import WOKEN_PER_SLICE, Assignment, Cleaner
from exporter.cleanup.cleaners.known_clusters import (
    NOTED_EVERY_SECONDS,
    ConfiguredCluster,
    Identities,
    PolledListings,
)
from exporter.cleanup.cleanup_board import CleanupBoard, LeaseStatus, PolicyStatus
from exporter.cleanup.journal import Journal
from exporter.cleanup.outcomes import RunFailure
from exporter.cleanup.preflight import usable_uuid
from exporter.cleanup.run import Services
from exporter.config import CleanupConfig
from exporter.ontap.access import ClusterAccess
from exporter.ontap.requests.inventory import Inventory

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

LISTINGS_PER_TRANSACTION = 50
"""How many listings are noted in one transaction."""


class CleanedClusters:
    """Has one cleaner for each configured cluster uuid that has answered, as long as the journal is open.

    Args:
        config: the cleanup section; a reload replaces it.
        board: shows every policy on every cluster.
        clock: seconds that never go back and go on while the machine is suspended.
        wall_clock: Unix seconds.

    Attributes:
        cleaners: those that run, by uuid.
    """

    def __init__(
        self,
        config: CleanupConfig,
        *,
        board: CleanupBoard,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self.config = config
        self.cleaners: dict[str, Cleaner] = {}
        self._board = board
        self._clock = clock
        self._wall_clock = wall_clock
        self._identities = Identities()
        self._listings = PolledListings()
        self._group: asyncio.TaskGroup | None = None
        self._services: Services | None = None

    @property
    def uuids(self) -> frozenset[str]:
        """Every uuid that has answered under a configured name."""
        return self._identities.uuids

    async def configure(self, config: CleanupConfig, accesses: Mapping[str, ClusterAccess]) -> None:
        """Replace the configuration; what is no longer configured vanishes from the board."""
        self.config = config
        self._identities.configure(accesses, now=self._wall_clock())
        self._listings.keep(self.uuids)
        wanted = []
        async for name, access in in_slices(accesses.items()):
            for policy in config.policies:
                if policy.clusters.has(access.config):
                    wanted.append((name, policy.name))
                    self._show(name, access, policy.name, dry_run=policy.dry_run)
        self._board.keep(wanted)
        async for uuid in in_slices(self.cleaners.keys() | self.uuids, at_most=WOKEN_PER_SLICE):
            self._assign(uuid)
        await self.show_leases()

    def _show(self, name: str, access: ClusterAccess, policy: str, *, dry_run: bool) -> None:
        """Put a policy on a cluster on the board, with what is known of it already."""
        labels = access.config.labels
        known = self._board.get((name, policy))
        if known is None:
            self._board.put(PolicyStatus(cluster=name, labels=labels, policy=policy, dry_run=dry_run))
        else:
            self._board.put(replace(known, labels=labels, dry_run=dry_run))

    async def start(self, group: asyncio.TaskGroup, services: Services) -> None:
        """Start a cleaner for each cluster, and for those that polls find from now on."""
        self._group, self._services = group, services
        async for uuid in in_slices(self.uuids, at_most=WOKEN_PER_SLICE):
            self._assign(uuid)

    def stop_starting(self) -> None:
        """Start no further cleaner: a task group that ends takes no more tasks."""
        self._group = self._services = None

    def note_good_poll(self, name: str, inventory: Inventory) -> bool:
        """Take note of who a cluster is and what it holds; say whether another cluster answers there now."""
        cluster = self._identities.named(name)
        if cluster is None:
            return False
        uuid = usable_uuid(inventory.identity)
        if uuid is None:
            if cluster.uuid is None:
                self._note_unidentified(name, cluster)
            return False
        changed = self._identities.identify(name, uuid)
        if changed:
            for policy in self.config.policies:
                self._board.show_problem((name, policy.name), "")
        for one in changed:
            self._assign(one)
        config = cluster.access.config
        seconds = (config.poll_interval + config.poll_timeout).total_seconds()
        self._listings.put(
            uuid,
            inventory.listing.packages,
            valid_until=self._clock() + max(seconds, NOTED_EVERY_SECONDS),
        )
        return bool(changed)

    def _note_unidentified(self, name: str, cluster: ConfiguredCluster) -> None:
        """Show that nothing can be cleaned on a cluster that does not say who it is."""
        if not cluster.is_unidentified:
            log.warning("a cluster states no uuid, so nothing is deleted there", cluster=name)
            cluster.is_unidentified = True
        now = self._wall_clock()
        for policy in self.config.policies:
            self._board.show_problem((name, policy.name), "", failure=RunFailure.UNIDENTIFIED, now=now)

    def _assign(self, uuid: str) -> None:
        """Give the cleaner of a cluster its assignment; start one if there is none yet."""
        found = self._identities.first(uuid)
        assignment = None if found is None else self._assignment(found[1])
        cleaner = self.cleaners.get(uuid)
        if cleaner is not None:
            cleaner.assign(assignment)
        elif found and assignment and self._group is not None and self._services is not None:
            cleaner = Cleaner(cluster_uuid=uuid, assignment=assignment, services=self._services)
            self.cleaners[uuid] = cleaner
            self._group.create_task(cleaner.run(), name=f"clean {found[0]}")

    def _assignment(self, cluster: ConfiguredCluster) -> Assignment:
        return Assignment(
            access=cluster.access,
            policies=tuple(one for one in self.config.policies if one.clusters.has(cluster.access.config)),
            max_deletes_per_day=self.config.max_deletes_per_day,
            takeover_after_seconds=self.config.takeover_after.total_seconds(),
            since=cluster.since,
        )

    def each_cleaner(self) -> AsyncIterator[Cleaner]:
        """Yield every cleaner to be woken; other tasks run in between."""
        return in_slices(tuple(self.cleaners.values()), at_most=WOKEN_PER_SLICE)

    async def show_leases(self) -> None:
        """Show which clusters this process may clean now."""
        await self._board.put_leases(self._lease_statuses())

    def _lease_statuses(self) -> Iterator[LeaseStatus]:
        """Yield every cluster that a policy applies to; of several names for one, the first is cleaned."""
        for name in dict.fromkeys(status.cluster for status in self._board.statuses()):
            cluster = self._identities.named(name)
            if cluster is None:
                continue
            cleaner = self.cleaners.get(cluster.uuid or "")
            lease = cleaner.lease if cleaner is not None and cleaner.cleans(cluster.access) else None
            is_held = lease is not None and self._clock() < lease.valid_until_seconds
            yield LeaseStatus(cluster=name, labels=cluster.access.config.labels, held=is_held)

    async def note_listings(self, journal: Journal) -> None:
        """Note what the polls have listed, if it is new or has not been noted for a while.

        Raises:
            JournalError: it could not be noted; it is due again.
        """
        if not any(policy.seen_for for policy in self.config.policies):
            return
        now = self._clock()
        leases = {uuid: cleaner.lease for uuid, cleaner in self.cleaners.items() if cleaner.lease}
        due = list(self._listings.due(leases.keys(), now=now).items())
        for start in range(0, len(due), LISTINGS_PER_TRANSACTION):
            some = dict(due[start : start + LISTINGS_PER_TRANSACTION])
            seen = {leases[uuid]: packages for uuid, packages in some.items()}
            returned = {uuid: self._listings.returned(uuid) for uuid in some}
            lost = await journal.seen.note(seen, returned=returned, now=self._wall_clock())
            noted = {uuid: packages for uuid, packages in some.items() if uuid not in lost}
            self._listings.noted(noted, now=now)
