"""When a cluster is polled. Pure: times are numbers of seconds on any one clock."""

from __future__ import annotations

import hashlib
import math


def phase_seconds(name: str, interval_seconds: float) -> float:
    """Return a cluster's offset within the interval, spread evenly over it by a hash of the name."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) / 2**64 * interval_seconds


def next_slot(*, after: float, phase_seconds: float, interval_seconds: float) -> float:
    """Return the first slot later than ``after``; slots are one interval apart, at the phase.

    Slots that have passed while a poll was still going are left out, not made up for.
    """

    def slot(number: int) -> float:
        return number * interval_seconds + phase_seconds

    number = math.floor((after - phase_seconds) / interval_seconds) + 1
    # Division rounds, so that the number may be off by one: then a slot would come twice, or be left out.
    while slot(number) <= after:
        number += 1
    while slot(number - 1) > after:
        number -= 1
    return slot(number)
