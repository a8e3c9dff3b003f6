"""One simulated cluster, a journal, and runs of one policy, with pauses too short to wait for."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from exporter.cleanup.cleanup_board import CleanupBoard, PolicyStatus
from exporter.cleanup.deleter import Deleter
from exporter.cleanup.journal import Journal, open_journal
from exporter.cleanup.kill_switch import KillSwitch
from exporter.cleanup.limits import Limits, Pace, Pauses
from exporter.cleanup.plan import Rules
from exporter.cleanup.records import Deletion, Outcome, Run
from exporter.cleanup.run import PolicyOnCluster, Runner
from exporter.ontap.access import AccessOpener, ClusterAccess
from exporter.ontap.client import RequestCounts, open_session
from exporter.ontap.listing import PACKAGES_PATH
from exporter.simulator import SimulatedCluster, Simulator
from support.fleet import cluster_config

OLD = "2019-02-04T19:00:00+00:00"
POLICY = "retire-old"
EVERYTHING_OLD = Rules(
    keep_newest=None, older_than_seconds=86_400.0, include=("*",), exclude=(), max_deletes=100
)
QUICK = Limits(return_timeout_seconds=0, job_timeout_seconds=20.0, retry_busy_for_seconds=20.0)
QUICK_PAUSES = Pauses(first_seconds=0.01, factor=1.2, longest_seconds=0.05)
QUICK_PACE = Pace(job=QUICK_PAUSES, busy=QUICK_PAUSES, look=QUICK_PAUSES)


def cluster_with(*versions: str, **settings: object) -> SimulatedCluster:
    """Simulate a cluster that runs 9.14.1P2 and whose jobs take a moment."""
    packages = [(version, OLD) for version in versions]
    return SimulatedCluster("c1", packages=packages, job_seconds=0.02, **settings)  # type: ignore[arg-type]


@dataclass(slots=True, kw_only=True)
class Cleaning:
    """Everything that one policy on one cluster needs."""

    simulator: Simulator
    cluster: SimulatedCluster
    access: ClusterAccess
    journal: Journal
    board: CleanupBoard
    kill_switch: KillSwitch

    async def run(
        self, *, rules: Rules = EVERYTHING_OLD, dry_run: bool = False, limits: Limits = QUICK
    ) -> Run:
        """Make one run and return the journal's account of it."""
        subject = PolicyOnCluster(policy=POLICY, rules=rules, dry_run=dry_run, access=self.access)
        await self.runner().run(subject, self.deleter(limits))
        return (await self.journal.recent_runs(1))[0]

    def runner(self) -> Runner:
        return Runner(
            journal=self.journal, board=self.board, kill_switch=self.kill_switch, wall_clock=time.time
        )

    def deleter(self, limits: Limits = QUICK) -> Deleter:
        return Deleter(
            access=self.access,
            journal=self.journal,
            kill_switch=self.kill_switch,
            unanswered={},
            limits=limits,
            pace=QUICK_PACE,
            wall_clock=time.time,
        )

    async def outcomes(self, **settings: Limits) -> dict[str, Outcome | None]:
        """Make one run and return the outcome of every deletion."""
        run = await self.run(**settings)  # type: ignore[arg-type]
        return {deletion.version: deletion.outcome for deletion in run.deletions}

    @property
    def status(self) -> PolicyStatus:
        status = self.board.get(("c1", POLICY))
        assert status is not None
        return status

    def deletes(self, version: str = "") -> int:
        """Return how many DELETEs the cluster has received."""
        return len(self.cluster.requests_to(f"{PACKAGES_PATH}/{version}", method="DELETE"))


def only(run: Run) -> Deletion:
    """Return the one deletion of a run."""
    (deletion,) = run.deletions
    return deletion


def limits(**changes: float) -> Limits:
    """Return the quick limits with some changed."""
    return replace(QUICK, **changes)  # type: ignore[arg-type]


@asynccontextmanager
async def cleaning(cluster: SimulatedCluster, directory: Path) -> AsyncIterator[Cleaning]:
    """Serve a cluster and open a journal for as long as the context lasts."""
    async with (
        Simulator([cluster], directory=directory) as simulator,
        open_session() as session,
        open_journal(f"sqlite:///{directory}/state.db") as journal,
    ):
        config = cluster_config(cluster, simulator.ca_file)
        access = AccessOpener(session=session, counts=RequestCounts()).open([config])["c1"]
        board = CleanupBoard(on_change=lambda _: None)
        board.put(PolicyStatus(cluster="c1", labels=(), policy=POLICY, dry_run=False))
        yield Cleaning(
            simulator=simulator,
            cluster=cluster,
            access=access,
            journal=journal,
            board=board,
            kill_switch=KillSwitch(),
        )
