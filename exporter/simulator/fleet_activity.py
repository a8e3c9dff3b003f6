"""What goes on in a simulated fleet: packages arrive, updates run, and now and then something fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import NoReturn

from exporter.simulator.faults.fault import Fault, FaultKind
from exporter.simulator.ready_made_fleets import released_versions
from exporter.simulator.state.cluster_facts import Package, UpdateState
from exporter.simulator.state.simulated_cluster import SimulatedCluster
from exporter.simulator.state.simulated_jobs import JobOutcome, JobScript

STEP_SECONDS = 40.0
OLDEST_DAYS = 400
YOUNGEST_DAYS = 5
UNHEALTHY_NODE = 10551892
OUTAGE_EVERY = 4
FAILED_DELETION_EVERY = 5
UPDATE_EVERY = 7
"""Every this many steps, this happens; it is over at the next step."""


class FleetActivity:
    """Changes the clusters of a fleet step by step, always in the same way."""

    def __init__(self, clusters: Iterable[SimulatedCluster]) -> None:
        changing = tuple(clusters)
        self._steps = 0
        self._arriving = cycle(changing)
        self._troubled = cycle(reversed(changing))
        self._undo: list[Callable[[], None]] = []

    def step(self, now: datetime) -> None:
        """End what the last step began, let a package arrive, and perhaps begin something."""
        for undo in self._undo:
            undo()
        self._undo.clear()
        self._steps += 1
        cluster = next(self._arriving)
        version = self._arrive(cluster, now)
        if self._steps % FAILED_DELETION_EVERY == 0 and version is not None:
            cluster.job_scripts[version] = JobScript(outcome=JobOutcome.FAILURE, code=UNHEALTHY_NODE)
            self._undo.append(cluster.job_scripts.clear)
        if self._steps % OUTAGE_EVERY == 0:
            self._cut_off(next(self._troubled))
        if self._steps % UPDATE_EVERY == 0:
            self._update(next(self._troubled))

    async def run(self) -> NoReturn:
        """Make a step after each pause, until cancelled."""
        while True:
            await asyncio.sleep(STEP_SECONDS)
            self.step(datetime.now(UTC))

    def _arrive(self, cluster: SimulatedCluster, now: datetime) -> str | None:
        """Add a package that is not there; every other one is old already, as if it was loaded long ago."""
        held = set(cluster.versions)
        missing = [version for version, _ in released_versions(now) if version not in held]
        if not missing:
            return None
        version = missing[self._steps * 7 % len(missing)]
        age = timedelta(days=OLDEST_DAYS if self._steps % 2 else YOUNGEST_DAYS)
        cluster.add_package(Package(version, now - age))
        return version

    def _cut_off(self, cluster: SimulatedCluster) -> None:
        outage = Fault(FaultKind.RESET)
        cluster.faults.add(outage)
        self._undo.append(lambda: cluster.faults.remove(outage))

    def _update(self, cluster: SimulatedCluster) -> None:
        cluster.update_state = UpdateState.IN_PROGRESS

        def complete() -> None:
            cluster.update_state = UpdateState.COMPLETED

        self._undo.append(complete)
