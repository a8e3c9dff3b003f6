"""Simulated clusters, one state, and the lives that a daemon leads on it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import aiohttp
from cleanup.crash.counters import Counters, gauge_in
from cleanup.crash.life import Life, living
from cleanup.crash.state import NO_STATE, Chronicle, DeletionRow, Position, State, StateFile

from exporter.cleanup.records import Outcome
from exporter.ontap.listing import PACKAGES_PATH
from exporter.simulator import Node, ReceivedRequest, SimulatedCluster, Simulator, UpdateState
from exporter.simulator.exporter_configuration import exporter_config
from support.waiting import eventually

OLD = "2019-02-04T19:00:00+00:00"
RUNNING, NODES_OWN, PENDING, EXCLUDED, YOUNG = "9.14.1P2", "9.14.1P4", "9.15.1", "9.9.1", "9.12.1"
PROTECTED = frozenset({RUNNING, NODES_OWN, PENDING, EXCLUDED, YOUNG})
POLICY = "retire-old"
UNDISTURBED_SECONDS = 60.0
STOP_SECONDS = 10.0
SCRAPE_SECONDS = 0.1
KEPT_REQUESTS = 1_000_000
JOB_RETENTION_SECONDS = 1e6
"""So that every job is still there to be compared with at the end."""

_CLEANUP = f"""cleanup:
  state: sqlite:///state.db
  policies:
    - name: {POLICY}
      every: 1s
      older_than: 30d
      exclude: ["9.9*"]
      max_deletes_per_run: 3
      dry_run: false
"""


def cluster_of(name: str, *versions: str, job_seconds: float = 0.05) -> SimulatedCluster:
    """Simulate a cluster that holds old packages, and one for each thing that protects a package."""
    packages = [(version, OLD) for version in (*versions, RUNNING, NODES_OWN, PENDING, EXCLUDED)]
    return SimulatedCluster(
        name,
        packages=[*packages, (YOUNG, datetime.now(UTC).isoformat(timespec="seconds"))],
        version=RUNNING,
        nodes=(Node("n1", RUNNING), Node("n2", NODES_OWN)),
        pending_version=PENDING,
        update_state=UpdateState.COMPLETED,
        job_seconds=job_seconds,
        job_retention_seconds=JOB_RETENTION_SECONDS,
    )


@dataclass(slots=True, kw_only=True)
class Scene:
    """What outlives the daemon.

    Attributes:
        simulator: serves the clusters.
        config: the daemon's configuration.
        file: its state.
        counters: what was scraped from it.
        chronicle: what its journal held.
        positions: where the journal stood when the daemon was killed, one for each cluster and kill.
        kills: how often it was killed.
        left: what the last life has left behind.
    """

    simulator: Simulator
    config: Path
    file: StateFile
    counters: Counters = field(default_factory=Counters)
    chronicle: Chronicle = field(default_factory=Chronicle)
    positions: Counter[Position] = field(default_factory=Counter)
    kills: int = 0
    left: State = NO_STATE
    _numbers: count[int] = field(default_factory=lambda: count(1))

    @property
    def cluster(self) -> SimulatedCluster:
        """The one cluster."""
        (cluster,) = self.simulator.clusters
        return cluster

    @asynccontextmanager
    async def life(self, *program: str | Path) -> AsyncIterator[Life]:
        """Start the daemon, by another program where one is given."""
        async with living(
            *(program or ("-m", "exporter")),
            "run",
            f"--config.file={self.config}",
            "--web.listen-address=127.0.0.1:0",
        ) as life:
            yield life

    async def kill(self, life: Life) -> State:
        """Kill the daemon, check what it leaves behind, and return that."""
        await life.kill()
        assert "a bug ended the program" not in life.output, life.output
        state = self.file.autopsy()
        self.chronicle.add(state)
        self.positions.update(state.position(cluster.name) for cluster in self.simulator.clusters)
        self.kills += 1
        self.left = state
        return state

    async def scrape(self, life: Life) -> None:
        """Wait until the counters are what they were in the lives before, and take them over."""

        async def caught_up() -> bool:
            text = await life.get("/metrics")
            if gauge_in(text, "ontap_cleanup_journal_open") != 1 or self.counters.gone_back(text):
                return False
            self.counters.note(text)
            return True

        await eventually(caught_up, seconds=60, what="the counters of the life before")

    @asynccontextmanager
    async def watching(self, life: Life) -> AsyncIterator[None]:
        """Scrape the counters all the time for as long as the context lasts, or the daemon."""
        task = asyncio.create_task(self._watch(life))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, aiohttp.ClientConnectionError):
                await task

    async def _watch(self, life: Life) -> None:
        await life.listens.wait()
        if life.url:
            await self.scrape(life)
            while True:
                self.counters.note(await life.get("/metrics"))
                await asyncio.sleep(SCRAPE_SECONDS)

    async def end_undisturbed(self) -> None:
        """Let the daemon finish without faults, then compare its account with what really happened."""
        for cluster in self.simulator.clusters:
            cluster.faults.clear()
            cluster.job_scripts.clear()
            cluster.release_jobs()
        async with self.life() as life:
            await self.file.until(self._is_over, seconds=UNDISTURBED_SECONDS, what="everything to be over")
            await self._scrape_until_true(life)
            code, seconds = await life.stop()
            assert (code, seconds < STOP_SECONDS) == (0, True), life.output
        state = self.file.autopsy()
        assert state.unended == ()
        self.chronicle.add(state)
        for cluster in self.simulator.clusters:
            Account(cluster, self.simulator, self.chronicle).assert_true()

    def deletes(self, cluster: SimulatedCluster, version: str) -> Sequence[ReceivedRequest]:
        """Return the DELETEs of a version that a cluster has received, also those it did not carry out."""
        return [
            request
            for request in cluster.requests_to(PACKAGES_PATH, method="DELETE")
            if request.segments[-1] == version
        ]

    def supply(self, cluster: SimulatedCluster, packages: int) -> None:
        """Fill up the old packages of a cluster; a version never comes twice."""
        for _ in range(packages - len(set(cluster.versions) - PROTECTED)):
            cluster.add_package((f"9.8P{next(self._numbers)}", OLD))

    def _is_over(self, state: State) -> bool:
        gone = all(set(cluster.versions) <= PROTECTED for cluster in self.simulator.clusters)
        return gone and not state.unended and not state.runs_going_on and bool(state.runs)

    async def _scrape_until_true(self, life: Life) -> None:
        """Scrape until the counters are the journal's, which the durations are once the run has ended."""
        await self.scrape(life)

        async def true() -> bool:
            self.counters.note(await life.get("/metrics"))
            return not self._differences(self.file.look())

        with suppress(TimeoutError):
            await eventually(true, seconds=60, what="the counters")
        assert self._differences(self.file.look()) == {}

    def _differences(self, state: State) -> dict[str, tuple[object, object]]:
        """Return what the counters say and what the journal says, where that is not the same."""
        total = self.counters.total
        names = [cluster.name for cluster in self.simulator.clusters]
        compared: dict[str, tuple[object, object]] = {
            "jobs": (total("ontap_cleanup_jobs_total", "cluster", "outcome"), dict(state.outcomes)),
            "errors": (total("ontap_cleanup_job_errors_total", "cluster", "code"), dict(state.codes)),
            "durations": (
                total("ontap_cleanup_job_duration_seconds_count", "policy"),
                {(POLICY,): state.timed} if state.timed else {},
            ),
            "outcomes": (
                self.counters.values_of("ontap_cleanup_jobs_total", "cluster", "outcome"),
                {(name, str(outcome)) for name in names for outcome in Outcome},
            ),
        }
        return {what: pair for what, pair in compared.items() if pair[0] != pair[1]}


