"""Waiting that no cancellation hurries."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def wait_uninterrupted(task: asyncio.Task[T], *, seconds: float) -> None:
    """Wait for the end of a task, which is cancelled after some seconds, however often waiting is cancelled.

    The caller raises :class:`asyncio.CancelledError` afterwards where it was cancelled.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    while not task.done():
        left = end - clock()
        if left <= 0 and not task.cancelling():
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task}, timeout=left if left > 0 else None)
