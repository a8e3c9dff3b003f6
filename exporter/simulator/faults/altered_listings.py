"""Faults of the packages listing: they change a correct page."""

from typing import cast

from exporter.simulator.api.collection_pages import next_link
from exporter.simulator.api.request_queries import PAGE, START_PARAMETERS, page_number
from exporter.simulator.faults.fault import Fault, FaultKind
from exporter.simulator.state.received_requests import ReceivedRequest


def altered_listing(
    document: dict[str, object], fault: Fault, request: ReceivedRequest, *, origin: str
) -> dict[str, object]:
    """Return a correct page after a fault of the listing has changed it; `origin` is the cluster's."""
    altered = dict(document)
    if fault.kind is FaultKind.EMPTY_PAGE:
        altered["records"] = []
        if "num_records" in document:
            altered["num_records"] = 0
    links = cast("dict[str, dict[str, str]]", document.get("_links", {}))
    link = _altered_link(fault, request, links.get("next", {}).get("href"), origin)
    if link is not None:
        altered["_links"] = {**links, "next": {"href": link}}
    return altered


def _altered_link(fault: Fault, request: ReceivedRequest, correct: str | None, origin: str) -> str | None:
    """The next link that a fault writes; None if it leaves the correct one, or none."""
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
            return fault.location.replace("{target}", correct or again)
        case FaultKind.ABSOLUTE_LINK:
            return f"{origin}{correct or again}"
        case _:
            return None
