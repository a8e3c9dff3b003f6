"""A cleanup service over simulated clusters, and what it shows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from exporter.cleanup.cleanup_board import CleanupBoard, PolicyStatus
from exporter.cleanup.delete.limits import Pace
from exporter.cleanup.journal import Journal
from exporter.cleanup.kill_switch import KillSwitch, boot_time
from exporter.cleanup.records import Lease, Run
from exporter.cleanup.service import SILENCE_SECONDS, CleanupService
from exporter.config import CleanupConfig, PolicyConfig
from exporter.config.reading.database_url import parse_database_url
from exporter.config.schema import ClusterSelector
from exporter.ontap.access import AccessOpener, ClusterAccess
from exporter.ontap.client import RequestCounts
from exporter.ontap.requests.facts import ClusterIdentity
from exporter.ontap.requests.inventory import Inventory
from exporter.ontap.requests.listing import PACKAGES_PATH, Listing, Package
from exporter.ontap.session import open_session
from exporter.simulator import SimulatedCluster, Simulator
from support.cleaning import OLD, QUICK_PACE, changed
from support.cleaning import POLICY as POLICY  # noqa: PLC0414 - for those who use a service
from support.journal.journal_steps import opened
from support.polled_fleet import cluster_config

WAIT_SECONDS = 60.0
HOUR = timedelta(hours=1)
OFTEN = timedelta(seconds=0.05)
C1 = ("c1", "retire-old")
BEAT = changed(POLICY, name="beat", clusters=ClusterSelector(names=["beat"]), every=OFTEN, dry_run=True)
"""A policy that runs all the time on its own cluster: its runs measure how long nothing happens elsewhere."""


def cluster_named(name: str, *versions: str, job_seconds: float = 0.02) -> SimulatedCluster:
    return SimulatedCluster(name, packages=[(version, OLD) for version in versions], job_seconds=job_seconds)


def inventory_of(cluster: SimulatedCluster) -> Inventory:
    """Return what a poll would see of a cluster, as far as cleanup takes note of it."""
    packages = tuple(Package(version=one, create_timestamp_seconds=None) for one in cluster.versions if one)
    listing = Listing(packages=packages, pages=1, unnamed=0)
    identity = ClusterIdentity(name=cluster.name, uuid=cluster.uuid, ontap_version=cluster.version)
    return Inventory(listing=listing, identity=identity, versions_in_use=frozenset())


def deletes(cluster: SimulatedCluster) -> int:
    return len(cluster.requests_to(PACKAGES_PATH, method="DELETE"))


class Clock:
    """A wall clock that goes at the usual pace, from wherever it is set."""

    def __init__(self, start: float | None = None) -> None:
        self._offset = 0.0 if start is None else start - time.time()

    def __call__(self) -> float:
        return time.time() + self._offset

    def advance(self, step: timedelta) -> None:
        self._offset += step.total_seconds()


class Watch:
    """Sees every status that is put on the board, and lets a test wait for one."""

    def __init__(self) -> None:
        self.statuses: dict[tuple[str, str], PolicyStatus] = {}
        self.most_in_progress = 0
        self._changed = asyncio.Event()

    def on_change(self, status: PolicyStatus) -> None:
        self.statuses[status.key] = status
        going_on = sum(one.in_progress for one in self.statuses.values())
        self.most_in_progress = max(self.most_in_progress, going_on)
        self._changed.set()

    async def until(self, key: tuple[str, str], condition: Callable[[PolicyStatus], bool]) -> PolicyStatus:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while key not in self.statuses or not condition(self.statuses[key]):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as exc:
            raise TimeoutError(f"last status: {self.statuses.get(key)}") from exc
        return self.statuses[key]

    async def until_any(self, condition: Callable[[PolicyStatus], bool]) -> None:
        """Wait until some status meets a condition."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not any(map(condition, self.statuses.values())):
                self._changed.clear()
                await self._changed.wait()

    async def ended(self, key: tuple[str, str] = C1, *, after: float = 0.0) -> PolicyStatus:
        """Wait for the end of a run."""
        return await self.until(key, lambda status: (ended_at(status) or 0.0) > after)

    async def beats(self, count: int = 3) -> None:
        """Wait for some runs of the policy ``beat``."""
        for _ in range(count):
            status = self.statuses.get(("beat", "beat"))
            await self.ended(("beat", "beat"), after=(ended_at(status) if status else None) or 0.0)


