"""Measures cleanup of a large fleet: how it takes the clusters up, a reload, and a restart.

Usage: ``python -m benchmarks.cleanup_fleet --clusters 1000 --directory DIRECTORY [--turns]``

Cleanup is put together as in the daemon: configuration file, accesses, rendered metrics, and a SQLite journal
on disk. Three policies apply to every cluster. They are due months ahead, so nothing is sent to any cluster;
what polls find is made up. For each step, a line says what it cost.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import create_engine, insert

from benchmarks.fake_fleet import PACKAGES, address
from benchmarks.loop_lag import LoopLag
from benchmarks.processes import python, status_of
from exporter.app.cleanup_manager import CleanupManager
from exporter.app.event_loop import fast_loop_factory
from exporter.app.garbage_collection import FullCollections
from exporter.background import begin, in_slices
from exporter.cleanup.cleanup_board import CleanupBoard, PolicyStatus
from exporter.cleanup.delete.limits import Pace
from exporter.cleanup.journal.tables import POLICIES, RUNS
from exporter.cleanup.kill_switch import KillSwitch
from exporter.config import load_config
from exporter.ontap.access import AccessOpener, ClusterAccess
from exporter.ontap.client import RequestCounts
from exporter.ontap.requests.facts import ClusterIdentity
from exporter.ontap.requests.inventory import Inventory
from exporter.ontap.requests.listing import Listing, Package
from exporter.ontap.session import open_session

TAKE_UP = "take up"
RELOAD = "reload"
RESTART = "restart"
STEPS = (TAKE_UP, RELOAD, RESTART)
EDITED = "edited"
POLICY_NAMES = (EDITED, "second", "third")

_MIB = 2**20
_LONGEST_STEP_SECONDS = 600.0
_LOOK_EVERY_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one step cost.

    Attributes:
        cpu_seconds: of the process, in all its threads.
        growth_bytes: from the resident memory before the step to the largest in it.
        longest_turn_seconds: the longest that the event loop worked at a stretch, in CPU time of its thread;
            0 where that was not measured.
    """

    cpu_seconds: float
    growth_bytes: int
    longest_turn_seconds: float

    def __str__(self) -> str:
        """Write it for people."""
        return (
            f"{self.cpu_seconds:.2f} s of CPU, {self.growth_bytes / _MIB:.0f} MiB more, "
            f"longest turn {1000 * self.longest_turn_seconds:.0f} ms"
        )


def measure(*, clusters: int) -> dict[str, Step]:
    """Return what each step cost with this many clusters.

    The turns are measured in a process of their own, because measuring them takes CPU time.

    Raises:
        NotMeasuredError: a process has ended early, or is silent.
    """
    costs, turns = (_measured(f"--clusters={clusters}", *more) for more in ((), ("--turns",)))
    return {
        name: replace(cost, longest_turn_seconds=turns[name].longest_turn_seconds)
        for name, cost in costs.items()
    }


def _measured(*arguments: str) -> dict[str, Step]:
    with (
        tempfile.TemporaryDirectory(prefix="ontap-packages-benchmark-") as directory,
        python("benchmarks.cleanup_fleet", f"--directory={directory}", *arguments) as process,
    ):
        lines = {
            name: process.line_with(f"^{name}: (.+)$", within_seconds=_LONGEST_STEP_SECONDS) for name in STEPS
        }
    return {name: Step(**json.loads(line)) for name, line in lines.items()}


