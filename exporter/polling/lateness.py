"""Whether polls start when they are due, and how long the event loop keeps timers waiting.

Times are seconds of any one clock that never goes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import structlog

TOLERATED_SECONDS = 1.0
"""A poll that starts no later than this is on time, however short its interval."""
TOLERATED_PART = 0.1
"""A poll that starts within this part of its interval is on time too."""
RECOVERED_SECONDS = 60.0
"""Polls are on time again if none has been late for this long."""
REMEMBERED_SECONDS = 60.0
"""The longest lag is measured over this time at least, and twice this time at most."""
MONITOR_SECONDS = 2.0
"""How often the event loop's lag is measured if no poll is due."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Due:
    """A poll that is due and has not started yet."""

    since: float
    interval_seconds: float


class Lateness:
    """Records how late polls start, and the event loop's lag.

    The lag is how late a timer fires. Every poll and every answer waits at least that long.

    Attributes:
        missed: due times that were skipped because the poll before was still waiting or running.
    """

    def __init__(self) -> None:
        self.missed = 0
        self._latest_delay_seconds = 0.0
        self._late_until = float("-inf")
        self._logged_late = False
        self._waiting: set[_Due] = set()
        self._longest_lag_seconds = 0.0
        self._longest_lag_seconds_before = 0.0
        self._lag_renewed = float("-inf")

    @property
    def waiting(self) -> int:
        """How many polls are due and have not started."""
        return len(self._waiting)

    @property
    def longest_lag_seconds(self) -> float:
        """The event loop's longest lag of the last minute or two."""
        return max(self._longest_lag_seconds, self._longest_lag_seconds_before)

    def delay_seconds(self, now: float) -> float:
        """Return how late the latest poll started; if a waiting poll is later than that, how late it is."""
        waits = (now - due.since for due in self._waiting)
        return max(self._latest_delay_seconds, *waits, 0.0)

    def keeping_up(self, now: float) -> bool:
        """Say whether every poll that waits, or started within the last minute, is on time."""
        return now >= self._late_until and not any(
            _is_late(now - due.since, due.interval_seconds) for due in self._waiting
        )

    @contextmanager
    def awaited(self, *, due: float, interval_seconds: float) -> Iterator[None]:
        """Count a poll as waiting for as long as the context lasts."""
        entry = _Due(due, interval_seconds)
        self._waiting.add(entry)
        try:
            yield
        finally:
            self._waiting.remove(entry)

    def started(self, *, due: float, now: float, interval_seconds: float) -> None:
        """Record that a poll starts."""
        self._latest_delay_seconds = max(now - due, 0.0)
        if _is_late(self._latest_delay_seconds, interval_seconds):
            self._late_until = now + RECOVERED_SECONDS

    def woke(self, *, due: float, now: float) -> None:
        """Record that a timer has fired."""
        if now - self._lag_renewed >= REMEMBERED_SECONDS:
            self._longest_lag_seconds_before, self._longest_lag_seconds = self._longest_lag_seconds, 0.0
            self._lag_renewed = now
        self._longest_lag_seconds = max(self._longest_lag_seconds, now - due)

    def log_changes(self, now: float) -> None:
        """Log when polls begin to start late, and when they start on time again."""
        keeping_up = self.keeping_up(now)
        if keeping_up and self._logged_late:
            log.info("polls start on time again")
        elif not keeping_up and not self._logged_late:
            log.warning(
                "polls start late: more are due than this machine or max_concurrent_polls allows",
                delay_seconds=round(self.delay_seconds(now), 1),
                waiting=self.waiting,
            )
        self._logged_late = not keeping_up


async def monitor(lateness: Lateness, *, interval_seconds: float = MONITOR_SECONDS) -> NoReturn:
    """Measure the event loop's lag, and log when polls become late or are on time again, until cancelled.

    A long interval is enough: the timer of every poll measures the lag too.
    """
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + interval_seconds
        await asyncio.sleep(interval_seconds)
        lateness.woke(due=due, now=clock())
        lateness.log_changes(clock())


def _is_late(delay_seconds: float, interval_seconds: float) -> bool:
    return delay_seconds > max(TOLERATED_SECONDS, TOLERATED_PART * interval_seconds)
