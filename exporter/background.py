"""Keeps work from holding up the event loop.

Work that may block forever runs in threads, for which neither the event loop nor the exit waits. Long work
that has to run on the event loop does so in slices.
"""

from __future__ import annotations

import asyncio
import errno
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Hashable, Iterable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")

SLICE_SECONDS = 0.005


async def in_slices(items: Iterable[T], *, at_most: int = 50) -> AsyncIterator[T]:
    """Yield items one by one; every few milliseconds, other tasks run in between.

    No more than ``at_most`` come without a pause: what they cause may be handled only afterwards.
    """
    until = time.perf_counter() + SLICE_SECONDS  # the event loop's time stands still meanwhile
    for count, item in enumerate(items, 1):
        yield item
        if count % at_most == 0 or time.perf_counter() >= until:
            await asyncio.sleep(0)
            until = time.perf_counter() + SLICE_SECONDS


def begin(work: Callable[[], T], *, name: str) -> asyncio.Future[T]:
    """Start work in a new thread; the future gets its result or its exception.

    An executor is not used: the end of the program would wait for its threads, and work that hangs would soon
    occupy all of them.
    """
    future, run = _prepared(work)
    _start(run, future, name=name)
    return future


class SingleFlight(Generic[T]):
    """Does work in threads, at most one for each key: work on a mount that hangs may never end."""

    def __init__(self, *, name: str) -> None:
        self._name = name
        self._running: dict[Hashable, asyncio.Future[T]] = {}

    async def run(self, work: Callable[[], T], *, key: Hashable = None) -> T:
        """Return or raise what the work does; if work for this key is running, share its result."""
        if (running := self._running.get(key)) is None:
            running = self._running[key] = begin(work, name=self._name)
            running.add_done_callback(lambda _: self._running.pop(key))
        await asyncio.wait({running})  # unlike the future itself, this may be cancelled
        return running.result()

    def is_running(self, key: Hashable = None) -> bool:
        """Say whether work for this key has not ended."""
        return key in self._running


class Worker:
    """A thread that does work in the order in which it is begun; the program's end does not wait for it."""

    def __init__(self, *, name: str) -> None:
        self._name = name
        self._asked: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._is_started = False

    def begin(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Queue work for the thread; the future gets its result or its exception."""
        future, run = _prepared(work)
        self._is_started = self._is_started or _start(self._run, future, name=self._name)
        if self._is_started:
            self._asked.put(run)
        return future

    def end(self) -> None:
        """End the thread once the queue is empty; ``begin`` must not be called afterwards."""
        self._asked.put(None)

    def _run(self) -> None:
        while (run := self._asked.get()) is not None:
            run()
            del run  # else the last work stays in memory while the thread waits


def _prepared(work: Callable[[], T]) -> tuple[asyncio.Future[T], Callable[[], None]]:
    """Return a future, and what a thread does to give it the outcome of the work."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    future.add_done_callback(_retrieve_exception)

    def deliver(set_outcome: Callable[[], None]) -> None:
        if not future.done():
            set_outcome()

    def run() -> None:
        set_outcome: Callable[[], None]
        try:
            set_outcome = partial(future.set_result, work())
        except Exception as exc:  # noqa: BLE001 - it is raised again where the future is awaited
            # The future, the error and the frames of its traceback are in a cycle, which stays until the next
            # full garbage collection: at least without all that the work had in its hands.
            traceback.clear_frames(exc.__traceback__)
            set_outcome = partial(future.set_exception, exc)
        with suppress(RuntimeError):  # the event loop has been closed meanwhile
            loop.call_soon_threadsafe(deliver, set_outcome)

    return future, run


def _start(run: Callable[[], None], future: asyncio.Future[T], *, name: str) -> bool:
    """Start a thread; if there can be none, the future gets the reason."""
    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError as exc:
        future.set_exception(BlockingIOError(errno.EAGAIN, f"the system has no more threads: {exc}"))
        return False
    return True


def _retrieve_exception(future: asyncio.Future[T]) -> None:
    """Retrieve the exception of a future that nobody awaits; otherwise asyncio would log a warning."""
    if not future.cancelled():
        future.exception()


REFRESH_TIMEOUT_SECONDS = 1.0
"""How long reading a value again may take; after that, the value from before is used."""


class Refreshed(Generic[T]):
    """A value that a thread reads, and reads again when it is needed and too old.

    At most one thread reads it at a time. If that takes too long, the value from before is used: a disk that
    does not answer causes only a short delay.

    Args:
        read: reads the value.
        name: the name of the thread.
        max_age_seconds: how long the value is used before it is read again.
        refresh_timeout_seconds: how long reading the value again may take.
    """

    def __init__(
        self,
        read: Callable[[], T],
        *,
        name: str,
        max_age_seconds: float = 0.0,
        refresh_timeout_seconds: float,
    ) -> None:
        self._read = read
        self._name = name
        self._max_age_seconds = max_age_seconds
        self._refresh_timeout_seconds = refresh_timeout_seconds
        self._value: T | None = None
        self._value_begun = float("-inf")
        self._reading: asyncio.Future[T] | None = None
        self._reading_begun = 0.0

    def expire(self) -> None:
        """Read the value again before it is used the next time."""
        self._value_begun = float("-inf")

    async def get(self) -> T:
        """Return the value, read again if it is too old; raise what reading it raises."""
        clock = asyncio.get_running_loop().time
        if self._value is not None and clock() < self._value_begun + self._max_age_seconds:
            return self._value
        if self._reading is None:
            self._reading = begin(self._read, name=self._name)
            self._reading_begun = clock()
            self._reading.add_done_callback(self._end)
        reading = self._reading
        left_seconds = self._reading_begun + self._refresh_timeout_seconds - clock()
        await asyncio.wait({reading}, timeout=None if self._value is None else max(left_seconds, 0.0))
        if self._value is not None and not reading.done():
            return self._value
        return reading.result()

    def _end(self, reading: asyncio.Future[T]) -> None:
        self._reading = None
        if not reading.cancelled() and reading.exception() is None:
            self._value, self._value_begun = reading.result(), self._reading_begun
