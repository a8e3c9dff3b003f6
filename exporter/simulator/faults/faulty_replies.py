"""Faults of replies: another answer than the API's, or a listing that is altered."""

from http import HTTPStatus
from typing import cast

from exporter.simulator.api.collection_pages import next_link
from exporter.simulator.api.ontap_replies import Headers, RefusedError, Reply
from exporter.simulator.api.request_queries import PAGE, START_PARAMETERS, page_number
from exporter.simulator.faults.fault import Fault, FaultKind
from exporter.simulator.state.received_requests import ReceivedRequest

_CODES = {
    FaultKind.UNAUTHORIZED: 6691623,
    FaultKind.FORBIDDEN: 6,
    FaultKind.TOO_MANY_REQUESTS: 262160,
    FaultKind.SERVER_ERROR: 262145,
}
_ERROR_KINDS = frozenset({*_CODES, FaultKind.UNAVAILABLE, FaultKind.ERROR, FaultKind.DELETE_ERROR})
_SIGN_IN = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n"


def replaced_reply(fault: Fault, target: str) -> Reply | None:
    """The reply that a fault gives instead of the API; None if the request is to be carried out.

    Raises:
        RefusedError: The reply is an error in ONTAP's form.
    """
    status = fault.status or HTTPStatus.OK
    match fault.kind:
        case kind if kind in _ERROR_KINDS:
            raise _error(fault)
        case FaultKind.RESET:
            return Reply(status=status)
        case FaultKind.HTML:
            return Reply(status=status, body=_SIGN_IN, content_type="text/html; charset=utf-8")
        case FaultKind.REPLY:
            return Reply(
                status=status, body=fault.body, content_type=fault.content_type, headers=_retry_after(fault)
            )
        case FaultKind.REDIRECT:
            location = fault.location.replace("{target}", target)
            status = fault.status or HTTPStatus.TEMPORARY_REDIRECT
            return Reply(status=status, headers=(("Location", location),))
        case _:
            return None


def _error(fault: Fault) -> RefusedError:
    unavailable = fault.kind is FaultKind.UNAVAILABLE
    return RefusedError(
        _CODES.get(fault.kind, fault.code),
        status=fault.status or (HTTPStatus.SERVICE_UNAVAILABLE if unavailable else None),
        message=fault.message,
        headers=_retry_after(fault),
    )


def _retry_after(fault: Fault) -> Headers:
    value = fault.retry_after
    if value is None and fault.kind is FaultKind.TOO_MANY_REQUESTS:
        value = 1
    return () if value is None else (("Retry-After", str(value)),)


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
