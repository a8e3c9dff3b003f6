"""The simulated clock: every delay, job and download runs on it.

A clock of speed 100 lets a job of 30 seconds take 0.3; one of speed 0 stands still until it is advanced.
"""

import asyncio
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Bell:
    """Wakes everyone who waits for something to change."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake all who wait now; who comes later waits for the next ring."""
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def heard(self, within_seconds: float | None = None) -> bool:
        """Wait for the next ring, at most `within_seconds` of real time; tell whether it rang."""
        event = self._event
        try:
            async with asyncio.timeout(within_seconds):
                await event.wait()
        except TimeoutError:
            return False
        return True

    async def until(self, condition: Callable[[], bool], *, timeout_seconds: float, what: str) -> None:
        """Wait until the condition holds, looking again at every ring.

        Raises:
            TimeoutError: It did not hold within `timeout_seconds` of real time; the text tells `what` was
                awaited.
        """
        deadline = time.monotonic() + timeout_seconds
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"waited {timeout_seconds} s for {what}")
            await self.heard(left)


class SimulatedClock:
    """Simulated time: real time from the moment of its making, times `speed`, plus what it was advanced by.

    Args:
        start: The simulated time at the moment of its making; the real time by default.
        speed: Simulated seconds in a real one; 0 lets it move by `advance` alone.
    """

    def __init__(self, *, start: datetime | None = None, speed: float = 1.0) -> None:
        self._start = start or datetime.now(UTC)
        self._origin = time.monotonic()
        self._speed = speed
        self._advanced_seconds = 0.0
        self._bell = Bell()

    def seconds(self) -> float:
        """Simulated seconds since the clock was made."""
        return (time.monotonic() - self._origin) * self._speed + self._advanced_seconds

    def now(self) -> datetime:
        """The simulated time, in the time zone of the start."""
        return self._start + timedelta(seconds=self.seconds())

    def advance(self, seconds: float) -> None:
        """Jump ahead by so many simulated seconds."""
        self._advanced_seconds += seconds
        self.nudge()

    def nudge(self) -> None:
        """Wake all who pause, because something else than the time changed."""
        self._bell.ring()

    async def pause(self, seconds: float) -> None:
        """Wait at most so many simulated seconds, less when nudged or advanced: callers look again."""
        if seconds <= 0:
            return
        endless = self._speed == 0 or math.isinf(seconds)
        await self._bell.heard(None if endless else seconds / self._speed)

    async def sleep(self, seconds: float) -> None:
        """Wait so many simulated seconds."""
        end = self.seconds() + seconds
        while (left := end - self.seconds()) > 0:
            await self.pause(left)