class _Fleet:
    """Made-up clusters in a configuration file, and the cleanup of them."""

    def __init__(
        self, directory: Path, *, clusters: int, group: asyncio.TaskGroup, opener: AccessOpener
    ) -> None:
        self._config_file = directory / "config.yaml"
        self._journal_file = directory / "state.db"
        names = [f"cluster-{number:05}" for number in range(clusters)]
        self._uuids = {name: f"{number:08x}-0000-4000-8000-000000000000" for number, name in enumerate(names)}
        self._inventories = {name: _inventory(name, uuid) for name, uuid in self._uuids.items()}
        self._group = group
        self._opener = opener
        self.start()

    def start(self) -> None:
        """Begin as a process does that has just started."""
        self._accesses: Mapping[str, ClusterAccess] = {}
        self._manager = CleanupManager(
            group=self._group, shard="0/1", kill_switch=KillSwitch(active=False), pace=Pace()
        )

    async def stop(self) -> None:
        """Stop cleanup, and wait until the journal is closed."""
        await self._manager.apply(None, {})

    def write_configuration(self, *, month: int) -> None:
        """Write the configuration; the policy that is edited runs in this month, the others in the next."""
        clusters = "".join(
            f"  - {{name: {name}, address: '{address(number)}:1'}}\n"
            for number, name in enumerate(self._inventories)
        )
        policies = "".join(
            f"    - {{name: {name}, keep_newest: 3, schedule: '0 3 1 {month + (name != EDITED)} *'}}\n"
            for name in POLICY_NAMES
        )
        self._config_file.write_text(
            "defaults: {poll_interval: 1h, basic_auth: {username: monitor, password: made-up}}\n"
            f"clusters:\n{clusters}cleanup:\n  state: sqlite:///{self._journal_file}\n  policies:\n{policies}"
        )

    async def load(self) -> None:
        """Read the configuration and apply it."""
        config = await begin(lambda: load_config(self._config_file, environ={}), name="read-configuration")
        self._accesses = await self._opener.reopen(config.clusters, before=self._accesses)
        await self._manager.apply(config.cleanup, self._accesses)

    async def poll(self) -> None:
        """Note a good poll of every cluster."""
        async for name, inventory in in_slices(self._inventories.items()):
            self._manager.note_good_poll(name, inventory)

    @property
    def _board(self) -> CleanupBoard:
        sources = self._manager.sources
        if sources is None:
            raise SystemExit("cleanup is not configured")
        return sources.board

    def next_runs(self) -> dict[str, float | None]:
        """Return when the policy that is edited runs next on each cluster."""
        statuses = (status for status in self._board.statuses() if status.policy == EDITED)
        return {status.cluster: status.next_run_timestamp_seconds for status in statuses}

    async def until(self, condition: Callable[[PolicyStatus], bool]) -> None:
        """Wait until the status of every policy on every cluster meets a condition."""
        async with asyncio.timeout(_LONGEST_STEP_SECONDS):
            async for status in in_slices(self._board.statuses()):
                while (now := self._board.get(status.key)) is None or not condition(now):  # noqa: ASYNC110 - no event
                    await asyncio.sleep(_LOOK_EVERY_SECONDS)

    async def until_noted(self, *, since: float) -> None:
        """Wait until the journal has noted what every cluster lists, since a moment in Unix seconds."""
        counting = "SELECT count(*) FROM cleanup_clusters WHERE listed_timestamp_seconds >= ?"
        with contextlib.closing(sqlite3.connect(self._journal_file)) as journal:
            async with asyncio.timeout(_LONGEST_STEP_SECONDS):
                while journal.execute(counting, (since,)).fetchone()[0] < len(self._inventories):  # noqa: ASYNC110 - no event
                    await asyncio.sleep(_LOOK_EVERY_SECONDS)

    def record_runs(self) -> None:
        """Write into the journal that each policy has made a run on each cluster an hour ago."""
        now = time.time()
        ended = {
            "last_started_timestamp_seconds": now - 3600,
            "last_ended_timestamp_seconds": now - 3599,
            "last_success": True,
            "last_failure": "",
        }
        run = {
            "dry_run": True,
            "started_timestamp_seconds": now - 3600,
            "ended_timestamp_seconds": now - 3599,
            "success": True,
            "failure": "",
            "error": "",
            "plan": "",
        }
        keys = [(name, uuid, policy) for name, uuid in self._uuids.items() for policy in POLICY_NAMES]
        totals = {"changed_seconds": now, "candidates": 0, **ended}
        engine = create_engine(f"sqlite:///{self._journal_file}")
        with engine.begin() as connection:
            rows = [{"cluster": name, "policy": policy, **totals} for name, _, policy in keys]
            connection.execute(insert(POLICIES), rows)
            rows = [
                {"cluster_uuid": uuid, "cluster": name, "policy": policy, **run}
                for name, uuid, policy in keys
            ]
            connection.execute(insert(RUNS), rows)
        engine.dispose()


