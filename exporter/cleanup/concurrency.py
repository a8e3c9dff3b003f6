"""How cleanup shares: how many clusters are talked to at once, and how long the event loop is held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from time import perf_counter
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")

SLICE_SECONDS = 0.005


async def in_slices(items: Iterable[T], *, at_most: int | None = None) -> AsyncIterator[T]:
    """Give items one by one; every few milliseconds, the event loop does something else.

    Args:
        items: all of them.
        at_most: so many without a pause, where each wakes a task that has work of its own; None: any number.
    """
    until = perf_counter() + SLICE_SECONDS
    for count, item in enumerate(items, 1):
        yield item
        if perf_counter() >= until or (at_most and count % at_most == 0):
            await asyncio.sleep(0)
            until = perf_counter() + SLICE_SECONDS


class ConcurrencyLimit:
    """A semaphore whose limit can change while some hold it and others wait.

    Args:
        limit: how many may hold it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._owed = 0
        self._semaphore = asyncio.Semaphore(limit)

    def change(self, limit: int) -> None:
        """Let so many hold it from now on; where that is fewer than do, nobody is let in until they are."""
        self._owed -= limit - self._limit
        self._limit = limit
        while self._owed < 0:
            self._owed += 1
            self._semaphore.release()

    async def acquire(self) -> None:
        """Wait until it can be held."""
        await self._semaphore.acquire()

    def release(self) -> None:
        """Let somebody else hold it."""
        if self._owed > 0:
            self._owed -= 1
        else:
            self._semaphore.release()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()
