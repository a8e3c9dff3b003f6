"""Faults of the packages listing: they change a correct page."""

from typing import cast

from exporter.simulator.api.collection_pages import next_link
from exporter.simulator.api.request_queries import PAGE, START_PARAMETERS, page_number
from exporter.simulator.faults.fault import Fault, FaultKind
from exporter.simulator.state.received_requests import ReceivedRequest

ODD_RECORDS: tuple[object, ...] = ("9.14.1", 7, None, ["9.14.1"], True)


def altered_listing(
    document: dict[str, object], fault: Fault, request: ReceivedRequest, *, origin: str
) -> dict[str, object]:
    """Return the page after a fault of the listing has changed it.

    Args:
        document: The honest page.
        fault: The fault.
        request: The request for the page.
        origin: Scheme, host and port of the cluster.
    """
    records = cast("list[dict[str, object]]", document["records"])
    altered = _altered_records(fault, records)
    document = {**document, "records": altered}
    if "num_records" in document:
        document["num_records"] = len(altered)
    links = cast("dict[str, dict[str, str]]", document.get("_links", {}))
    link = _altered_link(fault, request, links.get("next", {}).get("href"), origin)
    if link is not None:
        document["_links"] = {**links, "next": {"href": link}}
    return document


def _altered_records(  # noqa: PLR0911 - one for each kind
    fault: Fault, records: list[dict[str, object]]
) -> list[object]:
    match fault.kind:
        case FaultKind.EMPTY_PAGE:
            return []
        case FaultKind.MISSING_CREATE_TIME:
            return [
                {name: value for name, value in record.items() if name != "create_time"} for record in records
            ]
        case FaultKind.ODD_CREATE_TIME:
            return [{**record, "create_time": fault.text} for record in records]
        case FaultKind.DUPLICATE_VERSIONS:
            return [copy for record in records for copy in (record, record)]
        case FaultKind.NULL_VERSIONS:
            return [*records, {"version": None, "create_time": "2019-02-04T19:00:00+00:00"}]
        case FaultKind.ODD_RECORDS:
            return [*records, *ODD_RECORDS]
        case _:
            return [*records]


def _altered_link(fault: Fault, request: ReceivedRequest, honest: str | None, origin: str) -> str | None:
    """The next link that a fault writes; None if it leaves the honest one, or none."""
    # The page that was asked for once more, by a link that counts on and so was never seen before.
    start = {name: value for name, value in request.query if name in START_PARAMETERS}
    again = next_link(request, {**start, PAGE: str(page_number(request) + 1)})
    match fault.kind:
        case FaultKind.PAGING_LOOP:
            return request.target
        case FaultKind.PAGING_BACK:
            return next_link(request, {})
        case FaultKind.EMPTY_PAGE | FaultKind.ENDLESS_PAGING:
            return again
        case FaultKind.FOREIGN_LINK:
            return fault.location.replace("{target}", honest or again)
        case FaultKind.ABSOLUTE_LINK:
            return f"{origin}{honest or again}"
        case _:
            return None
