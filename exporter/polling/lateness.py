"""Whether polls start when they are due, and what the log tells where they do not.

Times are seconds of any one clock that never goes back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

TOLERATED_SECONDS = 1.0
"""A poll that starts no later than this is on time, however short its interval."""
TOLERATED_PART = 0.1
"""A poll that starts within this part of its interval is on time, too."""
RECOVERED_SECONDS = 60.0
"""The polls keep up again when none has been late for so long."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Due:
    """A poll that is due and has not started yet."""

    since: float
    interval_seconds: float


class Lateness:
    """Notes how late polls start.

    Attributes:
        missed: slots that were left out because the poll before still waited or went on.
    """

    def __init__(self) -> None:
        self.missed = 0
        self._latest_delay_seconds = 0.0
        self._late_until = float("-inf")
        self._logged_late = False
        self._waiting: dict[int, _Due] = {}

    @property
    def waiting(self) -> int:
        """How many polls are due and have not started."""
        return len(self._waiting)

    def delay_seconds(self, now: float) -> float:
        """Return how late the latest poll started, or how late one already is that still waits, if longer."""
        waits = (now - due.since for due in self._waiting.values())
        return max(self._latest_delay_seconds, *waits, 0.0)

    def keeping_up(self, now: float) -> bool:
        """Say whether no poll waits, or started within the last minute, later than its interval allows."""
        return now >= self._late_until and not any(
            _is_late(now - due.since, due.interval_seconds) for due in self._waiting.values()
        )

    @contextmanager
    def awaited(self, *, due: float, interval_seconds: float) -> Iterator[None]:
        """Count a poll as waiting for as long as the context lasts."""
        entry = _Due(due, interval_seconds)
        self._waiting[id(entry)] = entry
        try:
            yield
        finally:
            del self._waiting[id(entry)]

    def started(self, *, due: float, now: float, interval_seconds: float) -> None:
        """Note that a poll starts."""
        self._latest_delay_seconds = max(now - due, 0.0)
        if _is_late(self._latest_delay_seconds, interval_seconds):
            self._late_until = now + RECOVERED_SECONDS

    def review(self, now: float) -> None:
        """Tell the log when polls begin to come late, and when they no longer do."""
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


def _is_late(delay_seconds: float, interval_seconds: float) -> bool:
    return delay_seconds > max(TOLERATED_SECONDS, TOLERATED_PART * interval_seconds)
