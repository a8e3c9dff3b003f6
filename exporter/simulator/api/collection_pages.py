"""A GET on a collection: reads its query, collects a page in simulated time, writes the document around it.

Source: https://docs.netapp.com/us-en/ontap-automation/rest/basic_operational_characteristics.html
"""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from exporter.simulator.api.field_selection import parsed_fields, selected
from exporter.simulator.api.ontap_replies import invalid_value
from exporter.simulator.api.page_collecting import Page, collected, next_link, rest
from exporter.simulator.api.request_queries import CollectionQuery, accepts, collection_query, whole_number
from exporter.simulator.state.package_repository import Entry
from exporter.simulator.state.received_requests import ReceivedRequest
from exporter.simulator.state.simulated_cluster import SimulatedCluster

INDEX = "index"
"""The parameter of a next link where no key tells the place."""
ELAPSED = "elapsed"
"""The parameter of a next link that tells the seconds already spent on its first record."""
LONGEST_ELAPSED = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What the API says of a collection.

    Attributes:
        path: Its path.
        key: The field that identifies a record.
        default_fields: The fields that a record has when none are asked for.
        fields: All fields, nested ones with dots.
        filterable: The fields that a query may filter by.
    """

    path: str
    key: str
    default_fields: tuple[str, ...]
    fields: frozenset[str]
    filterable: tuple[str, ...]


def wants_links(request: ReceivedRequest) -> bool:
    """Whether the client asked for all links: with `application/json` ONTAP keeps `next` alone."""
    return "application/json" not in request.headers.get("Accept", "")


def with_self(record: object, path: str, key: object, request: ReceivedRequest) -> object:
    """A record with the link to itself, where the client asked for links."""
    if not isinstance(record, dict) or not wants_links(request):
        return record
    return {**record, "_links": {"self": {"href": f"{path}/{quote(str(key), safe='')}"}}}


async def collection_document(
    cluster: SimulatedCluster,
    request: ReceivedRequest,
    collection: Collection,
    entries: Iterable[Entry],
    *,
    record_seconds: float = 0.0,
) -> dict[str, object]:
    """Collect one page and write its document.

    Raises:
        RefusedError: A parameter is not known, or its value is out of range.
    """
    query = collection_query(request.query, filterable=collection.filterable, sortable=collection.filterable)
    fields = parsed_fields(query.fields, collection.fields)
    present = tuple(entries)
    page = collected(
        rest(present, _marker(cluster, collection, query, present), query.order_by),
        matches=lambda entry: all(
            accepts(entry.value(name), pattern) for name, pattern in query.filters.items()
        ),
        max_records=query.max_records,
        return_timeout=query.return_timeout,
        record_seconds=record_seconds,
        elapsed_seconds=whole_number(query.start, ELAPSED, 0, 0, LONGEST_ELAPSED),
    )
    await cluster.clock.sleep(page.seconds)
    records = [
        with_self(
            selected(entry.record, fields or collection.default_fields, keys=(collection.key,)),
            collection.path,
            entry.value(collection.key),
            request,
        )
        for entry in page.entries
    ]
    link = _link(cluster, request, collection, page, present)
    return envelope(cluster, request, records, link, return_records=query.return_records)


def envelope(
    cluster: SimulatedCluster,
    request: ReceivedRequest,
    records: Iterable[object],
    link: str | None,
    *,
    return_records: bool = True,
) -> dict[str, object]:
    """The document around the records of a page."""
    listed = list(records)
    document: dict[str, object] = {"records": listed} if return_records else {}
    if cluster.num_records or not return_records:
        document["num_records"] = len(listed)
    links: dict[str, object] = {"self": {"href": request.target}} if wants_links(request) else {}
    if link is not None:
        links["next"] = {"href": link}
    if links:
        document["_links"] = links
    return document


def _marker(
    cluster: SimulatedCluster, collection: Collection, query: CollectionQuery, present: Iterable[Entry]
) -> Entry | None:
    name = next((name for name in (collection.key, INDEX) if name in query.start), None)
    if name is None:
        return None
    value = query.start[name]
    marker = cluster.paging.marker(collection.path, name, value)
    if marker is None and name == collection.key:
        marker = next((entry for entry in present if entry.value(name) == value), None)
    if marker is None:
        raise invalid_value(f"start.{name}", value, "a record of the collection")
    return marker


def _link(
    cluster: SimulatedCluster,
    request: ReceivedRequest,
    collection: Collection,
    page: Page,
    present: Iterable[Entry],
) -> str | None:
    if page.marker is None:
        return None
    name, value = collection.key, page.marker.value(collection.key)
    if not isinstance(value, str) or sum(entry.value(name) == value for entry in present) > 1:
        name, value = INDEX, str(page.marker.sequence)
    cluster.paging.remember_marker(collection.path, name, value, page.marker)
    start = [(name, value)]
    if page.elapsed_seconds:
        start.append((ELAPSED, str(page.elapsed_seconds)))
    return next_link(request.path, request.query, start)
