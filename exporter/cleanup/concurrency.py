"""A semaphore whose limit can change, and a wait that cancellation does not cut short."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")


class ConcurrencyLimit:
    """A semaphore whose limit can change while some hold it and others wait.

    Args:
        limit: how many may hold it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._surplus = 0
        self._semaphore = asyncio.Semaphore(limit)

    def change(self, limit: int) -> None:
        """Change the limit; if more hold it than that, nobody acquires it until enough have released it."""
        self._surplus -= limit - self._limit
        self._limit = limit
        while self._surplus < 0:
            self._surplus += 1
            self._semaphore.release()

    async def acquire(self) -> None:
        """Wait until it can be held."""
        await self._semaphore.acquire()

    def release(self) -> None:
        """Let another one acquire it."""
        if self._surplus > 0:
            self._surplus -= 1
        else:
            self._semaphore.release()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


async def wait_uninterrupted(
    task: asyncio.Task[T], *, seconds: float | None = None
) -> asyncio.CancelledError | None:
    """Wait for the end of a task, however often waiting is cancelled.

    Args:
        task: is cancelled after some seconds.
        seconds: how many; None: it is never cancelled.

    Returns:
        The last cancellation, for the caller to raise; None if there was none.
    """
    clock = asyncio.get_running_loop().time
    end = float("inf") if seconds is None else clock() + seconds
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        left = end - clock()
        if left <= 0 and not task.cancelling():
            task.cancel()
        try:
            await asyncio.wait({task}, timeout=left if 0 < left < float("inf") else None)
        except asyncio.CancelledError as exc:
            cancelled = exc
    return cancelled
