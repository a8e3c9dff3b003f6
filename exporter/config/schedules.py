"""When a policy runs: five cron fields, in a time zone.

Source: crontab(5) of Debian, as the cronsim library reads it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from exporter.config.problems import BadValueError

_FIELDS: Final = (
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of the month", "1 to 31"),
    ("month", "1 to 12, jan to dec"),
    ("day of the week", "0 to 7, sun to sat"),
)
_EXAMPLE: Final = "minute, hour, day of the month, month and day of the week, e.g. 0 3 * * sat"
_LONGEST: Final = 1000
_LONGEST_GUESSED: Final = 64
# No clock is needed: what does not fire within the 50 years that are searched never does.
_SEARCHED_FROM: Final = datetime(2025, 1, 1, tzinfo=UTC)


def parse_schedule(text: str) -> str:
    """Return the five fields of a cron expression, one blank between them.

    Raises:
        ValueError: with the field that is wrong, or with what the five are.
    """
    fields = text.split()
    if len(fields) != len(_FIELDS) or len(text) > _LONGEST:
        raise BadValueError(f"a schedule has five fields: {_EXAMPLE}; not ", text)
    for index, (field, (noun, values)) in enumerate(zip(fields, _FIELDS, strict=True)):
        alone = ["*"] * len(_FIELDS)
        alone[index] = field
        try:
            CronSim(" ".join(alone), _SEARCHED_FROM)
        except CronSimError:
            message = f"the {noun} is *, {values}, or several of them with , - and /"
            raise BadValueError(f"{message}: ", field) from None
    return " ".join(fields)


def parse_timezone(name: str) -> ZoneInfo:
    """Return the time zone of an IANA name.

    Raises:
        BadValueError: there is none of this name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise BadValueError("not a time zone: ", name) from None


def guess_timezone(name: str) -> str | None:
    """Return the name of a time zone that may be meant; reads a list of all of them."""
    if len(name) > _LONGEST_GUESSED:
        return None
    zones = sorted(available_timezones())
    cities = {zone.rpartition("/")[2].lower(): zone for zone in zones}
    known = cities | {zone.lower(): zone for zone in zones}
    close = get_close_matches(name.lower().replace(" ", "_"), known, n=1, cutoff=0.8)
    return known[close[0]] if close else None


def fires(schedule: str, timezone: ZoneInfo) -> bool:
    """Tell whether a schedule ever fires; one for the 31st of February never does."""
    try:
        return next(CronSim(schedule, _SEARCHED_FROM.astimezone(timezone)), None) is not None
    except CronSimError:
        return (
            False  # cronsim refuses a day that none of the months has, although each field by itself is good
        )
