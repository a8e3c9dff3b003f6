"""One simulated cluster, a journal, and runs of one policy, with pauses too short to wait for."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from exporter.cleanup.approval import SavedPlans
from exporter.cleanup.cleanup_board import CleanupBoard, PolicyStatus
from exporter.cleanup.delete.limits import Pace, Pauses
from exporter.cleanup.delete.steps import Sleep
from exporter.cleanup.journal import Journal
from exporter.cleanup.kill_switch import KillSwitch, boot_time
from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import Deletion, Lease, Run
from exporter.cleanup.run import PolicyRun, Services
from exporter.concurrency import ConcurrencyLimit
from exporter.config import PolicyConfig
from exporter.config.schema import ClusterSelector
from exporter.ontap.access import AccessOpener, ClusterAccess
from exporter.ontap.client import RequestCounts
from exporter.ontap.requests.jobs import JOBS_PATH
from exporter.ontap.requests.listing import PACKAGES_PATH
from exporter.ontap.session import open_session
from exporter.simulator import Fault, FaultKind, SimulatedCluster, Simulator
from support.journal.journal_steps import opened
from support.polled_fleet import cluster_config

OLD = "2019-02-04T19:00:00+00:00"
POLICY = PolicyConfig(
    name="retire-old",
    clusters=ClusterSelector(names=["c*"]),
    every=timedelta(hours=1),
    timezone="Europe/Amsterdam",
    older_than=timedelta(days=30),
    seen_for=timedelta(0),
    stop_after_failures=0,
    max_deletes_per_run=100,
    dry_run=False,
    job_timeout=timedelta(seconds=20),
    retry_busy_for=timedelta(seconds=20),
)


def changed(policy: PolicyConfig, **values: object) -> PolicyConfig:
    """Return a policy with other values, also with such as no file may hold."""
    return policy.model_copy(update=values)


SHORT = changed(POLICY, job_timeout=timedelta(seconds=1), retry_busy_for=timedelta(seconds=1))
"""Gives up at once on what does not end by itself."""
QUICK_PAUSES = Pauses(first_seconds=0.01, factor=1.2, longest_seconds=0.05)
QUICK_PACE = Pace(
    job=QUICK_PAUSES, busy=QUICK_PAUSES, check=QUICK_PAUSES, in_flight_seconds=0.05, retry_seconds=0.05
)


def cluster_with(*versions: str, **settings: object) -> SimulatedCluster:
    """Simulate a cluster that runs 9.14.1P2 and whose jobs take a moment."""
    packages = [(version, OLD) for version in versions]
    return SimulatedCluster("c1", packages=packages, job_seconds=0.02, **settings)  # type: ignore[arg-type]


def hold_up_intents(directory: Path, *, seconds: float) -> None:
    """Lock the journal for a while, as a tool of the operator may."""
    tool = sqlite3.connect(directory / "state.db", isolation_level=None)
    tool.execute("BEGIN IMMEDIATE")
    asyncio.get_running_loop().call_later(seconds, tool.close)


def at_request(
    react: Callable[[], object], *, path: str, method: str = "GET", skip: int = 0, times: int = 1
) -> Fault:
    """Do something when a cluster receives a request for exactly this path; the answer stays as it is.

    Args:
        react: what to do, before the answer is made.
        path: of the requests.
        method: of the requests.
        skip: this many requests go by first.
        times: it is done at this many requests.
    """
    return _reaction(react, Fault(FaultKind.LATENCY, method=method, path=path, exact=True), skip, times)


def at_job_read(react: Callable[[], object], *, skip: int = 0) -> Fault:
    """Do something when a job is read by its uuid, after this many reads; the answer stays as it is."""
    return _reaction(react, Fault(FaultKind.LATENCY, method="GET", path=f"{JOBS_PATH}/"), skip, times=1)


def _reaction(react: Callable[[], object], requests: Fault, skip: int, times: int) -> Fault:
    received = 0

    class Reaction(Fault):
        def matches(self, method: str, path: str, page: int | None) -> bool:
            nonlocal received
            if requests.matches(method, path, page):
                received += 1
                if skip < received <= skip + times:
                    react()
            return False

    return Reaction(FaultKind.LATENCY)


@dataclass(slots=True, kw_only=True)
class Cleaning:
    """Everything that one policy on one cluster needs."""

    simulator: Simulator
    cluster: SimulatedCluster
    access: ClusterAccess
    journal: Journal
    lease: Lease
    board: CleanupBoard
    kill_switch: KillSwitch
    clock: Callable[[], float] = boot_time
    pace: Pace = QUICK_PACE
    assigned: bool = True
    max_deletes_per_day: int | None = None

    async def run(self, policy: PolicyConfig = POLICY) -> Run:
        """Make one run and return what the journal has of it."""
        services = Services(
            journal=self.journal,
            board=self.board,
            kill_switch=self.kill_switch,
            pace=self.pace,
            saved_plans=SavedPlans(),
            active=ConcurrencyLimit(1),
            clock=self.clock,
            wall_clock=time.time,
        )
        run = PolicyRun(
            services=services,
            access=self.access,
            policy=policy,
            max_deletes_per_day=self.max_deletes_per_day,
            lease=self.lease,
            current_lease=lambda: self.lease,
            is_assigned=lambda: self.assigned,
            sleep=_sleep,
        )
        await run.make(started=time.time())
        return (await self.journal.runs.recent(1))[0]

    @property
    def status(self) -> PolicyStatus:
        status = self.board.get(("c1", POLICY.name))
        assert status is not None
        return status

    def deletes(self, version: str = "") -> int:
        """Return how many DELETEs the cluster has received."""
        return len(self.cluster.requests_to(f"{PACKAGES_PATH}/{version}", method="DELETE"))


async def _sleep(sleep: Sleep) -> None:
    await asyncio.sleep(sleep.seconds)


def only(run: Run) -> Deletion:
    """Return the one deletion of a run."""
    (deletion,) = run.deletions
    return deletion


def outcomes(run: Run) -> dict[str, Outcome | None]:
    """Return the outcome of every deletion of a run, by version."""
    return {deletion.version: deletion.outcome for deletion in run.deletions}


@asynccontextmanager
async def cleaning(cluster: SimulatedCluster, directory: Path, **settings: object) -> AsyncIterator[Cleaning]:
    """Serve a cluster and open a journal for as long as the context lasts.

    Args:
        cluster: to be cleaned.
        directory: for the journal and the certificates.
        settings: of the cluster, where they are not those of ``cluster_config``.
    """
    async with (
        Simulator([cluster], directory=directory) as simulator,
        open_session() as session,
        opened(f"sqlite:///{directory}/state.db", takeover_after_seconds=300.0) as journal,
    ):
        config = cluster_config(cluster, simulator.ca_file, **settings)
        access = AccessOpener(session=session, counts=RequestCounts()).open([config])["c1"]
        board = CleanupBoard(on_change=lambda _: None)
        board.put(PolicyStatus(cluster="c1", labels=(), policy=POLICY.name, dry_run=False))
        leases = await journal.leases.acquire([cluster.uuid])
        yield Cleaning(
            simulator=simulator,
            cluster=cluster,
            access=access,
            journal=journal,
            lease=leases[cluster.uuid],
            board=board,
            kill_switch=KillSwitch(),
        )
