"""The packages collection of one cluster, read page by page to its end. No I/O.

A listing is whole, or it is an error: if it may be incomplete,
:class:`~exporter.ontap.errors.IncompleteListing` is raised and none of it is used.

Source: GET /cluster/software/packages (ONTAP 9.6).
"""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from exporter.ontap.cluster_settings import Endpoint
from exporter.ontap.errors import BadResponse, IncompleteListing
from exporter.ontap.requests.messages import Conversation, Request, get, read_object, text_or_none
from exporter.ontap.requests.paging import (
    DEFAULT_RETURN_TIMEOUT_SECONDS,
    may_be_cut_short,
    next_target,
    records_of,
    return_timeout_of,
)
from exporter.ontap.requests.versions import Release, parse_release

PACKAGES_PATH = "/api/cluster/software/packages"
MAX_PAGES = 1_000
"""More pages than any repository has. A listing with more pages is taken for endless."""
MAX_PACKAGES = 2_000
"""Far more packages than any repository has. Reading them holds up the event loop for some milliseconds."""
MAX_LISTING_BYTES = 8 * 1024 * 1024
"""The largest size of all pages together."""
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
_EARLIEST = datetime(1998, 1, 1, tzinfo=UTC)
"""Before any release of ONTAP. A clock that was not set writes 1970 or the year 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One package of the repository."""

    version: str
    create_timestamp_seconds: float | None
    """``create_time`` as Unix seconds; None if it is missing or unreadable."""

    @property
    def release(self) -> Release | None:
        """The release that the version names; None if the version has no place among the releases."""
        return parse_release(self.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The whole repository.

    Attributes:
        packages: one for every version, ordered by version.
        unnamed: how many records have no usable ``version``; a version that is too long is not usable.
        pages: how many pages were read.
        digest: of the only page, if there is one page and it has records; else empty.
    """

    packages: tuple[Package, ...]
    unnamed: int
    pages: int
    digest: bytes = field(default=b"", repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionQuery:
    """How the collections of one cluster are asked for: packages, jobs, nodes."""

    endpoint: Endpoint
    return_timeout_seconds: int
    max_records: int
    max_pages: int = MAX_PAGES
    confirmation_timeout_seconds: int = DEFAULT_RETURN_TIMEOUT_SECONDS
    """The ``return_timeout`` with which an empty answer to ``return_timeout=0`` is confirmed."""

    @property
    def conclusive_return_timeout_seconds(self) -> int:
        """The ``return_timeout`` as configured, but never 0, so that an empty answer is conclusive."""
        return self.return_timeout_seconds or max(self.confirmation_timeout_seconds, 1)


def read_listing(query: CollectionQuery, *, known: Listing | None = None) -> Conversation[Listing]:
    """Read all pages of the collection. Every next link is requested exactly as ONTAP sent it.

    An empty last page is trusted only if it came before ``return_timeout`` was over: ONTAP may leave out the
    next link if it finds nothing in time. With ``return_timeout=0`` this time is always over, so a listing
    that ends with an empty page is read again from its start, with a longer ``return_timeout``.

    ``known`` is the listing of the same cluster from the last poll. If it had one page, and the page is now
    the same byte for byte, it is not decoded again. If the packages are the same, their objects are shared.

    Raises:
        IncompleteListing: paging loops, never ends or leaves the cluster, or the listing may be cut short.
    """
    found: dict[str, Package] = {}
    unnamed = pages = size = count = 0
    request = _first_page(query)
    asked = {request.target}
    while True:
        response = yield request
        if pages == 0 and known is not None and known.digest == _digest(response.body):
            return known
        page = read_object(response)
        pages += 1
        size += len(response.body)
        if size > MAX_LISTING_BYTES:
            raise BadResponse(f"the listing is larger than {MAX_LISTING_BYTES} bytes")
        records = records_of(page)
        count += len(records)
        if count > MAX_PACKAGES:
            raise IncompleteListing(f"the listing has more than {MAX_PACKAGES} packages")
        unnamed += sum(not _add(record, found) for record in records)
        following = next_target(page, query.endpoint)
        if following is None:
            if records or not may_be_cut_short(request.target, elapsed_seconds=response.elapsed_seconds):
                break
            if query.return_timeout_seconds == 0:
                confirming = replace(query, return_timeout_seconds=query.conclusive_return_timeout_seconds)
                return (yield from read_listing(confirming, known=known))
            raise IncompleteListing(
                f"page {pages} is empty, without a next link, after {response.elapsed_seconds:.1f} s of "
                f"return_timeout {return_timeout_of(request.target)} s: the listing may have been cut short"
            )
        if following in asked:
            raise IncompleteListing(f"paging loops: page {pages} leads back to {following}")
        if pages >= query.max_pages:
            raise IncompleteListing(f"the listing has more than {query.max_pages} pages")
        asked.add(following)
        request = Request(method="GET", target=following)
    digest = _digest(response.body) if pages == 1 and records else b""
    return Listing(packages=_packages(found, known), unnamed=unnamed, pages=pages, digest=digest)


def _packages(found: dict[str, Package], known: Listing | None) -> tuple[Package, ...]:
    """Return the packages in order; the known object if they are the same."""
    packages = tuple(found[version] for version in sorted(found))
    return known.packages if known is not None and known.packages == packages else packages


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest()


def _first_page(query: CollectionQuery) -> Request:
    return get(
        PACKAGES_PATH,
        {
            "fields": "version,create_time",
            "max_records": query.max_records,
            "return_timeout": query.return_timeout_seconds,
        },
    )


def _add(record: object, found: dict[str, Package]) -> bool:
    """Add a record; return False if it names no version.

    If a version comes twice (the repository changed while it was read), it is one package with the later
    time.
    """
    version = text_or_none(record.get("version")) if isinstance(record, dict) else None
    if version is None or len(version) > MAX_VERSION_CHARACTERS:
        return False
    created = parse_create_time(record.get("create_time")) if isinstance(record, dict) else None
    known = found.get(version)
    if known is not None and known.create_timestamp_seconds is not None:
        created = max(known.create_timestamp_seconds, created if created is not None else float("-inf"))
    version = sys.intern(version)  # most clusters have the same releases
    found[version] = Package(version=version, create_timestamp_seconds=created)
    return True


def parse_create_time(value: object) -> float | None:
    """Return the time as Unix seconds; None if it is missing or unreadable.

    The value must be an ISO 8601 date and time with ``T`` or a space between them. A fraction of a second and
    an offset (``Z``, ``UTC``, ``GMT``, ``+0530``, ``+05:30``, ``+05``) are optional; a space may come before
    the offset. Without an offset, the time is UTC. A date alone is unreadable, because it could be a day off.
    So is a time before 1998, which is no package's.

    Source: ``create_time`` of GET /cluster/software/packages.
    """
    if not isinstance(value, str) or (match := _TIMESTAMP.fullmatch(value.strip())) is None:
        return None
    fraction = (match["fraction"] or "0")[:_MICROSECOND_DIGITS]
    offset = (match["offset"] or "Z").upper().replace("UTC", "Z").replace("GMT", "Z")
    try:
        moment = datetime.fromisoformat(f"{match['date']}T{match['time']}.{fraction:0<6}{offset}")
        return (moment - _EPOCH).total_seconds() if moment >= _EARLIEST else None
    except (ValueError, OverflowError):
        return None
