"""The query of a request: its parameters and their ranges, field selection, and filters.

Source: https://docs.netapp.com/us-en/ontap-automation/rest/queries.html
"""

import fnmatch
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from exporter.simulator.api.ontap_replies import refused
from exporter.simulator.state.received_requests import ReceivedRequest

DEFAULT_RETURN_TIMEOUT = 15
LONGEST_RETURN_TIMEOUT = 120
DEFAULT_MAX_RECORDS = 10_000
MOST = 2**32 - 1

START = "start.number"
"""In a next link: the number of the first record of its page."""
PAGE = "start.page"
"""In a next link: which page of the listing it leads to, from 1."""
ELAPSED = "start.elapsed"
"""In a next link: the seconds already spent on its first record."""
START_PARAMETERS = (START, PAGE, ELAPSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionQuery:
    """What a GET on a collection asks for.

    Attributes:
        fields: The fields of a record; None if the query does not name any.
        max_records: The most records of a page.
        return_timeout: Whole seconds after which a page is returned as it is.
        filters: Patterns by the name of the field.
        start: The number of the page's first record.
        elapsed_seconds: The seconds already spent on it by earlier pages.
    """

    fields: frozenset[str] | None
    max_records: int
    return_timeout: int
    filters: Mapping[str, str]
    start: int
    elapsed_seconds: int

    def accepts(self, record: Mapping[str, object]) -> bool:
        """Whether a record meets every filter: a value, with `*` for anything and `|` between several."""
        return all(
            any(fnmatch.fnmatchcase(str(record.get(name)), one) for one in pattern.split("|"))
            for name, pattern in self.filters.items()
        )


def collection_query(request: ReceivedRequest, fields: Collection[str]) -> CollectionQuery:
    """Read the query of a request for a collection whose records have these fields.

    Raises:
        RefusedError: A parameter is not known, or its value is out of range.
    """
    given = known_parameters(request, "fields", "max_records", "return_timeout", *START_PARAMETERS, *fields)
    return CollectionQuery(
        fields=selected_fields(given, fields),
        max_records=whole_number(given, "max_records", DEFAULT_MAX_RECORDS, least=1),
        return_timeout=return_timeout(given, DEFAULT_RETURN_TIMEOUT),
        filters={name: given[name] for name in fields if name in given},
        start=whole_number(given, START, 0),
        elapsed_seconds=whole_number(given, ELAPSED, 0),
    )


def single_object(
    document: Mapping[str, object],
    request: ReceivedRequest,
    known: Collection[str],
    *,
    key: str = "",
) -> dict[str, object]:
    """The part of a single object that a request asks for: all fields, or those in `fields` and the key.

    Raises:
        RefusedError: A parameter is not known, or its value is out of range.
    """
    given = known_parameters(request, "fields", "return_timeout")
    return_timeout(given, DEFAULT_RETURN_TIMEOUT)
    fields = selected_fields(given, known) or frozenset(known)
    return {name: value for name, value in document.items() if name == key or name in fields}


def known_parameters(request: ReceivedRequest, *known: str) -> dict[str, str]:
    """Give the parameters of a request.

    Raises:
        RefusedError: One of them is not known.
    """
    given = dict(request.query)
    for name in given:
        if name not in known:
            raise refused(262179, target=name, message=f'Unexpected argument "{name}".')
    return given


def selected_fields(given: Mapping[str, str], known: Collection[str]) -> frozenset[str] | None:
    """Read `fields`; None if it is not given.

    Raises:
        RefusedError: A field is not known.
    """
    if "fields" not in given:
        return None
    names = frozenset(name.strip() for name in given["fields"].split(","))
    if names & {"*", "**"}:
        return frozenset(known)
    for name in sorted(names - set(known)):
        raise _invalid_value("fields", name, "<field,...>")
    return names


def return_timeout(given: Mapping[str, str], default: int) -> int:
    """Read `return_timeout`, in whole seconds.

    Raises:
        RefusedError: It is no whole number from 0 to 120.
    """
    return whole_number(given, "return_timeout", default, most=LONGEST_RETURN_TIMEOUT)


def whole_number(
    given: Mapping[str, str], name: str, default: int, *, least: int = 0, most: int = MOST
) -> int:
    """Read a whole number.

    Raises:
        RefusedError: It is none, or out of range.
    """
    text = given.get(name)
    if text is None:
        return default
    number = int(text) if re.fullmatch(r"[0-9]{1,12}", text) else -1
    if not least <= number <= most:
        raise _invalid_value(name, text, f"{least}..{most}")
    return number


def page_number(request: ReceivedRequest) -> int:
    """Which page of its listing a request asks for, from 1."""
    text = dict(request.query).get(PAGE, "")
    return int(text) if text.isdecimal() else 1


def _invalid_value(field: str, value: str, allowed: str) -> Exception:
    message = f'The value "{value}" is invalid for field "{field}" ({allowed})'
    return refused(262197, target=field, message=message)
