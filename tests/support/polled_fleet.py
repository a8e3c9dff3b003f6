"""Simulated clusters and the pollers of them, in one event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from exporter.ontap.access import AccessOpener, ClusterAccess
from exporter.ontap.client import RequestCounts
from exporter.ontap.cluster_settings import BasicLogin, ClusterSettings, Endpoint, Secret, Tls
from exporter.ontap.credentials import LoginReader, read_login
from exporter.ontap.refusals import FIRST_PAUSE_SECONDS
from exporter.ontap.session import LookUp, open_session
from exporter.polling.board import Board, ClusterStatus
from exporter.polling.fleet import Fleet
from exporter.simulator import SimulatedCluster, Simulator

WAIT_SECONDS = 60.0


def cluster_config(cluster: SimulatedCluster, ca_file: Path, **changes: object) -> ClusterSettings:
    """Configure a simulated cluster, by default polled ten times a second."""
    host, _, port = cluster.address.rpartition(":")
    config = ClusterSettings(
        name=cluster.name,
        endpoint=Endpoint(scheme="http" if cluster.plain_http else "https", host=host, port=int(port)),
        login=BasicLogin(username=cluster.username, password=Secret(value=cluster.password)),
        tls=Tls(ca_file=ca_file),
        labels=tuple(sorted(cluster.labels.items())),
        poll_interval=timedelta(seconds=0.1),
        poll_timeout=timedelta(seconds=60),
        stale_after=timedelta(seconds=60),
        return_timeout_seconds=5,
        max_records=500,
    )
    return replace(config, **changes)  # type: ignore[arg-type]


class Watch:
    """Sees every status that is put on a board, and lets a test wait for one."""

    def __init__(self) -> None:
        self._statuses: dict[str, ClusterStatus] = {}
        self._changed = asyncio.Event()

    def on_change(self, status: ClusterStatus) -> None:
        self._statuses[status.name] = status
        self._changed.set()

    async def until(self, name: str, condition: Callable[[ClusterStatus], bool]) -> ClusterStatus:
        """Wait for a cluster's status to meet a condition, and return it.

        Raises:
            TimeoutError: it never did; the message shows the last status.
        """
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while name not in self._statuses or not condition(self._statuses[name]):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as exc:
            raise TimeoutError(f"last status: {self._statuses.get(name)}") from exc
        return self._statuses[name]

    async def polls(self, name: str, count: int) -> ClusterStatus:
        """Wait until this many polls of a cluster have ended."""
        return await self.until(name, lambda status: status.polls >= count)

    async def more_polls(self, name: str, count: int) -> ClusterStatus:
        """Wait until this many more polls of a cluster have ended, as a measure of time."""
        return await self.polls(name, self._statuses[name].polls + count)


@dataclass(slots=True, kw_only=True)
class PolledFleet:
    """A simulator, its pollers and what they see."""

    simulator: Simulator
    board: Board
    watch: Watch
    opener: AccessOpener
    fleet: Fleet
    max_concurrent_polls: int
    configs: list[ClusterSettings]
    counts: RequestCounts
    accesses: Mapping[str, ClusterAccess] = field(default_factory=dict)

    async def reload(self) -> None:
        """Apply the configuration, as a reload does."""
        self.accesses = await self.opener.reopen(self.configs, before=self.accesses)
        await self.fleet.poll(self.accesses, max_concurrent_polls=self.max_concurrent_polls)


@asynccontextmanager
async def polled(
    clusters: Iterable[SimulatedCluster],
    directory: Path,
    *,
    configure: Callable[[SimulatedCluster, Path], ClusterSettings] = cluster_config,
    max_concurrent_polls: int = 64,
    read_login: LoginReader = read_login,
    first_pause_seconds: float = FIRST_PAUSE_SECONDS,
    look_up: LookUp = socket.getaddrinfo,
) -> AsyncIterator[PolledFleet]:
    """Serve clusters and poll them for as long as the context lasts."""
    watch = Watch()
    board = Board(on_change=watch.on_change)
    async with (
        Simulator(clusters, directory=directory) as simulator,
        open_session(look_up=look_up) as session,
    ):
        counts = RequestCounts()
        async with asyncio.TaskGroup() as group:
            it = PolledFleet(
                simulator=simulator,
                board=board,
                watch=watch,
                opener=AccessOpener(
                    session=session,
                    counts=counts,
                    read_login=read_login,
                    first_pause_seconds=first_pause_seconds,
                ),
                fleet=Fleet(group=group, board=board),
                max_concurrent_polls=max_concurrent_polls,
                configs=[configure(cluster, simulator.ca_file) for cluster in simulator.clusters],
                counts=counts,
            )
            await it.reload()
            it.fleet.begin()
            try:
                yield it
            finally:
                it.fleet.stop()
