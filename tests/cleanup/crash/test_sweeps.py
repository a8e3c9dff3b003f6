"""Killed again and again at moments that chance picks, the daemon loses no deletion and counts none twice.

The clusters are busy at times, lose answers and reset connections, and some of their jobs fail. Each sweep
aims at another kind of moment; all are followed by one life without faults, and by the whole account.

`CRASH_KILLS=500 pytest tests/cleanup/crash/test_sweeps.py` kills so often in each sweep; then give
`--timeout=0` as well. `CRASH_SEED` picks other moments. `--log-cli-level=info` shows where the kills hit.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from cleanup.crash.scene import Scene, cluster_of, scene
from cleanup.crash.state import Fact, Position

from exporter.cleanup.records import Phase
from exporter.ontap.facts import DOWNLOAD_PATH
from exporter.ontap.jobs import JOBS_PATH
from exporter.ontap.listing import PACKAGES_PATH
from exporter.simulator import Fault, FaultKind, JobOutcome, JobScript, ReceivedRequest, SimulatedCluster

KILLS = int(os.environ.get("CRASH_KILLS", "9"))
SEED = os.environ.get("CRASH_SEED", "1")
CLUSTERS = ("c1", "c2", "c3")
SUPPLY = 5
WAIT_SECONDS = 60.0
LONGEST_DELAY_SECONDS = 0.05
LONGEST_LIFE_SECONDS = 3.0
COMMIT_LOOK_SECONDS = 0.0003
BUSY = 10551367

FACTS = {
    "run begun": ("run", "begun"),
    "deletion intended": ("deletion", Phase.INTENDED),
    "deletion waiting": ("deletion", Phase.WAITING),
    "deletion followed": ("deletion", Phase.FOLLOWED),
    "deletion ended": ("deletion", Phase.ENDED),
    "run ended": ("run", "ended"),
}
"""Everything that the journal comes to hold."""

log = logging.getLogger(__name__)

Aim = Callable[[Scene], Awaitable[None]]
"""Waits for the moment of a kill."""


class Sometimes(Fault):
    """A fault that strikes by chance."""

    chance: random.Random
    probability: float

    def matches(self, method: str, path: str, page: int | None) -> bool:
        return super().matches(method, path, page) and self.chance.random() < self.probability


def troubles(chance: random.Random) -> Iterator[Fault]:
    """Give everything that goes wrong on a cluster at times."""

    def sometimes(probability: float, kind: FaultKind, **settings: object) -> Fault:
        class Now(Sometimes):
            pass

        Now.chance, Now.probability = chance, probability
        return Now(kind, **settings)  # type: ignore[arg-type]

    yield sometimes(0.7, FaultKind.LATENCY, method="DELETE", seconds=0.03)
    yield sometimes(0.3, FaultKind.LATENCY, path=DOWNLOAD_PATH, seconds=0.03)
    yield sometimes(0.2, FaultKind.DELETE_ERROR, code=BUSY)
    yield sometimes(0.15, FaultKind.LOST_ANSWER, method="DELETE")
    yield sometimes(0.1, FaultKind.RESET, method="DELETE")
    yield sometimes(0.1, FaultKind.TRUNCATED_JSON, method="DELETE")
    yield sometimes(0.1, FaultKind.SLOW_BODY, method="DELETE", seconds=0.2)
    yield sometimes(0.1, FaultKind.JOB_FAILURE, code=10551326)
    yield sometimes(0.1, FaultKind.JOB_FAILURE, code=BUSY)
    yield sometimes(0.1, FaultKind.RESET, path=JOBS_PATH)
    yield sometimes(0.02, FaultKind.SERVER_ERROR, path=PACKAGES_PATH, method="GET")


def at_fact(chance: random.Random) -> Iterator[Aim]:
    """Aim at what comes up in the journal, one kind after the other: at once first, then a while later."""
    for number in itertools.count():
        for kind in FACTS:
            delay_seconds = chance.uniform(0.0, LONGEST_DELAY_SECONDS) if number else 0.0
            yield fact_aim(kind, number=1 + number % 2, delay_seconds=delay_seconds)


def fact_aim(kind: str, *, number: int, delay_seconds: float) -> Aim:
    """Aim at the moment after a fact has come up so many times, about runs and deletions of this life."""

    async def aim(it: Scene) -> None:
        resumed = {("deletion", row.id) for row in it.left.unended}
        resumed |= {("run", run_id) for run_id in it.left.runs_going_on}

        def wanted(fact: Fact) -> bool:
            return (fact[0], fact[2]) == FACTS[kind] and fact[:2] not in resumed

        for cluster in it.simulator.clusters:
            # Whatever comes next takes a moment, so that the kill comes first.
            cluster.faults.add(
                Fault(FaultKind.LATENCY, path=DOWNLOAD_PATH, seconds=LONGEST_DELAY_SECONDS),
                Fault(FaultKind.LATENCY, method="DELETE", seconds=LONGEST_DELAY_SECONDS),
            )
            if kind == "deletion waiting":
                cluster.faults.clear()
                cluster.faults.add(Fault(FaultKind.DELETE_ERROR, code=BUSY, times=1))
        await it.file.until_new(wanted, before=it.left, number=number, seconds=WAIT_SECONDS)
        await asyncio.sleep(delay_seconds)

    return aim


def at_request(chance: random.Random) -> Iterator[Aim]:
    """Aim at requests that one of the clusters receives, one kind after the other."""
    kinds = (("DELETE", PACKAGES_PATH), ("GET", PACKAGES_PATH), ("GET", JOBS_PATH), ("GET", DOWNLOAD_PATH))
    for number in itertools.count(1):
        for method, path in kinds:
            delay_seconds = chance.choice((0.0, chance.uniform(0.0, LONGEST_DELAY_SECONDS)))
            yield request_aim(method, path, number=1 + number % 3, delay_seconds=delay_seconds)


def request_aim(method: str, path: str, *, number: int, delay_seconds: float) -> Aim:
    async def aim(it: Scene) -> None:
        begun = {cluster.name: cluster.log.count for cluster in it.simulator.clusters}

        async def received(cluster: SimulatedCluster) -> None:
            def met(request: ReceivedRequest) -> bool:
                new = request.number > begun[cluster.name]
                return new and request.method == method and request.path.startswith(path)

            await cluster.log.wait(met, number, WAIT_SECONDS)

        waits = [asyncio.create_task(received(cluster)) for cluster in it.simulator.clusters]
        try:
            await next(asyncio.as_completed(waits))
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        await asyncio.sleep(delay_seconds)

    return aim


def at_moment(chance: random.Random) -> Iterator[Aim]:
    """Aim at any moment of a life from its very start, and at the midst of a commit, by turns."""
    while True:
        yield time_aim(chance.uniform(0.5, LONGEST_LIFE_SECONDS))
        yield commit_aim(chance.randint(1, 25))
        yield commit_aim(chance.randint(1, 5))


def time_aim(seconds: float) -> Aim:
    async def aim(it: Scene) -> None:
        del it
        await asyncio.sleep(seconds)

    return aim


def commit_aim(number: int) -> Aim:
    """Aim at the moment when the file that commits go to has changed so many times."""

    async def aim(it: Scene) -> None:
        def written() -> tuple[int, int]:
            try:
                status = it.file.log.stat()
            except FileNotFoundError:
                return 0, 0
            return status.st_size, status.st_mtime_ns

        async with asyncio.timeout(WAIT_SECONDS):
            for _ in range(number):
                before = written()
                while written() == before:  # noqa: ASYNC110 - no event crosses a process
                    await asyncio.sleep(COMMIT_LOOK_SECONDS)

    return aim


SWEEPS = {
    "facts": (at_fact, frozenset(Position)),
    "requests": (at_request, frozenset({Position.INTENDED, Position.FOLLOWED})),
    "moments": (at_moment, frozenset({Position.NOTHING, Position.FOLLOWED})),
}
"""What each sweep aims at, and where its kills have to hit at least."""


@pytest.mark.parametrize("name", SWEEPS)
async def test_killed_again_and_again(name: str, tmp_path: Path) -> None:
    aims, expected = SWEEPS[name]
    chance = random.Random(f"{SEED} {name}")  # noqa: S311 - chance, not secrecy
    clusters = [cluster_of(cluster, job_seconds=0.1) for cluster in CLUSTERS]
    async with scene(clusters, tmp_path) as it:
        for aim in itertools.islice(aims(chance), KILLS):
            for cluster in clusters:
                it.supply(cluster, SUPPLY)
                cluster.faults.clear()
                cluster.faults.add(*troubles(chance))
                times_out = JobScript(outcome=JobOutcome.FAILURE, code=10551388, takes_effect=True)
                cluster.job_scripts[chance.choice([str(version) for version in cluster.versions])] = times_out
            async with it.life() as life, it.watching(life):
                await life.outlives(aim(it))
                await it.kill(life)
        await it.end_undisturbed()
        told = {str(position): count for position, count in sorted(it.positions.items())}
        log.info("%d kills of %d clusters hit: %s", it.kills, len(clusters), told)
        assert it.kills == KILLS
        assert set(it.positions) >= expected, told
