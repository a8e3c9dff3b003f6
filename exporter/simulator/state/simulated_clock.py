"""The simulated clock: every delay and every job runs on it."""

import asyncio
import math
import time
from datetime import UTC, datetime, timedelta


class Broadcast:
    """Wakes all tasks that wait for a change."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify_all(self) -> None:
        """Wake all tasks that wait now."""
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def wait(self) -> None:
        """Wait until the next change."""
        await self._event.wait()


class SimulatedClock:
    """Simulated time: it starts at the real time, and runs `speed` times as fast.

    Args:
        speed: Simulated seconds in a real one: with 100, a job of 30 seconds takes 0.3; with 0, time stands
            still between calls of `advance`.
    """

    def __init__(self, *, speed: float = 1.0) -> None:
        self._start = datetime.now(UTC)
        self._origin = time.monotonic()
        self._speed = speed
        self._advanced_seconds = 0.0
        self._changed = Broadcast()

    def seconds(self) -> float:
        """Simulated seconds since the clock was made."""
        return (time.monotonic() - self._origin) * self._speed + self._advanced_seconds

    def now(self) -> datetime:
        """The simulated time, in UTC."""
        return self.time_at(self.seconds())

    def time_at(self, seconds: float) -> datetime:
        """The simulated time this many simulated seconds after the clock was made, in UTC."""
        return self._start + timedelta(seconds=seconds)

    def advance(self, seconds: float) -> None:
        """Jump ahead by this many simulated seconds."""
        self._advanced_seconds += seconds
        self.wake()

    def wake(self) -> None:
        """End every pause now, because something other than the time has changed."""
        self._changed.notify_all()

    async def pause(self, seconds: float) -> None:
        """Wait at most these simulated seconds, less after `advance` or `wake`; the caller checks again."""
        endless = self._speed == 0 or math.isinf(seconds)
        try:
            async with asyncio.timeout(None if endless else seconds / self._speed):
                await self._changed.wait()
        except TimeoutError:
            return

    async def sleep(self, seconds: float) -> None:
        """Wait this many simulated seconds."""
        end = self.seconds() + seconds
        while (left := end - self.seconds()) > 0:
            await self.pause(left)
