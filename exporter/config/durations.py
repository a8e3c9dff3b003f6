"""Durations as Prometheus writes them: ``30s``, ``5m``, ``1h30m``, ``90d``, ``26w``, ``1y``.

Source: https://prometheus.io/docs/prometheus/latest/configuration/configuration/ (``<duration>``) and
``ParseDuration`` of github.com/prometheus/common/model.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from exporter.config.problems import BadValueError

_MILLISECONDS: Final = {
    "y": 365 * 86_400_000,
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
    "ms": 1,
}
_SYNTAX: Final = re.compile("".join(f"(?:([0-9]+){unit})?" for unit in _MILLISECONDS))
# Prometheus writes 90d rather than 12w6d: these units only where nothing is left over.
_WHOLE_ONLY: Final = frozenset({"y", "w"})

LONGEST: Final = timedelta(microseconds=(2**63 - 1) // 1_000_000 * 1000)
"""What Prometheus can hold, 64 bits of nanoseconds: a little over 292 years."""
_MOST_DIGITS: Final = 20


def parse_duration(text: str) -> timedelta:
    """Return the duration that ``text`` writes; each unit at most once, the longest first.

    Raises:
        ValueError: ``text`` is no duration, or one too long; the message says which.
    """
    if text == "0":
        return timedelta(0)
    match = _SYNTAX.fullmatch(text)
    if match is None or not text:
        raise BadValueError("not a duration: ", text, "; write e.g. 30s, 5m, 1h30m")
    parts = zip(match.groups(), _MILLISECONDS.values(), strict=True)
    counts = [(digits.lstrip("0"), milliseconds) for digits, milliseconds in parts if digits]
    if all(len(digits) <= _MOST_DIGITS for digits, _ in counts):
        total = sum(int(digits or "0") * milliseconds for digits, milliseconds in counts)
        if total <= LONGEST // timedelta(milliseconds=1):
            return timedelta(milliseconds=total)
    raise BadValueError("a duration of more than 292 years: ", text)


def format_duration(duration: timedelta) -> str:
    """Write a duration as Prometheus does, so that :func:`parse_duration` returns it.

    Raises:
        ValueError: the duration is negative or no whole number of milliseconds.
    """
    rest, fraction = divmod(duration, timedelta(milliseconds=1))
    if rest < 0 or fraction:
        raise ValueError(f"no duration of whole milliseconds: {duration}")
    written = ""
    for unit, milliseconds in _MILLISECONDS.items():
        if unit in _WHOLE_ONLY and rest % milliseconds:
            continue
        count, rest = divmod(rest, milliseconds)
        written += f"{count}{unit}" if count else ""
    return written or "0s"
