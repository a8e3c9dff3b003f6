"""When polls of a cluster are due. Pure: times are numbers of seconds on any one clock."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DueTimes:
    """The due times of one cluster: once in each interval, at its phase."""

    interval_seconds: float
    phase_seconds: float

    @classmethod
    def of(cls, name: str, interval_seconds: float) -> DueTimes:
        """Return those of a cluster; a hash of its name spreads clusters evenly over the interval."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
        phase_seconds = int.from_bytes(digest[:8]) / 2**64 * interval_seconds
        return cls(interval_seconds=interval_seconds, phase_seconds=phase_seconds)

    def first_after(self, time: float) -> float:
        """Return the first due time later than this."""

        def due_time(number: int) -> float:
            return number * self.interval_seconds + self.phase_seconds

        number = math.floor((time - self.phase_seconds) / self.interval_seconds) + 1
        # Division rounds. A number that is off by one would repeat or skip a due time.
        while due_time(number) <= time:
            number += 1
        while due_time(number - 1) > time:
            number -= 1
        return due_time(number)

    def after_poll(self, due: float, *, now: float) -> tuple[float, int]:
        """Return when the poll after this one is due, and how many due times have passed during this one.

        Even if the timer of this poll fired a moment early, its due time never comes again.
        """
        following, upcoming = self.first_after(due), self.first_after(max(now, due))
        return upcoming, round((upcoming - following) / self.interval_seconds)
