"""However many clusters there are, the event loop is held for milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import thread_time, time

import pytest

from exporter.cleanup.cleanup_board import NO_TOTALS, CleanupBoard, LeaseStatus, PolicyStatus
from exporter.cleanup.kill_switch import KillSwitch, boot_time
from exporter.cleanup.records import Totals
from exporter.cleanup.service import CleanupService
from exporter.config import CleanupConfig, SqliteUrl
from exporter.ontap.access import AccessOpener
from exporter.ontap.client import RequestCounts
from exporter.ontap.requests.facts import ClusterIdentity
from exporter.ontap.requests.inventory import Inventory
from exporter.ontap.requests.listing import Listing, Package
from exporter.ontap.session import open_session
from exporter.simulator import SimulatedCluster, Simulator
from support.cleaning import POLICY, QUICK_PACE, changed
from support.loop_lag import longest_turn_seconds
from support.polled_fleet import cluster_config
from support.waiting import eventually

COUNT = 300
EACH_SECONDS = 0.001
"""So much work is every change of what is shown."""
TURN_SECONDS = 0.05


def work(_: object) -> None:
    end = thread_time() + EACH_SECONDS
    while thread_time() < end:
        pass


def new_board() -> CleanupBoard:
    return CleanupBoard(on_change=work, on_lease=work)


def statuses() -> list[PolicyStatus]:
    names = (f"c{number}" for number in range(COUNT))
    return [PolicyStatus(cluster=name, labels=(), policy="old", dry_run=True) for name in names]


async def show_leases(board: CleanupBoard) -> None:
    await board.put_leases(LeaseStatus(cluster=one.cluster, labels=(), held=True) for one in statuses())


async def show_totals(board: CleanupBoard) -> None:
    totals = replace(NO_TOTALS, candidates=1)
    policies = {one.key: totals for one in statuses()}
    await board.put_totals(Totals(policies=policies, durations=None, read_until=0.0))


async def mark_counted(board: CleanupBoard) -> None:
    await board.mark_counted([one.key for one in statuses()])


@pytest.mark.parametrize("change", [show_leases, show_totals, mark_counted])
async def test_what_changes_on_all_clusters_is_shown_bit_by_bit(
    change: Callable[[CleanupBoard], Awaitable[None]],
) -> None:
    board = new_board()
    for status in statuses():
        board.put(status)
    assert await longest_turn_seconds(change(board)) < TURN_SECONDS


def inventory(number: int) -> Inventory:
    packages = tuple(Package(version=f"9.{minor}.1", create_timestamp_seconds=1.0) for minor in range(3))
    identity = ClusterIdentity(name=f"c{number}", uuid=f"uuid-{number}", ontap_version="9.14.1")
    listing = Listing(packages=packages, pages=1, unnamed=0)
    return Inventory(listing=listing, identity=identity, versions_in_use=frozenset())


async def test_a_fleet_is_taken_up_and_reconfigured_bit_by_bit(tmp_path: Path) -> None:
    """Each cluster's cleaner shows when it runs next, which is a millisecond of work here."""
    cluster = SimulatedCluster("c0")
    names = [f"c{number}" for number in range(COUNT)]
    at_new_year = changed(POLICY, schedule="0 3 1 1 *", every=None, seen_for=timedelta(days=7))
    in_july = changed(at_new_year, schedule="0 3 1 7 *")
    next_runs: dict[str, float] = {}

    def show(status: PolicyStatus) -> None:
        due = status.next_run_timestamp_seconds
        if due is not None and due != next_runs.get(status.cluster):
            next_runs[status.cluster] = due
            work(status)

    async with Simulator([cluster], directory=tmp_path) as simulator, open_session() as session:
        one = cluster_config(cluster, simulator.ca_file)
        opener = AccessOpener(session=session, counts=RequestCounts())
        accesses = opener.open([replace(one, name=name) for name in names])
        config = CleanupConfig(state=SqliteUrl(path=tmp_path / "state.db"), policies=[at_new_year])
        service = CleanupService(
            config=config,
            board=CleanupBoard(on_change=show),
            kill_switch=KillSwitch(),
            pace=QUICK_PACE,
            clock=boot_time,
            wall_clock=time,
        )

        async def take_up_and_reconfigure() -> None:
            await service.configure(config, accesses)
            for number, name in enumerate(names):
                service.note_good_poll(name, inventory(number))
            running = asyncio.create_task(service.run())

            async def all_are_shown() -> bool:
                return len(next_runs) == COUNT

            await eventually(all_are_shown, seconds=60, what="every next run")
            before = set(next_runs.values())

            async def all_are_changed() -> bool:
                return not before & set(next_runs.values())

            await service.configure(config.model_copy(update={"policies": [in_july]}), accesses)
            await eventually(all_are_changed, seconds=60, what="every other next run")
            running.cancel()
            await asyncio.wait({running})

        assert await longest_turn_seconds(take_up_and_reconfigure()) < TURN_SECONDS
        assert cluster.requests == ()
