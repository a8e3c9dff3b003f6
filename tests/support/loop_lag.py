"""Measures for how long the event loop works at a stretch."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress

from benchmarks.loop_lag import LoopLag


@asynccontextmanager
async def loop_lag() -> AsyncIterator[LoopLag]:
    """Measure the loop's lag for as long as the context lasts, without garbage that other tests have left."""
    lag = LoopLag()
    gc.disable()
    task = asyncio.create_task(lag.measure())
    try:
        await asyncio.sleep(0)
        yield lag
        for _ in range(2):  # until the last stretch of work is measured too
            await asyncio.sleep(0)
    finally:
        gc.enable()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def longest_turn_seconds(work: Awaitable[object]) -> float:
    """Do some work; return the longest time that the event loop has worked at a stretch meanwhile."""
    async with loop_lag() as lag:
        await work
    return lag.longest_seconds
