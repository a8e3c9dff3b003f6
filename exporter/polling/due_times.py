"""When polls of a cluster are due. Pure: times are numbers of seconds on any one clock."""

from __future__ import annotations

import hashlib
import math


def phase_seconds(name: str, interval_seconds: float) -> float:
    """Return when in each interval a cluster is polled; a hash of its name spreads clusters evenly."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) / 2**64 * interval_seconds


def next_due_time(*, after: float, phase_seconds: float, interval_seconds: float) -> float:
    """Return the first due time later than ``after``; due times are one interval apart, at the phase.

    Due times that passed while a poll was still running are skipped.
    """

    def due_time(number: int) -> float:
        return number * interval_seconds + phase_seconds

    number = math.floor((after - phase_seconds) / interval_seconds) + 1
    # Division rounds. A number that is off by one would repeat or skip a due time.
    while due_time(number) <= after:
        number += 1
    while due_time(number - 1) > after:
        number -= 1
    return due_time(number)


def due_time_after_poll(
    due: float, *, now: float, phase_seconds: float, interval_seconds: float
) -> tuple[float, int]:
    """Return when the next poll is due, and how many due times have passed during the poll.

    Args:
        due: when the poll was due. Even if its timer fired a moment early, this due time never comes again.
        now: when it has ended.
        phase_seconds: of the cluster.
        interval_seconds: between two due times.
    """
    following, upcoming = (
        next_due_time(after=after, phase_seconds=phase_seconds, interval_seconds=interval_seconds)
        for after in (due, max(now, due))
    )
    return upcoming, round((upcoming - following) / interval_seconds)
