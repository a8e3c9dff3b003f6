"""When a cluster is polled. Pure: times are numbers of seconds on any one clock."""

from __future__ import annotations

import hashlib
import math


def phase_seconds(name: str, interval_seconds: float) -> float:
    """Return a cluster's offset within the interval, spread evenly over it by a hash of the name."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) / 2**64 * interval_seconds


def next_slot(*, after: float, phase_seconds: float, interval_seconds: float) -> float:
    """Return the first time later than ``after`` that lies at the phase within an interval.

    Slots that have passed while a poll was still going are left out, not made up for.
    """
    return (math.floor((after - phase_seconds) / interval_seconds) + 1) * interval_seconds + phase_seconds
