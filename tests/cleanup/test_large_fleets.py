"""However many clusters there are, the event loop is held for milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from time import thread_time

import pytest

from exporter.cleanup.cleanup_board import NO_TOTALS, CleanupBoard, LeaseStatus, PolicyStatus
from exporter.cleanup.records import Totals

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
    await board.with_totals(Totals(policies=policies, durations=None, read_until=0.0))


async def remember(board: CleanupBoard) -> None:
    await board.remember()


async def longest_turn(doing: Awaitable[None]) -> float:
    """Return how much CPU time the event loop used at most until it came to other work, in seconds."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        before = thread_time()
        while True:
            await asyncio.sleep(0)
            longest = max(longest, thread_time() - before)
            before = thread_time()

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    await doing
    await asyncio.sleep(0)
    watching.cancel()
    return longest


@pytest.mark.parametrize("change", [show_leases, show_totals, remember])
async def test_what_changes_on_all_clusters_is_shown_bit_by_bit(
    change: Callable[[CleanupBoard], Awaitable[None]],
) -> None:
    board = new_board()
    for status in statuses():
        board.put(status)
    assert await longest_turn(change(board)) < TURN_SECONDS
