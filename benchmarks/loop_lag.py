"""For how long the event loop works at a stretch."""

from __future__ import annotations

import asyncio
import time


class LoopLag:
    """How long the event loop has worked at a stretch.

    Attributes:
        longest_seconds: processor time of the loop's thread; what a busy machine adds is not part of it.
    """

    def __init__(self) -> None:
        self.longest_seconds = 0.0

    async def measure(self) -> None:
        """Measure until cancelled."""
        while True:
            begun = time.thread_time()
            await asyncio.sleep(0)
            self.longest_seconds = max(self.longest_seconds, time.thread_time() - begun)
