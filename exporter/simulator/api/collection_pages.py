"""Documents of collections, page by page, and of single objects: which records, which fields, which links.

A next link has all parameters of its page, so the cluster need not remember its links.

Source: https://docs.netapp.com/us-en/ontap-automation/rest/basic_operational_characteristics.html
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from exporter.simulator.api.request_queries import (
    PAGE,
    START,
    START_PARAMETERS,
    CollectionQuery,
    ObjectQuery,
    parsed_query,
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
    fields: Sequence[str]
    later_fields: Mapping[str, tuple[int, int]]
    """Fields that came with a later release than 9.6, and that release."""

    def fields_of(self, cluster: SimulatedCluster) -> tuple[str, ...]:
        """The fields that the cluster's release knows."""
        later = [field for field, since in self.later_fields.items() if cluster.release >= since]
        return (*self.fields, *later)


async def collection_document(
    cluster: SimulatedCluster,
    request: ReceivedRequest,
    collection: Collection,
    numbered: Iterable[tuple[int, Record]],
    *,
    record_seconds: float = 0.0,
) -> dict[str, object]:
    """One page: it ends with the last record, at `max_records`, or when `return_timeout` is up.

    The numbers of the records grow. Collecting one record takes `record_seconds`; a page has at least one,
    even if that takes longer than `return_timeout`.

    Raises:
        RefusedError: A parameter is not known, or its value is out of range.
    """
    query = parsed_query(CollectionQuery, request)
    selected = query.selected(collection.fields_of(cluster)) or {collection.default_field}
    left = [(number, record) for number, record in numbered if number >= query.start]
    size = query.max_records
    if record_seconds > 0:
        size = max(1, int(min(size, query.return_timeout / record_seconds)))
    page = [record for _, record in left[:size]]
    await cluster.clock.sleep(len(page) * record_seconds)
    records = [
        with_self(
            {name: value for name, value in record.items() if name == collection.key or name in selected},
            f"{collection.path}/{quote(str(record[collection.key]), safe='')}",
            request,
        )
        for record in page
    ]
    link = None
    if len(left) > size:
        link = next_link(request, {START: left[size][0], PAGE: query.page + 1})
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

    `start` has the parameters that say where the next page begins; none leads to the first page.
    """
    original = [(name, value) for name, value in request.query if name not in START_PARAMETERS]
    return f"{request.path}?" + "&".join(
        f"{quote(name, safe='')}={quote(str(value), safe='')}" for name, value in [*start.items(), *original]
    )


def single_object(
    document: Record, request: ReceivedRequest, known: Sequence[str], *, key: str = ""
) -> dict[str, object]:
    """The part of a single object that a request asks for: all fields, or those in `fields` and the key.

    Raises:
        RefusedError: A parameter is not known, or its value is out of range.
    """
    fields = parsed_query(ObjectQuery, request).selected(known) or known
    return {name: value for name, value in document.items() if name == key or name in fields}


def wants_links(request: ReceivedRequest) -> bool:
    """Say whether the client asked for all links: with `application/json` ONTAP keeps `next` alone."""
    return "application/json" not in request.headers.get("Accept", "")


def with_self(record: Record, href: str, request: ReceivedRequest) -> Record:
    """A record with the link to itself, if the client asked for links."""
    return {**record, "_links": {"self": {"href": href}}} if wants_links(request) else record