@dataclass(frozen=True, slots=True)
class Account:
    """Compares what the journal says of a cluster with what the cluster itself has recorded."""

    cluster: SimulatedCluster
    simulator: Simulator
    chronicle: Chronicle

    def assert_true(self) -> None:
        """Check everything."""
        cluster = self.cluster
        assert set(cluster.versions) >= PROTECTED
        assert cluster.collection_deletes == 0
        received = Counter(request.segments[-1] for request in self._deletes())
        assert not {*received} & PROTECTED
        assert cluster.jobs.peak <= 1
        self._assert_no_delete_during_a_job()
        deleted = [one.version for one in cluster.deletions]
        assert len(set(deleted)) == len(deleted)
        succeeded = [row.version for row in self._rows() if row.outcome is Outcome.SUCCESS]
        assert sorted(succeeded) == sorted(deleted)
        for row in self._rows():
            self._assert_row(row)
        for version, number in received.items():
            intended = sum(row.attempts for row in self.chronicle.of(cluster.name, version))
            assert number <= intended, f"{version}: {number} DELETEs for {intended} intents"

    def _rows(self) -> Sequence[DeletionRow]:
        return [row for row in self.chronicle.deletions.values() if row.cluster == self.cluster.name]

    def _deletes(self) -> Sequence[ReceivedRequest]:
        return self.cluster.requests_to(PACKAGES_PATH, method="DELETE")

    def _assert_row(self, row: DeletionRow) -> None:
        """Compare one ended deletion with the job that it names, and with nothing else."""
        assert row.ended
        assert row.outcome not in (Outcome.ALREADY_GONE, Outcome.PROTECTED, Outcome.TIMEOUT), row
        jobs = {job.uuid: job for job in self.cluster.jobs.readable()}
        if row.job_uuid is None:
            return
        assert row.job_uuid in jobs, row
        job = jobs[row.job_uuid]
        assert (job.subject, job.over) == (row.version, True), row
        if row.outcome is not Outcome.SUCCESS:
            assert not job.script.effective, row
        else:
            (deletion,) = [one for one in self.cluster.deletions if one.version == row.version]
            assert deletion.job_uuid == row.job_uuid, row

    def _assert_no_delete_during_a_job(self) -> None:
        offset = time.monotonic() - self.simulator.clock.seconds()
        for request in self._deletes():
            version = request.segments[-1]
            moment = request.monotonic_seconds - offset
            for job in self.cluster.jobs.readable():
                assert job.ended_seconds is not None
                during = job.started_seconds < moment < job.ended_seconds
                assert not (job.subject == version and during), f"{version}: DELETE while {job.uuid} lived"


@asynccontextmanager
async def scene(
    clusters: Iterable[SimulatedCluster], directory: Path, *, poll_interval: str = "1h"
) -> AsyncIterator[Scene]:
    """Serve clusters and write a configuration that cleans them all the time."""
    async with Simulator(clusters, directory=directory, kept_requests=KEPT_REQUESTS) as simulator:
        config = directory / "config.yaml"
        config.write_text(exporter_config(simulator, poll_interval=poll_interval, extra=_CLEANUP))
        yield Scene(simulator=simulator, config=config, file=StateFile(directory / "state.db"))
