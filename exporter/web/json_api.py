"""For programs, as JSON: ``/api/v1/clusters``, ``/api/v1/cleanup`` and ``/sd``; and ``/config`` as text."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import hdrs, web

from exporter.polling.board import ClusterStatus
from exporter.web.answers import answer
from exporter.web.cleanup_json import Page, run_as_json, status_as_json, summary_of
from exporter.web.parameters import asked_number, asked_once, named_cluster, recorded_run
from exporter.web.sources import SOURCES

MOST_ON_PAGE: Final = 1000
_JSON: Final[Mapping[str, str]] = {hdrs.CONTENT_TYPE: "application/json; charset=utf-8"}
_NO_CLEANUP: Final = b'{"configured": false, "policies": [], "clusters": [], "runs": []}'


async def clusters(request: web.Request) -> web.StreamResponse:
    """Answer with every cluster as JSON, or with those that ``cluster`` names."""
    sources = request.app[SOURCES]
    names = frozenset(request.query.getall("cluster", []))

    async def make() -> Iterator[bytes]:
        now = sources.wall_clock()
        statuses = sources.board.statuses()
        documents = (_as_json(status, now) for status in statuses if not names or status.name in names)
        return itertools.chain([b'{"clusters": '], _json_list(documents), [b"}"])

    return await answer(request, make, _JSON, variant=names, is_selected=bool(names))


async def cluster(request: web.Request) -> web.Response:
    """Answer with one cluster as JSON: 404 if it is unknown."""
    return web.json_response(_as_json(named_cluster(request), request.app[SOURCES].wall_clock()))


async def targets(request: web.Request) -> web.StreamResponse:
    """Answer with a group for each cluster; its target is the name that ``/probe`` takes.

    Source: Prometheus, "HTTP SD": a JSON list of ``{"targets": [...], "labels": {...}}``.
    """
    sources = request.app[SOURCES]

    async def make() -> Iterator[bytes]:
        return _json_list(map(_group, sources.board.statuses()))

    return await answer(request, make, _JSON)


async def config(request: web.Request) -> web.StreamResponse:
    """Answer with the applied configuration, its secrets masked; thousands of clusters take a second."""
    sources = request.app[SOURCES]

    async def make() -> Iterator[bytes]:
        return (sources.masked_config().encode() for _ in range(1))

    headers: dict[str, str] = {hdrs.CONTENT_TYPE: "text/plain; charset=utf-8"}  # which browsers show
    return await answer(request, make, headers)


async def cleanup(request: web.Request) -> web.StreamResponse:
    """Answer with policies, next runs and the last runs with every verdict and outcome, as JSON."""
    page = _page(request)
    configured = request.app[SOURCES].cleanup()

    async def make() -> Iterator[bytes]:
        if configured is None:
            return iter([_NO_CLEANUP])
        statuses = page.statuses(configured.board.statuses())
        found, problem = await configured.service.recorded(page.runs)
        runs = found or ()
        summary = summary_of(
            configured.service.policies(),
            configured.service.pauses(),
            halted=configured.state().halted,
            problem=problem,
        )
        head = {"configured": True, **summary, "next": _link(page.following(statuses, runs))}
        return itertools.chain(
            [json.dumps(head).encode()[:-1], b', "clusters": '],
            _json_list(map(status_as_json, statuses)),
            [b', "runs": '],
            _json_list(map(run_as_json, runs)),
            [b"}"],
        )

    try:
        return await answer(request, make, _JSON, variant=page, is_selected=page != Page())
    except ValueError as exc:
        raise web.HTTPBadRequest(text=f"{exc}\n") from None


async def cleanup_run(request: web.Request) -> web.Response:
    """Answer with one run as JSON: 404 if the journal has none, 503 if there is no journal now."""
    return web.json_response(run_as_json(await recorded_run(request)))


def _json_list(documents: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Write a list of JSON, a document at a time."""
    separator = b"["
    for document in documents:
        yield separator + json.dumps(document).encode()
        separator = b", "
    yield b"]" if separator != b"[" else b"[]"


def _as_json(status: ClusterStatus, now: float) -> dict[str, Any]:
    """Return a cluster as ``/api/v1/clusters`` shows it; times are Unix seconds."""
    inventory = status.fresh_inventory(now)
    identity = status.inventory.identity if status.inventory else None
    poll = status.last_poll
    return {
        "cluster": status.name,
        "address": status.address,
        "labels": dict(status.labels),
        "up": status.up if poll is not None else None,
        "identity": None
        if identity is None
        else {"name": identity.name, "uuid": identity.uuid, "ontap_version": identity.ontap_version},
        "polls": status.polls,
        "poll_failures": {str(reason): count for reason, count in status.failures.items()},
        "last_poll": None
        if poll is None
        else {
            "timestamp_seconds": poll.ended_timestamp_seconds,
            "duration_seconds": poll.duration_seconds,
            "failure": None
            if poll.failure is None
            else {"reason": str(poll.failure.reason), "message": poll.failure.message},
        },
        "last_successful_poll_timestamp_seconds": status.inventory_timestamp_seconds,
        "pages": status.inventory.listing.pages if status.inventory else None,
        "unnamed_packages": inventory.listing.unnamed if inventory else None,
        "packages": None
        if inventory is None
        else [
            {
                "version": package.version,
                "create_timestamp_seconds": package.create_timestamp_seconds,
                "age_seconds": None
                if package.create_timestamp_seconds is None
                else max(now - package.create_timestamp_seconds, 0.0),
                "in_use": inventory.in_use(package),
            }
            for package in inventory.listing.packages
        ],
    }


def _group(status: ClusterStatus) -> dict[str, Any]:
    return {
        "targets": [status.name],
        "labels": {
            "cluster": status.name,
            **dict(status.labels),
            "__meta_ontap_cluster": status.name,
            "__meta_ontap_address": status.address,
            **{f"__meta_ontap_label_{name}": value for name, value in status.labels},
        },
    }


def _page(request: web.Request) -> Page:
    """Return the page that a query asks for.

    Raises:
        HTTPBadRequest: a parameter has no such value, or is given twice.
    """
    limit, before, after = (asked_once(request, name) for name in ("limit", "before", "after"))
    return Page(
        limit=Page().limit if limit is None else asked_number("limit", limit, lowest=1, highest=MOST_ON_PAGE),
        before=None if before is None else asked_number("before", before),
        after=after,
        clusters=frozenset(request.query.getall("cluster", [])),
    )


def _link(page: Page | None) -> str | None:
    """Return a page as a link that is relative to any page of the report."""
    if page is None:
        return None
    query = [("limit", str(page.limit)), ("before", str(page.before or 0))]
    query += [] if page.after is None else [("after", page.after)]
    query += [("cluster", name) for name in sorted(page.clusters)]
    return f"?{urlencode(query)}"
