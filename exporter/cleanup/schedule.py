"""When a policy runs. Pure: times are Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Either a cron expression in a time zone, or an interval.

    Attributes:
        cron: five fields; None where an interval is set.
        timezone: IANA name of the zone that the cron expression is in.
        every_seconds: from the start of one run to the next; None where a cron expression is set.
    """

    cron: str | None
    timezone: str
    every_seconds: float | None

    def next_run(self, *, now: float, last_started: float | None) -> float | None:
        """Return when the next run is due; None for an interval of which no run is remembered.

        A cron expression fires after ``now``: runs that were missed are not made up. An interval counts from
        the start of the last run; where that has passed meanwhile, the run is due at once.
        """
        if self.cron is not None:
            return self._after(now)
        if last_started is None or self.every_seconds is None:
            return None
        return max(last_started + self.every_seconds, now)

    def skipped(self, *, started: float, ended: float) -> int:
        """Return how many runs came due while one was going on."""
        if self.cron is not None:
            count, due = 0, self._after(started)
            while due <= ended:
                count, due = count + 1, self._after(due)
            return count
        return max(int((ended - started) // self.every_seconds), 0) if self.every_seconds else 0

    def after_run(self, *, started: float, ended: float) -> float:
        """Return when the next run is due after one that has ended; what came due meanwhile is skipped."""
        if self.cron is not None:
            return self._after(ended)
        every = self.every_seconds or 0.0
        return started + every * (self.skipped(started=started, ended=ended) + 1)

    def _after(self, moment: float) -> float:
        """Return when the cron expression fires first after a moment.

        While an hour comes a second time at the end of daylight saving time, the library counts from its
        first coming and may name moments that have passed: those are left out.
        """
        begin = datetime.fromtimestamp(moment, tz=UTC).astimezone(ZoneInfo(self.timezone))
        return next(
            fires.timestamp() for fires in CronSim(self.cron or "", begin) if fires.timestamp() > moment
        )