def _inventory(name: str, uuid: str) -> Inventory:
    packages = tuple(
        Package(version=f"9.{8 + index // 5}.1P{index % 5}", create_timestamp_seconds=1.7e9 + 604_800 * index)
        for index in range(PACKAGES)
    )
    identity = ClusterIdentity(name=name, uuid=uuid, ontap_version="9.14.1")
    listing = Listing(packages=packages, pages=1, unnamed=0)
    return Inventory(listing=listing, identity=identity, versions_in_use=frozenset())


def _resident_bytes(kind: str) -> int:
    """Return the resident memory: ``VmRSS``, that of now; ``VmHWM``, the largest."""
    return int(status_of(os.getpid())[kind].split()[0]) * 1024


def _forget_largest() -> None:
    """Let the largest resident memory be that of now."""
    Path("/proc/self/clear_refs").write_text("5")


@asynccontextmanager
async def _printed(name: str, *, measures_turns: bool) -> AsyncIterator[None]:
    """Print what a step has cost."""
    turns = LoopLag()
    task = asyncio.create_task(turns.measure()) if measures_turns else None
    _forget_largest()
    resident_bytes = _resident_bytes("VmRSS")
    begun = time.process_time()
    yield
    step = Step(
        cpu_seconds=time.process_time() - begun,
        growth_bytes=_resident_bytes("VmHWM") - resident_bytes,
        longest_turn_seconds=turns.longest_seconds,
    )
    if task is not None:
        task.cancel()
    print(f"{name}: {json.dumps(asdict(step))}", flush=True)


async def _run(directory: Path, *, clusters: int, measures_turns: bool) -> None:
    # The one full collection, two minutes after the start, is not part of any step.
    collections = FullCollections(seconds=len(STEPS) * _LONGEST_STEP_SECONDS)
    collections.hold_off()
    # Neither a month that is near nor the December before it, however long this takes.
    month = 6 if datetime.now(tz=UTC).month in {10, 11, 12, 1, 2} else 10
    async with open_session() as session, asyncio.TaskGroup() as group:
        opener = AccessOpener(session=session, counts=RequestCounts())
        fleet = _Fleet(directory, clusters=clusters, group=group, opener=opener)
        fleet.write_configuration(month=month)
        await fleet.load()
        await fleet.until(lambda status: status.is_counted)
        began = time.time()
        async with _printed(TAKE_UP, measures_turns=measures_turns):
            await fleet.poll()
            await fleet.until(_is_scheduled)
            await fleet.until_noted(since=began)
        before = fleet.next_runs()
        fleet.write_configuration(month=month + 1)
        async with _printed(RELOAD, measures_turns=measures_turns):
            await fleet.load()
            await fleet.poll()
            await fleet.until(
                lambda status: (
                    status.policy != EDITED or status.next_run_timestamp_seconds != before[status.cluster]
                )
            )
        await fleet.stop()
        fleet.record_runs()
        fleet.start()
        began = time.time()
        async with _printed(RESTART, measures_turns=measures_turns):
            await fleet.load()
            await fleet.poll()
            await fleet.until(lambda status: status.totals.last_success is True and _is_scheduled(status))
            await fleet.until_noted(since=began)
        await fleet.stop()
    collections.stop()


def _is_scheduled(status: PolicyStatus) -> bool:
    return status.next_run_timestamp_seconds is not None


def main() -> None:
    """Measure one fleet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clusters", type=int, required=True)
    parser.add_argument("--directory", type=Path, required=True, help="for configuration and journal")
    parser.add_argument("--turns", action="store_true", help="measure the event loop's turns")
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=fast_loop_factory()) as runner:
        runner.run(_run(arguments.directory, clusters=arguments.clusters, measures_turns=arguments.turns))


if __name__ == "__main__":
    main()
