"""How long the polls of this process took, as a histogram."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

BUCKETS_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0)
"""Upper bounds of the buckets, beside infinity."""


class PollDurations:
    """Counts the polls of all clusters by their duration.

    Attributes:
        sum_seconds: all durations together.
    """

    def __init__(self) -> None:
        self.sum_seconds = 0.0
        self._counts = [0] * (len(BUCKETS_SECONDS) + 1)

    def add(self, seconds: float) -> None:
        """Count a poll that has ended."""
        self._counts[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self.sum_seconds += seconds

    def cumulative(self) -> tuple[int, ...]:
        """Return how many polls took at most as long as each bound, and last, how many there were."""
        return tuple(accumulate(self._counts))
