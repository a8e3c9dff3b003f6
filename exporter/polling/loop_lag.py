"""How long the event loop keeps a timer waiting: what every poll and every answer waits at least."""

from __future__ import annotations

import asyncio
import time
from typing import NoReturn

from exporter.polling.lateness import Lateness

INTERVAL_SECONDS = 0.05
REMEMBERED_SECONDS = 60.0
"""The longest lag is that of the last one to two times this."""
_REVIEW_INTERVALS = 20


class LoopLagMonitor:
    """Sets itself a timer again and again, and notes how late it goes off.

    Args:
        lateness: is reviewed once a second.
    """

    def __init__(self, lateness: Lateness) -> None:
        self._punctuality = lateness
        self._longest_now = 0.0
        self._longest_before = 0.0

    @property
    def longest_lag_seconds(self) -> float:
        """The longest lag of the last minute or two."""
        return max(self._longest_now, self._longest_before)

    async def run(self) -> NoReturn:
        """Go on until cancelled."""
        beat = 0
        renewed = time.monotonic()
        while True:
            expected = time.monotonic() + INTERVAL_SECONDS
            await asyncio.sleep(INTERVAL_SECONDS)
            now = time.monotonic()
            self._longest_now = max(self._longest_now, now - expected)
            if now - renewed >= REMEMBERED_SECONDS:
                self._longest_before, self._longest_now, renewed = self._longest_now, 0.0, now
            beat += 1
            if beat % _REVIEW_INTERVALS == 0:
                self._punctuality.review(asyncio.get_running_loop().time())
