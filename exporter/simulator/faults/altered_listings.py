"""Faults of the packages listing: an honest page, and what a fault makes of it."""

from collections.abc import Callable

from exporter.simulator.api.page_collecting import next_link
from exporter.simulator.api.request_queries import START_PREFIX
from exporter.simulator.faults.fault import Fault, FaultKind
from exporter.simulator.state.received_requests import ReceivedRequest
from exporter.simulator.state.simulated_cluster import SimulatedCluster

UNIQUE = "unique"
"""The parameter that tells links apart which lead to the same page."""
ODD_RECORDS: tuple[object, ...] = ("9.14.1", 7, None, ["9.14.1"], True)


def distorted(
    document: dict[str, object], fault: Fault, cluster: SimulatedCluster, request: ReceivedRequest
) -> dict[str, object]:
    """The page as a fault of the listing leaves it."""
    records = document.get("records")
    changed = _changed_records(fault, list(records) if isinstance(records, list) else [])
    if changed is not None:
        result = {**document, "records": changed}
        return {**result, "num_records": len(changed)} if "num_records" in document else result
    if fault.kind is FaultKind.EMPTY_PAGE:
        document = {**document, "records": []}
        if "num_records" in document:
            document["num_records"] = 0
    return _with_next(document, _link(document, fault, cluster, request))


def _changed_records(fault: Fault, records: list[object]) -> list[object] | None:
    match fault.kind:
        case FaultKind.MISSING_CREATE_TIME:
            return [_edited(record, lambda fields: fields.pop("create_time", None)) for record in records]
        case FaultKind.ODD_CREATE_TIME:
            return [
                _edited(record, lambda fields: fields.update(create_time=fault.text)) for record in records
            ]
        case FaultKind.DUPLICATE_VERSIONS:
            return [copy for record in records for copy in (record, record)]
        case FaultKind.NULL_VERSIONS:
            return [*records, {"version": None, "create_time": "2019-02-04T19:00:00+00:00"}]
        case FaultKind.ODD_RECORDS:
            return [*records, *ODD_RECORDS]
        case _:
            return None


def _edited(record: object, edit: Callable[[dict[str, object]], object]) -> object:
    if not isinstance(record, dict):
        return record
    fields = dict(record)
    edit(fields)
    return fields


def _link(
    document: dict[str, object], fault: Fault, cluster: SimulatedCluster, request: ReceivedRequest
) -> str:
    again = _again(cluster, request)
    honest = _next(document) or again
    match fault.kind:
        case FaultKind.PAGING_LOOP:
            return request.target
        case FaultKind.PAGING_BACK:
            return next_link(request.path, request.query, ())
        case FaultKind.FOREIGN_LINK:
            return fault.location.replace("{target}", honest)
        case FaultKind.ABSOLUTE_LINK:
            return f"{cluster.url}{honest}"
        case _:
            return again


def _again(cluster: SimulatedCluster, request: ReceivedRequest) -> str:
    """A link to the page that was asked for, different from every earlier one."""
    start = [
        (name.removeprefix(START_PREFIX), value)
        for name, value in request.query
        if name.startswith(START_PREFIX) and name != START_PREFIX + UNIQUE
    ]
    return next_link(request.path, request.query, [*start, (UNIQUE, cluster.paging.unique())])


def _next(document: dict[str, object]) -> str | None:
    links = document.get("_links")
    following = links.get("next") if isinstance(links, dict) else None
    return str(following["href"]) if isinstance(following, dict) else None


def _with_next(document: dict[str, object], link: str) -> dict[str, object]:
    links = document.get("_links")
    return {**document, "_links": {**(links if isinstance(links, dict) else {}), "next": {"href": link}}}
