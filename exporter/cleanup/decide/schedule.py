"""When a policy runs. Pure: times are Unix seconds."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim

SMALL_STEP_SECONDS = 60.0
"""A clock that is set back by no more has come to no other day or hour: it was only corrected."""
MAX_COUNTED_SKIPS = 100
"""This many skipped runs are counted at once, which bounds the work after a clock has jumped by years."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The next run, and how many were skipped before it."""

    at: float
    skipped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Either a cron expression in a time zone, or an interval.

    Attributes:
        cron: five fields; None if an interval is set.
        timezone: IANA name of the zone that the cron expression is in.
        every_seconds: from the start of one run to the next; None if a cron expression is set.
        start_within_seconds: how late a run of a cron expression may start.
    """

    cron: str | None
    timezone: str
    every_seconds: float | None
    start_within_seconds: float

    def first(self, *, now: float, last_started: float | None, managed_since: float) -> Due:
        """Return the first run that this process makes.

        An interval counts from the start of the last run; if it has passed, or no run is remembered, the
        run is due at once. A cron expression fires after the last run and after ``managed_since``: what
        was missed while no process managed the cluster is not made up.

        Args:
            now: the time.
            last_started: start of the last run; None if none is remembered. One that lies in the future
                was recorded by a clock that was wrong.
            managed_since: since when some process has managed the cluster without a gap.
        """
        started = None if last_started is None else min(last_started, now)
        if self.cron is None:
            return Due(at=now if started is None else max(started + (self.every_seconds or 0.0), now))
        since = min(managed_since, now)
        return self.unless_late(at=self._after(since if started is None else max(since, started)), now=now)

    def after_run(self, *, due: float, started: float, ended: float) -> Due:
        """Return the next run after one that this process has made; what came due meanwhile is skipped.

        A cron expression fires at its times, so what came due while the run waited to start is skipped, too.
        An interval counts from the start. If the clock was set back, the run counts as started when it ended;
        if only by seconds, the time at which it was due does not come again.
        """
        if self.cron is not None:
            since = due if ended < due <= ended + SMALL_STEP_SECONDS else ended
            return Due(at=self._after(since), skipped=self._fires(min(due, ended), ended))
        started, every = min(started, ended), self.every_seconds or 1.0
        skipped = max(int((ended - started) // every), 0)
        return Due(at=started + every * (skipped + 1), skipped=skipped)

    def unless_late(self, *, at: float, now: float) -> Due:
        """Return a run that is due, or the next one if it is too late; an interval is never too late."""
        latest = now - self.start_within_seconds
        if self.cron is None or at >= latest:
            return Due(at=at)
        return Due(at=self._after(latest), skipped=1 + self._fires(at, latest))

    def _fires(self, begin: float, end: float) -> int:
        """Return how often the cron expression fires after ``begin``, up to ``end``."""
        moments = itertools.islice(self._moments(begin), MAX_COUNTED_SKIPS)
        return sum(1 for _ in itertools.takewhile(lambda moment: moment <= end, moments))

    def _after(self, moment: float) -> float:
        """Return when the cron expression fires first after a moment."""
        return next(iter(self._moments(moment)))

    def _moments(self, moment: float) -> itertools.dropwhile[float]:
        """Yield when the cron expression fires after a moment.

        In the hour that is repeated at the end of daylight saving time, the library begins with the first of
        the two hours, so it may name moments that have passed: those are left out.
        """
        begin = datetime.fromtimestamp(moment, tz=UTC).astimezone(ZoneInfo(self.timezone))
        fires = (found.timestamp() for found in CronSim(self.cron or "", begin))
        return itertools.dropwhile(lambda one: one <= moment, fires)