def ended_at(status: PolicyStatus) -> float | None:
    return status.totals.last_ended_timestamp_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Servicing:
    """A running service and what it shows."""

    service: CleanupService
    board: CleanupBoard
    watch: Watch
    kill_switch: KillSwitch
    clock: Clock

    @property
    def journal(self) -> Journal:
        assert self.service.journal is not None
        return self.service.journal

    def good_poll(self, *clusters: SimulatedCluster) -> None:
        """Let clusters have had a good poll."""
        for cluster in clusters:
            self.service.note_good_poll(cluster.name, inventory_of(cluster))

    async def runs(self) -> tuple[Run, ...]:
        """Return every run, oldest first."""
        return tuple(reversed(await self.journal.runs.recent(1000)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """Served clusters, and the journal of one service after another."""

    simulator: Simulator
    accesses: Mapping[str, ClusterAccess]
    state: str

    def config(
        self,
        *policies: PolicyConfig,
        max_concurrent_clusters: int = 4,
        takeover_after: timedelta = timedelta(seconds=60),
    ) -> CleanupConfig:
        return CleanupConfig(
            state=parse_database_url(self.state, Path()),
            max_concurrent_clusters=max_concurrent_clusters,
            takeover_after=takeover_after,
            policies=list(policies),
        )

    @asynccontextmanager
    async def service(
        self,
        *policies: PolicyConfig,
        clock: Clock | None = None,
        halted: bool = False,
        kill_switch: KillSwitch | None = None,
        polled: Iterable[str] | None = None,
        without: str = "",
        max_concurrent_clusters: int = 4,
        takeover_after: timedelta = timedelta(seconds=60),
        silence_seconds: float = SILENCE_SECONDS,
        pace: Pace = QUICK_PACE,
    ) -> AsyncIterator[Servicing]:
        """Run a service for as long as the context lasts; by default every cluster has had a good poll."""
        watch = Watch()
        board = CleanupBoard(on_change=watch.on_change)
        kill_switch = kill_switch or KillSwitch(active=halted)
        clock = clock or Clock()
        accesses = {name: access for name, access in self.accesses.items() if name != without}
        config = self.config(
            *policies, max_concurrent_clusters=max_concurrent_clusters, takeover_after=takeover_after
        )
        service = CleanupService(
            config=config,
            board=board,
            kill_switch=kill_switch,
            pace=pace,
            clock=boot_time,
            wall_clock=clock,
            silence_seconds=silence_seconds,
        )
        await service.configure(config, accesses)
        for cluster in self.simulator.clusters:
            if cluster.name in (accesses if polled is None else polled):
                service.note_good_poll(cluster.name, inventory_of(cluster))
        task = asyncio.create_task(service.run(), name="cleanup")
        try:
            yield Servicing(service=service, board=board, watch=watch, kill_switch=kill_switch, clock=clock)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    @asynccontextmanager
    async def journal(self, cluster: SimulatedCluster) -> AsyncIterator[tuple[Journal, Lease]]:
        """Open the journal as an earlier life of the program did, which cleans one cluster."""
        async with opened(self.state, takeover_after_seconds=300.0) as journal:
            yield journal, (await journal.leases.acquire([cluster.uuid]))[cluster.uuid]


@asynccontextmanager
async def life(directory: Path, *clusters: SimulatedCluster) -> AsyncIterator[Life]:
    async with Simulator(clusters, directory=directory) as simulator, open_session() as session:
        configs = [cluster_config(cluster, simulator.ca_file) for cluster in clusters]
        yield Life(
            simulator=simulator,
            accesses=AccessOpener(session=session, counts=RequestCounts()).open(configs),
            state=f"sqlite:///{directory}/state.db",
        )
