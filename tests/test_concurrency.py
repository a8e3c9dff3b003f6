"""A limit that changes counts at once, and a place that nobody takes is given to the next one."""

from __future__ import annotations

import asyncio

from exporter.concurrency import ConcurrencyLimit
from support.waiting import let_others_run


class Holders:
    """Tasks that acquire a limit, in order."""

    def __init__(self, limit: ConcurrencyLimit, count: int) -> None:
        self.held: list[int] = []
        self.tasks = [asyncio.create_task(self._hold(limit, number)) for number in range(count)]

    async def _hold(self, limit: ConcurrencyLimit, number: int) -> None:
        await limit.acquire()
        self.held.append(number)

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_a_lower_limit_counts_before_anybody_holds_it() -> None:
    limit = ConcurrencyLimit(4)
    limit.change(1)
    holders = Holders(limit, 3)
    await let_others_run()
    assert holders.held == [0]
    limit.release()
    await let_others_run()
    assert holders.held == [0, 1]
    await holders.end()


async def test_after_a_lower_limit_nobody_acquires_it_until_enough_have_released_it() -> None:
    limit = ConcurrencyLimit(3)
    holders = Holders(limit, 4)
    await let_others_run()
    assert holders.held == [0, 1, 2]
    limit.change(2)
    limit.release()
    await let_others_run()
    assert holders.held == [0, 1, 2]
    limit.release()
    await let_others_run()
    assert holders.held == [0, 1, 2, 3]


async def test_a_higher_limit_lets_those_in_who_wait() -> None:
    limit = ConcurrencyLimit(1)
    holders = Holders(limit, 3)
    await let_others_run()
    limit.change(3)
    await let_others_run()
    assert holders.held == [0, 1, 2]


async def test_who_is_cancelled_while_waiting_takes_no_place() -> None:
    limit = ConcurrencyLimit(1)
    holders = Holders(limit, 3)
    await let_others_run()
    holders.tasks[1].cancel()
    limit.release()
    await let_others_run()
    assert holders.held == [0, 2]


async def test_who_is_cancelled_when_the_turn_has_come_passes_it_on() -> None:
    limit = ConcurrencyLimit(1)
    holders = Holders(limit, 3)
    await let_others_run()
    limit.release()
    holders.tasks[1].cancel()
    await let_others_run()
    assert holders.held == [0, 2]
