"""Every client has its turn, and none can take another's."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from exporter.web.auth.fair_queue import FairQueue, TooManyWaitError


def note(order: list[str], name: str) -> bool:
    order.append(name)
    return True


async def held(queue: FairQueue) -> tuple[threading.Event, asyncio.Task[bool]]:
    """Begin a check that ends when the event is set."""
    begun, go_on = threading.Event(), threading.Event()

    def check() -> bool:
        begun.set()
        return go_on.wait(30)

    task = asyncio.create_task(queue.run("first", check))
    await asyncio.to_thread(begun.wait, 30)
    return go_on, task


async def test_a_client_waits_for_one_check_of_every_other() -> None:
    queue, order = FairQueue(), list[str]()
    go_on, first = await held(queue)
    names = ["a1", "a2", "a3", "b1", "a4", "c1"]
    tasks = [asyncio.create_task(queue.run(name[0], partial(note, order, name))) for name in names]
    await asyncio.sleep(0)
    go_on.set()
    assert all(await asyncio.gather(first, *tasks))
    assert order == ["a1", "b1", "c1", "a2", "a3", "a4"]


async def test_a_client_with_many_waiting_checks_has_to_wait_and_others_have_not() -> None:
    queue, order = FairQueue(), list[str]()
    go_on, first = await held(queue)
    tasks = [asyncio.create_task(queue.run("a", partial(note, order, "a"))) for _ in range(8)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyWaitError):
        await queue.run("a", partial(note, order, "one too many"))
    other = asyncio.create_task(queue.run("b", partial(note, order, "b")))
    await asyncio.sleep(0)
    go_on.set()
    assert all(await asyncio.gather(first, other, *tasks))
    assert order.index("b") == 1


async def test_only_so_many_clients_wait() -> None:
    queue, order = FairQueue(), list[str]()
    go_on, first = await held(queue)
    tasks = [asyncio.create_task(queue.run(f"client {n}", partial(note, order, ""))) for n in range(255)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyWaitError):
        await queue.run("one more", partial(note, order, "one too many"))
    go_on.set()
    assert all(await asyncio.gather(first, *tasks))


async def test_who_has_gone_away_is_passed_over() -> None:
    queue, order = FairQueue(), list[str]()
    go_on, first = await held(queue)
    gone = asyncio.create_task(queue.run("a", partial(note, order, "gone")))
    there = asyncio.create_task(queue.run("b", partial(note, order, "there")))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    go_on.set()
    assert await there
    assert await first
    assert order == ["there"]


async def test_a_check_that_breaks_breaks_for_its_client_alone() -> None:
    def broken() -> bool:
        raise ZeroDivisionError

    queue = FairQueue()
    with pytest.raises(ZeroDivisionError):
        await queue.run("a", broken)
    assert await queue.run("a", lambda: True)
