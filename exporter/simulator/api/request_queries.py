"""The query of a request: its parameters, their ranges, and ONTAP's filters.

Source: https://docs.netapp.com/us-en/ontap-automation/rest/queries.html
"""

import fnmatch
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from exporter.simulator.api.ontap_replies import invalid_value, unexpected_argument

DEFAULT_RETURN_TIMEOUT = 15
LONGEST_RETURN_TIMEOUT = 120
MOST_RECORDS = 2**32 - 1
DEFAULT_MAX_RECORDS = 10_000
START_PREFIX = "start."

_COMPARISON = re.compile(r"(<=|>=|<|>)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionQuery:
    """What a GET on a collection asks for.

    Attributes:
        fields: The text of `fields`; None where it was not given.
        max_records: The most records of a page.
        return_timeout: Whole seconds after which a page is returned as it is.
        return_records: Whether records are returned at all.
        order_by: Names of fields, each with whether it is descending.
        filters: Patterns by the name of the field.
        start: Where the page begins: the parameters of the next link, without their prefix.
    """

    fields: str | None
    max_records: int
    return_timeout: int
    return_records: bool
    order_by: tuple[tuple[str, bool], ...]
    filters: Mapping[str, str]
    start: Mapping[str, str]


def collection_query(
    pairs: Collection[tuple[str, str]], *, filterable: Collection[str], sortable: Collection[str]
) -> CollectionQuery:
    """Read the parameters of a GET on a collection.

    Raises:
        RefusedError: A parameter is not known, or its value is out of range.
    """
    known = {"fields", "max_records", "return_timeout", "return_records", "order_by", *filterable}
    given = dict(pairs)
    for name in given:
        if name not in known and not name.startswith(START_PREFIX):
            raise unexpected_argument(name)
    return CollectionQuery(
        fields=given.get("fields"),
        max_records=whole_number(given, "max_records", DEFAULT_MAX_RECORDS, 1, MOST_RECORDS),
        return_timeout=return_timeout(given, DEFAULT_RETURN_TIMEOUT),
        return_records=_truth(given, "return_records", default=True),
        order_by=_order(given.get("order_by"), sortable),
        filters={name: given[name] for name in filterable if name in given},
        start={
            name.removeprefix(START_PREFIX): value
            for name, value in given.items()
            if name.startswith(START_PREFIX)
        },
    )


def return_timeout(given: Mapping[str, str], default: int) -> int:
    """Read `return_timeout`, in whole seconds.

    Raises:
        RefusedError: It is no whole number from 0 to 120.
    """
    return whole_number(given, "return_timeout", default, 0, LONGEST_RETURN_TIMEOUT)


def whole_number(given: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """Read a whole number.

    Raises:
        RefusedError: It is none, or out of range.
    """
    text = given.get(name)
    if text is None:
        return default
    number = int(text) if re.fullmatch(r"[0-9]{1,12}", text) else -1
    if not least <= number <= most:
        raise invalid_value(name, text, f"{least}..{most}")
    return number


def accepts(value: object, pattern: str) -> bool:
    """Whether a field's value meets a filter.

    A filter is a value, with `*` for anything, `|` between several, and `!`, `<`, `<=`, `>` or `>=` before
    it; those that compare are for times alone.
    """
    if pattern.startswith("!"):
        return not accepts(value, pattern[1:])
    if "|" in pattern:
        return any(accepts(value, one) for one in pattern.split("|"))
    comparison = _COMPARISON.fullmatch(pattern)
    if comparison is not None:
        return _compares(value, comparison[1], comparison[2])
    if value is None:
        return pattern == "null"
    if pattern.startswith('"') and pattern.endswith('"') and len(pattern) > 1:
        return str(value) == pattern[1:-1]
    literal = re.sub(r"([\[?])", r"[\1]", pattern)
    return fnmatch.fnmatchcase(str(value), literal)


def _compares(value: object, sign: str, limit: str) -> bool:
    left, right = _comparable(value), _comparable(limit)
    if left is None or right is None:
        return False
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[sign]


def _comparable(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _truth(given: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = given.get(name)
    if text is None:
        return default
    if text not in ("true", "false"):
        raise invalid_value(name, text, "true|false")
    return text == "true"


def _order(text: str | None, sortable: Collection[str]) -> tuple[tuple[str, bool], ...]:
    order = []
    for part in text.split(",") if text else ():
        name, _, direction = part.strip().partition(" ")
        if name not in sortable or direction.strip() not in ("", "asc", "desc"):
            raise invalid_value("order_by", part, "<field> [asc|desc],...")
        order.append((name, direction.strip() == "desc"))
    return tuple(order)
