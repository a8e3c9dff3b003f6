"""The packages collection of one cluster, read page by page to its end. No I/O.

A listing is either whole or an error: anything that makes it doubtful raises
:class:`~exporter.ontap.errors.IncompleteListing`, and none of it is used.

Source: GET /cluster/software/packages (ONTAP 9.6).
"""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from exporter.ontap.endpoint import Endpoint
from exporter.ontap.errors import BadResponse, IncompleteListing
from exporter.ontap.paging import may_be_cut_short, next_target
from exporter.ontap.wire import Conversation, Request, get, read_object, text_or_none

PACKAGES_PATH = "/api/cluster/software/packages"
MAX_PAGES = 1_000
"""More pages than any repository has: past it, paging is taken for endless."""
MAX_PACKAGES = 10_000
MAX_LISTING_BYTES = 32 * 1024 * 1024
"""Of all pages together."""
MAX_VERSION_CHARACTERS = 256
_DIGEST_BYTES = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMESTAMP = re.compile(
    r"""(?P<date>\d{4}-\d{2}-\d{2}) [T\ ]
        (?P<time>\d{2}:\d{2}:\d{2}) (?:[.,](?P<fraction>\d{1,9}))?
        \s? (?P<offset>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?""",
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
_MICROSECOND_DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One package of the repository."""

    version: str
    create_timestamp_seconds: float | None
    """``create_time`` as Unix seconds; None where it is missing or unreadable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The whole repository.

    Attributes:
        packages: one for every version, ordered by version.
        unnamed: records without a usable ``version``, one too long included; they are in no other figure.
        pages: the pages that were read.
        digest: of the pages as they came, by which the same listing is known when it comes again.
    """

    packages: tuple[Package, ...]
    unnamed: int
    pages: int
    digest: bytes = field(default=b"", repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingQuery:
    """How the collection is asked for."""

    endpoint: Endpoint
    return_timeout_seconds: int
    max_records: int
    max_pages: int = MAX_PAGES
    patience_seconds: int = 15
    """The ``return_timeout`` that confirms an empty answer to ``return_timeout=0``; ONTAP's own default."""


def read_listing(query: ListingQuery, *, known: Listing | None = None) -> Conversation[Listing]:
    """Read the collection by its next links, each requested exactly as ONTAP gave it.

    An empty last answer is believed only when it came before ``return_timeout`` was up: ONTAP has been
    seen to leave out the next link when nothing was found in time. For ``return_timeout=0`` the time is
    always up, so a listing that ends in an empty page is read again, from its start, with a longer one.

    Args:
        query: how to ask.
        known: what the same cluster's listing was before. An only page that is the same to the byte says the
            same, so it is not decoded; packages that are the same are the very same objects.

    Raises:
        BadResponse: a page is not of the collection's shape.
        IncompleteListing: paging loops, never ends or leaves the cluster, or the listing may be cut short.
    """
    found: dict[str, Package] = {}
    hasher = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    unnamed = pages = size = 0
    request = _first_page(query)
    asked = {request.target}
    while True:
        response = yield request
        hasher.update(response.body)
        if pages == 0 and known is not None and known.digest == hasher.digest() and _is_one_full_page(known):
            return known
        page = read_object(response)
        pages += 1
        size += len(response.body)
        if size > MAX_LISTING_BYTES:
            raise BadResponse(f"the listing is larger than {MAX_LISTING_BYTES} bytes")
        records = _records(page)
        unnamed += sum(not _add(record, found) for record in records)
        if len(found) + unnamed > MAX_PACKAGES:
            raise IncompleteListing(f"the listing has more than {MAX_PACKAGES} packages")
        following = next_target(page, query.endpoint)
        if following is None:
            if records or not may_be_cut_short(
                elapsed_seconds=response.elapsed_seconds, return_timeout_seconds=query.return_timeout_seconds
            ):
                break
            if query.return_timeout_seconds == 0:
                patient = replace(query, return_timeout_seconds=max(query.patience_seconds, 1))
                return (yield from read_listing(patient, known=known))
            raise IncompleteListing(
                f"page {pages} is empty, without a next link, after {response.elapsed_seconds:.1f} s of "
                f"return_timeout {query.return_timeout_seconds} s: the listing may have been cut short"
            )
        if following in asked:
            raise IncompleteListing(f"paging loops: page {pages} leads back to {following}")
        if pages >= query.max_pages:
            raise IncompleteListing(f"the listing has more than {query.max_pages} pages")
        asked.add(following)
        request = Request(method="GET", target=following)
    return Listing(packages=_packages(found, known), unnamed=unnamed, pages=pages, digest=hasher.digest())


def _packages(found: dict[str, Package], known: Listing | None) -> tuple[Package, ...]:
    """Return what was found, ordered; where that is known, it is the known object."""
    packages = tuple(found[version] for version in sorted(found))
    return known.packages if known is not None and known.packages == packages else packages


def _is_one_full_page(listing: Listing) -> bool:
    """Say whether a listing was one page with a record on it, so that its end was never in doubt."""
    return listing.pages == 1 and bool(listing.packages or listing.unnamed)


def _first_page(query: ListingQuery) -> Request:
    return get(
        PACKAGES_PATH,
        {
            "fields": "version,create_time",
            "max_records": query.max_records,
            "return_timeout": query.return_timeout_seconds,
        },
    )


def _records(page: dict[str, Any]) -> list[Any]:
    records = page.get("records")
    if not isinstance(records, list):
        raise BadResponse("the page has no list of records")
    return records


def _add(record: object, found: dict[str, Package]) -> bool:
    """Add a record; False where it names no version.

    A version that comes twice (the repository changed while it was read) is one package, of the later time.
    """
    version = text_or_none(record.get("version")) if isinstance(record, dict) else None
    if version is None or len(version) > MAX_VERSION_CHARACTERS:
        return False
    created = parse_create_time(record.get("create_time")) if isinstance(record, dict) else None
    known = found.get(version)
    if known is not None and known.create_timestamp_seconds is not None:
        created = max(known.create_timestamp_seconds, created if created is not None else float("-inf"))
    version = sys.intern(version)  # the same releases lie on most clusters
    found[version] = Package(version=version, create_timestamp_seconds=created)
    return True


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
