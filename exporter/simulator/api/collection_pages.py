"""Pages of a collection: the records of a page, how long collecting them takes, where the next page begins.

A next link has all parameters of its page, so the cluster need not remember its links.

Source: https://docs.netapp.com/us-en/ontap-automation/rest/basic_operational_characteristics.html
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from exporter.simulator.api.request_queries import (
    ELAPSED,
    PAGE,
    START,
    START_PARAMETERS,
    CollectionQuery,
    collection_query,
    page_number,
)
from exporter.simulator.state.received_requests import ReceivedRequest
from exporter.simulator.state.simulated_cluster import SimulatedCluster

Record = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """How the API describes a collection."""

    path: str
    key: str
    """The field that identifies a record."""
    default_field: str
    """The field that a record has, beside the key, when none is asked for."""
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a collection.

    Attributes:
        records: What it holds.
        seconds: How long it was collected.
        next_start: The number of the next page's first record; None after the last page.
        next_elapsed_seconds: Whole seconds already spent on that record.
    """

    records: tuple[Record, ...]
    seconds: float
    next_start: int | None = None
    next_elapsed_seconds: int = 0


def collected(
    numbered: Sequence[tuple[int, Record]], query: CollectionQuery, *, record_seconds: float
) -> Page:
    """Collect a page: until all records, `max_records`, or `return_timeout` is up, whichever comes first.

    Args:
        numbered: The whole collection; numbers grow.
        query: What is asked for.
        record_seconds: How long one record takes, whether it passes the filters or not.
    """
    left = [(number, record) for number, record in numbered if number >= query.start]
    earlier_seconds = query.elapsed_seconds
    found: list[Record] = []
    for index, (number, record) in enumerate(left):
        spent = index * record_seconds
        if len(found) == query.max_records:
            return Page(records=tuple(found), seconds=max(0.0, spent - earlier_seconds), next_start=number)
        if record_seconds > 0 and spent + record_seconds > earlier_seconds + query.return_timeout:
            progress = earlier_seconds + max(1, query.return_timeout) if index == 0 else 0
            return Page(
                records=tuple(found),
                seconds=float(query.return_timeout),
                next_start=number,
                next_elapsed_seconds=progress,
            )
        if query.accepts(record):
            found.append(record)
    return Page(records=tuple(found), seconds=max(0.0, len(left) * record_seconds - earlier_seconds))


async def collection_document(
    cluster: SimulatedCluster,
    request: ReceivedRequest,
    collection: Collection,
    numbered: Iterable[tuple[int, Record]],
    *,
    record_seconds: float = 0.0,
) -> dict[str, object]:
    """Collect one page in simulated time and write its document.

    Raises:
        RefusedError: A parameter is not known, or its value is out of range.
    """
    query = collection_query(request, collection.fields)
    page = collected(tuple(numbered), query, record_seconds=record_seconds)
    await cluster.clock.sleep(page.seconds)
    fields = {collection.key, *(query.fields or (collection.default_field,))}
    records = [
        with_self(
            {name: value for name, value in record.items() if name in fields},
            f"{collection.path}/{quote(str(record[collection.key]), safe='')}",
            request,
        )
        for record in page.records
    ]
    link = None
    if page.next_start is not None:
        start = {START: page.next_start, PAGE: page_number(request) + 1}
        if page.next_elapsed_seconds:
            start[ELAPSED] = page.next_elapsed_seconds
        link = next_link(request, start)
    return envelope(cluster, request, records, link)


def envelope(
    cluster: SimulatedCluster, request: ReceivedRequest, records: Sequence[object], link: str | None
) -> dict[str, object]:
    """The document around the records of a page."""
    document: dict[str, object] = {"records": records}
    if cluster.num_records:
        document["num_records"] = len(records)
    links: dict[str, object] = {"self": {"href": request.target}} if wants_links(request) else {}
    if link is not None:
        links["next"] = {"href": link}
    if links:
        document["_links"] = links
    return document


def next_link(request: ReceivedRequest, start: Mapping[str, object]) -> str:
    """A next link as ONTAP writes it: a path without a host, with the original parameters percent-encoded.

    Args:
        request: The request whose page has the link.
        start: The parameters that say where the next page begins; none leads to the first page.
    """
    original = [(name, value) for name, value in request.query if name not in START_PARAMETERS]
    return f"{request.path}?" + "&".join(
        f"{quote(name, safe='')}={quote(str(value), safe='')}" for name, value in [*start.items(), *original]
    )


def wants_links(request: ReceivedRequest) -> bool:
    """Whether the client asked for all links: with `application/json` ONTAP keeps `next` alone."""
    return "application/json" not in request.headers.get("Accept", "")


def with_self(record: Record, href: str, request: ReceivedRequest) -> Record:
    """A record with the link to itself, if the client asked for links."""
    return {**record, "_links": {"self": {"href": href}}} if wants_links(request) else record
