"""Parses single values of a configuration: durations, addresses, schedules, names, globs.

An invalid value raises :class:`ValueError`; its message says what is wrong and what to write instead.

Durations are written as in Prometheus: ``30s``, ``5m``, ``1h30m``, ``90d``, ``26w``, ``1y``. Source:
https://prometheus.io/docs/prometheus/latest/configuration/configuration/ (``<duration>``) and
``ParseDuration`` of github.com/prometheus/common/model.

A schedule is five cron fields. Source: crontab(5) of Debian, as the cronsim library reads it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from pathlib import Path
from typing import Final, Literal
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from exporter.config.problems import BadValueError
from exporter.ontap.cluster_settings import Endpoint

_MILLISECONDS: Final = {
    "y": 365 * 86_400_000,
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
    "ms": 1,
}
_DURATION: Final = re.compile("".join(f"(?:([0-9]+){unit})?" for unit in _MILLISECONDS))
# Prometheus writes 90d rather than 12w6d: these units only where nothing is left over.
_WHOLE_ONLY: Final = frozenset({"y", "w"})
LONGEST_DURATION: Final = timedelta(microseconds=(2**63 - 1) // 1_000_000 * 1000)
"""What Prometheus can hold, 64 bits of nanoseconds: a little over 292 years."""

_ADDRESS_EXAMPLES: Final = "write host, host:port or https://host:port"
_HOST_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NUMERIC: Final = re.compile(r"[0-9.]+")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_LONGEST_HOST: Final = 253
_HIGHEST_PORT: Final = 65535

_CRON_FIELDS: Final = (
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of the month", "1 to 31"),
    ("month", "1 to 12, jan to dec"),
    ("day of the week", "0 to 7, sun to sat"),
)
_CRON_EXAMPLE: Final = "minute, hour, day of the month, month and day of the week, e.g. 0 3 * * sat"
_LONGEST_SCHEDULE: Final = 1000
# No clock is needed: what does not fire within the 50 years that are searched never does.
_SEARCHED_FROM: Final = datetime(2025, 1, 1, tzinfo=UTC)

# As fnmatch reads it: a ] that comes first is one of the characters.
_CHARACTER_CLASS: Final = re.compile(r"\[!?+\]?+[^\]]*+\]")
_CONTROL_CHARACTER: Final = re.compile("[\0-\x1f\x7f-\x9f]")


def parse_duration(text: str) -> timedelta:
    """Return the duration that ``text`` writes; each unit at most once, the longest first."""
    if text == "0":
        return timedelta(0)
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise BadValueError("not a duration: ", text, "; write e.g. 30s, 5m, 1h30m")
    # A float is exact as far as a duration may go, and has no limit of digits.
    counts = zip(match.groups(default="0"), _MILLISECONDS.values(), strict=True)
    total = sum(float(digits) * milliseconds for digits, milliseconds in counts)
    if total > LONGEST_DURATION / timedelta(milliseconds=1):
        raise BadValueError("a duration of more than 292 years: ", text)
    return timedelta(milliseconds=total)


def format_duration(duration: timedelta) -> str:
    """Write a duration of whole milliseconds as Prometheus does, so that :func:`parse_duration` reads it."""
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


def parse_address(text: str) -> Endpoint:
    """Return the endpoint of ``host[:port]``, ``https://host[:port]`` or ``http://host[:port]``.

    The message of an error never holds a user name or a password.
    """
    if "@" in text:
        raise ValueError(
            f"an address holds no user name or password; {_ADDRESS_EXAMPLES}, and basic_auth beside it"
        )
    scheme, rest = _split_scheme(text)
    for characters, what in (("/\\", "path"), ("?", "query"), ("#", "fragment")):
        if any(character in rest for character in characters):
            raise BadValueError(f"an address has no {what}: ", text, f"; {_ADDRESS_EXAMPLES}")
    if not rest or any(character.isspace() for character in rest):
        what = "white space in the address" if rest else "no host in the address"
        raise BadValueError(f"{what}: ", text, f"; {_ADDRESS_EXAMPLES}")
    host, port = _split_port(rest)
    default_port = 443 if scheme == "https" else 80
    return Endpoint(scheme=scheme, host=host, port=default_port if port is None else parse_port(port))


def parse_host(text: str) -> str:
    """Return a DNS name as it is written, or an IP address in its shortest form, without brackets."""
    if ":" in text and "%" in text:
        raise BadValueError("a zone in an IPv6 address is not supported: ", text)
    try:
        if ":" in text:
            return str(IPv6Address(text))
        if _NUMERIC.fullmatch(text):
            return str(IPv4Address(text))
    except AddressValueError:
        what = "neither a host name nor an IPv6 address" if ":" in text else "not an IPv4 address"
        raise BadValueError(f"{what}: ", text) from None
    name = text.removesuffix(".")
    if len(name) > _LONGEST_HOST or not all(_HOST_LABEL.fullmatch(label) for label in name.split(".")):
        raise BadValueError("not a host name: ", text)
    return text


def parse_port(text: str) -> int:
    """Return the number of a port."""
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= _HIGHEST_PORT:
        raise BadValueError(f"a port is a number from 1 to {_HIGHEST_PORT}: ", text)
    return int(text)


def _split_scheme(text: str) -> tuple[Literal["https", "http"], str]:
    scheme, separator, rest = text.partition("://")
    if not separator:
        return "https", text
    match scheme.lower():
        case "https":
            return "https", rest
        case "http":
            return "http", rest
        case _:
            raise BadValueError("a scheme other than https and http: ", text, f"; {_ADDRESS_EXAMPLES}")


def _split_port(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        inner, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in inner or (rest and not rest.startswith(":")):
            raise BadValueError("not an IPv6 address in brackets: ", text, "; write [fd00::1]:443")
        return parse_host(inner), rest[1:] if rest else None
    if text.count(":") > 1:
        raise BadValueError("an IPv6 address needs brackets: ", text, "; write [fd00::1]:443")
    host, colon, port = text.partition(":")
    return parse_host(host), port if colon else None


def parse_schedule(text: str) -> str:
    """Return the five fields of a cron expression, one blank between them."""
    fields = text.split()
    if len(fields) != len(_CRON_FIELDS) or len(text) > _LONGEST_SCHEDULE:
        raise BadValueError(f"a schedule has five fields: {_CRON_EXAMPLE}; not ", text)
    for index, (field, (noun, values)) in enumerate(zip(fields, _CRON_FIELDS, strict=True)):
        alone = ["*"] * len(_CRON_FIELDS)
        alone[index] = field
        try:
            CronSim(" ".join(alone), _SEARCHED_FROM)
        except CronSimError:
            message = f"the {noun} is *, {values}, or several of them with , - and /"
            raise BadValueError(f"{message}: ", field) from None
    return " ".join(fields)


def fires(schedule: str, timezone: ZoneInfo) -> bool:
    """Say whether a schedule ever fires; one for the 31st of February never does."""
    try:
        return next(CronSim(schedule, _SEARCHED_FROM.astimezone(timezone)), None) is not None
    except CronSimError:
        return False  # cronsim refuses a day that no month has, although each field by itself is good


def check_timezone(name: str) -> str:
    """Return the IANA name of a time zone."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        zones = {zone.lower(): zone for zone in sorted(available_timezones())}
        cities = {lower.rpartition("/")[2]: zone for lower, zone in zones.items()}
        known = cities | zones
        close = get_close_matches(name.lower().replace(" ", "_"), known, n=1, cutoff=0.8)
        advice = f"did you mean {known[close[0]]}?" if close else "write an IANA name, e.g. Europe/Amsterdam"
        raise BadValueError("not a time zone: ", name, f"; {advice}") from None
    return name


def check_name(text: str) -> str:
    """Return a name of a cluster, a profile or a policy."""
    if not text.strip():
        raise ValueError("must not be empty")
    if text != text.strip() or _CONTROL_CHARACTER.search(text):
        raise ValueError("must not begin or end with white space, nor hold a control character")
    return text


def check_glob(text: str) -> str:
    """Return a glob, as :mod:`fnmatch` reads it."""
    if "[" in _CHARACTER_CLASS.sub("", check_name(text)):
        raise BadValueError("a [ without a closing ]: ", text, "; write [[] for a literal [")
    return text


def check_file_pattern(text: str) -> str:
    """Return a glob of files."""
    if "**" in Path(check_glob(text)).parts:
        raise ValueError("** is not supported; * stands for the name of one folder")
    return text
