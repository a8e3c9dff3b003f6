"""How many polls run at once may change while some run and others wait."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from exporter.polling.limiter import PollLimiter
from support.waiting import let_others_run


async def test_a_change_counts_for_polls_that_run_or_wait_already() -> None:
    limiter = PollLimiter(4)
    running, waited = 0, asyncio.Event()

    async def poll() -> None:
        nonlocal running
        async with limiter.slot(silent=False):
            running += 1
            await waited.wait()
            running -= 1

    polls = [asyncio.create_task(poll()) for _ in range(10)]
    await let_others_run()
    assert running == 4
    limiter.limit(6)
    await let_others_run()
    assert running == 6
    limiter.limit(1)
    waited.set()
    await asyncio.gather(*polls)
    waited.clear()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(limiter.slot(silent=True))
        late = asyncio.create_task(poll())
        await let_others_run()
        assert running == 0
    waited.set()
    await late
