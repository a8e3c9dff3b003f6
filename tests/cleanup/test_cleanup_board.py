"""What the board shows is counted only if all totals of the journal have been read of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from exporter.cleanup.cleanup_board import CleanupBoard, PolicyStatus
from exporter.cleanup.journal.totals import TotalsStore
from exporter.cleanup.records import Totals

STATUS = PolicyStatus(cluster="c1", labels=(), policy="old", dry_run=True)


class SlowTotals(TotalsStore):
    """Reads no totals, and meanwhile the cluster of the status is taken out and put again, once."""

    def __init__(self, board: CleanupBoard) -> None:
        self.board = board
        self.reloads = 1

    async def changed(self, since: float | None = None, *, per_query: int = 1) -> AsyncIterator[Totals]:
        if self.reloads:
            self.reloads -= 1
            self.board.keep([])
            self.board.put(STATUS)
        yield Totals(policies={}, durations={}, read_until=(since or 0.0) + per_query)


async def test_a_status_that_was_put_anew_during_a_reading_is_counted_after_the_next_one() -> None:
    board = CleanupBoard(on_change=lambda _: None)
    board.put(STATUS)
    totals = SlowTotals(board)
    for is_counted in (False, True):
        await board.read_totals(totals)
        status = board.get(STATUS.key)
        assert status is not None
        assert status.is_counted is is_counted
