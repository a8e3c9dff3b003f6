"""A package's ``create_time`` in every spelling that ONTAP has been seen to write."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMESTAMP = re.compile(
    r"""(?P<date>\d{4}-\d{2}-\d{2}) [T\ ]
        (?P<time>\d{2}:\d{2}:\d{2}) (?:[.,](?P<fraction>\d{1,9}))?
        \s? (?P<offset>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?""",
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
_MICROSECOND_DIGITS = 6


def parse_create_time(value: object) -> float | None:
    """Return the time as Unix seconds; None where it is missing or unreadable.

    Read are an ISO 8601 date and time parted by ``T`` or a space, with an optional fraction and an
    optional offset (``Z``, ``UTC``, ``GMT``, ``+0530``, ``+05:30``, ``+05``), before which a space may stand.
    Without an offset, the time is UTC. A date alone is unreadable: it could be a day off.

    Source: ``create_time`` of GET /cluster/software/packages.
    """
    if not isinstance(value, str) or (match := _TIMESTAMP.fullmatch(value.strip())) is None:
        return None
    fraction = (match["fraction"] or "0")[:_MICROSECOND_DIGITS]
    offset = (match["offset"] or "Z").upper().replace("UTC", "Z").replace("GMT", "Z")
    try:
        moment = datetime.fromisoformat(f"{match['date']}T{match['time']}.{fraction:0<6}{offset}")
        return (moment - _EPOCH).total_seconds()
    except (ValueError, OverflowError):
        return None
