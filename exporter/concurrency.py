"""A semaphore with a changeable limit, waits that cancellation does not end, and stray cancellations."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")


class ConcurrencyLimit:
    """A semaphore whose limit can change while some hold it and others wait."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def change(self, limit: int) -> None:
        """Change the limit; if more hold it than that, nobody acquires it until enough have released it."""
        self._limit = limit
        self._admit()

    async def acquire(self) -> None:
        """Wait until it can be held; who has waited longest is first."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the turn had come
                self.release()
            raise

    def release(self) -> None:
        """Let another one acquire it."""
        self._held -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._held < self._limit:
            turn = self._waiting.popleft()
            if not turn.cancelled():
                self._held += 1
                turn.set_result(None)

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def is_being_cancelled() -> bool:
    """Say whether somebody has cancelled the current task, not only something that it has awaited."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


@contextmanager
def no_stray_cancellation() -> Iterator[None]:
    """Turn a cancellation that nobody asked for into an error: it would end the task without a word.

    Raises:
        RuntimeError: something that was awaited has been cancelled, but not the current task.
    """
    try:
        yield
    except asyncio.CancelledError as exc:
        if is_being_cancelled():
            raise
        raise RuntimeError("what was awaited was cancelled, but this task was not") from exc


async def wait_uninterrupted(
    task: asyncio.Task[T], *, seconds: float | None = None
) -> asyncio.CancelledError | None:
    """Wait for the end of a task, however often waiting is cancelled; cancel the task after some seconds.

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
