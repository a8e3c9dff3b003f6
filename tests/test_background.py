"""Work in threads: in order, and a value from before is used while the only thread that reads it waits."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from contextlib import suppress
from functools import partial

import pytest

from exporter.background import Refreshed, SingleFlight, Worker, begin
from support.waiting import eventually

DEADLINE_SECONDS = 60.0


class Source:
    """Gives 1, 2, 3 and so on, while it answers."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.answers.set()
        self.reads = 0

    def read(self) -> int:
        self.reads += 1
        number = self.reads
        assert self.answers.wait(DEADLINE_SECONDS)
        return number


def refreshed(source: Source) -> Refreshed[int]:
    return Refreshed(source.read, name="numbers", max_age_seconds=3600.0, refresh_timeout_seconds=0.01)


async def test_where_the_system_has_no_thread_left_the_work_cannot_be_done_now() -> None:
    before = threading.stack_size(1 << 46)  # more than there is for any thread
    try:
        with pytest.raises(BlockingIOError, match="no more threads"):
            await begin(lambda: 1, name="work")
    finally:
        threading.stack_size(before)
    assert await begin(lambda: 1, name="work") == 1


async def test_a_worker_does_all_work_in_order_even_if_nobody_waits_and_then_ends() -> None:
    worker, answers = Worker(name="work"), threading.Event()
    done: list[int] = []

    def work(number: int) -> threading.Thread:
        assert answers.wait(DEADLINE_SECONDS)
        done.append(number)
        if number == 1:
            raise OSError("of the work")
        return threading.current_thread()

    first, second, third = (worker.begin(partial(work, number)) for number in range(3))
    worker.end()
    first.cancel()
    answers.set()
    async with asyncio.timeout(DEADLINE_SECONDS):
        with pytest.raises(OSError, match="of the work"):
            await second
        thread = await third
    assert done == [0, 1, 2]
    assert thread.daemon
    thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()


async def test_work_is_done_once_for_all_who_ask_while_it_runs_and_again_after_that() -> None:
    source = Source()
    source.answers.clear()
    flight: SingleFlight[int] = SingleFlight(name="numbers")
    asking = [asyncio.create_task(flight.run(source.read)) for _ in range(5)]
    await asyncio.sleep(0)
    assert flight.is_running()
    assert not flight.is_running("another")
    asking[0].cancel()
    source.answers.set()
    assert await asyncio.gather(*asking[1:]) == [1] * 4
    assert not flight.is_running()
    assert await flight.run(source.read) == 2


async def test_a_value_is_read_once_until_it_expires() -> None:
    source = Source()
    value = refreshed(source)
    assert await asyncio.gather(*(value.get() for _ in range(20))) == [1] * 20
    assert await value.get() == 1
    value.expire()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await value.get() == 1:
            pass
    assert source.reads == 2


async def test_while_a_thread_waits_the_value_from_before_serves_and_no_other_thread_begins() -> None:
    source = Source()
    value = refreshed(source)
    await value.get()
    source.answers.clear()
    for _ in range(3):
        value.expire()
        assert await value.get() == 1
    assert source.reads == 2
    source.answers.set()


async def test_a_value_of_no_age_is_read_whenever_it_is_needed_and_an_error_is_raised() -> None:
    numbers = [1]

    def read() -> int:
        if numbers:
            return numbers.pop()
        raise OSError("unreadable")

    value = Refreshed(read, name="numbers", refresh_timeout_seconds=DEADLINE_SECONDS)
    assert await value.get() == 1
    with pytest.raises(OSError, match="unreadable"):
        await value.get()


class Seen:
    """Something that work has in its hands."""


async def test_an_error_keeps_nothing_alive_that_its_work_has_seen() -> None:
    """Without the garbage collector: a refused configuration is as large as a good one."""
    kept: list[weakref.ref[Seen]] = []

    def work() -> None:
        seen = Seen()
        kept.append(weakref.ref(seen))
        raise ValueError("made up")

    async def is_freed() -> bool:
        return kept[0]() is None

    gc.disable()
    try:
        with suppress(ValueError):
            await begin(work, name="work")
        await eventually(is_freed, seconds=DEADLINE_SECONDS, what="the end of what the work has seen")
    finally:
        gc.enable()
