"""Cleanup for programs: ``/api/v1/cleanup``, page by page, and one run of it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlencode

from aiohttp import hdrs, web

from exporter.cleanup.records import Run
from exporter.cleanup.report import Page, run_as_json, status_as_json, summary_of
from exporter.web.answers import answer
from exporter.web.cluster_api import JSON_TYPE, json_list
from exporter.web.sources import SOURCES

MOST_ON_PAGE: Final = 1000
HIGHEST_ID: Final = 2**63 - 1
_NUMBER: Final = re.compile("[0-9]{1,19}")
_NOTHING: Final = b'{"configured": false, "policies": [], "clusters": [], "runs": []}'


async def report(request: web.Request) -> web.StreamResponse:
    """Answer with policies, next runs and the last runs with every verdict and outcome, as JSON."""
    page = _page(request)
    configured = request.app[SOURCES].cleanup()

    async def make() -> Iterator[bytes]:
        if configured is None:
            return iter([_NOTHING])
        statuses = page.statuses(configured.board.statuses())
        runs, problem = await configured.service.recorded_runs(page)
        summary = summary_of(
            configured.service.policies(),
            configured.service.pauses(),
            halted=configured.state().halted,
            problem=problem,
        )
        head = {"configured": True, **summary, "next": _link(page.following(statuses, runs))}
        return itertools.chain(
            [json.dumps(head).encode()[:-1], b', "clusters": '],
            json_list(map(status_as_json, statuses)),
            [b', "runs": '],
            json_list(map(run_as_json, runs)),
            [b"}"],
        )

    headers: dict[str, str] = {hdrs.CONTENT_TYPE: JSON_TYPE}
    try:
        return await answer(request, make, headers, variant=page, is_selected=page != Page())
    except ValueError as exc:
        raise web.HTTPBadRequest(text=f"{exc}\n") from None


async def run(request: web.Request) -> web.Response:
    """Answer with one run as JSON: 404 if the journal has none, 503 if there is no journal now."""
    document = json.dumps(run_as_json(await recorded_run(request)))
    return web.Response(body=document.encode(), headers={hdrs.CONTENT_TYPE: JSON_TYPE})


async def recorded_run(request: web.Request) -> Run:
    """Return the run that a path names by its ``id``.

    Raises:
        HTTPBadRequest: the id is no number.
        HTTPNotFound: the journal has no such run.
        HTTPServiceUnavailable: there is no journal now.
    """
    run_id = asked_number("id", request.match_info["id"], highest=HIGHEST_ID)
    configured = request.app[SOURCES].cleanup()
    if configured is None:
        raise web.HTTPNotFound(text="Cleanup is not configured.\n")
    found, problem = await configured.service.recorded_run(run_id)
    if problem:
        raise web.HTTPServiceUnavailable(text=f"The journal cannot be read: {problem}\n")
    if found is None:
        raise web.HTTPNotFound(text=f"The journal has no run {run_id}.\n")
    return found


def _page(request: web.Request) -> Page:
    """Return the page that a query asks for.

    Raises:
        HTTPBadRequest: a parameter has no such value, or is given twice.
    """
    limit, before, after = (asked_once(request, name) for name in ("limit", "before", "after"))
    return Page(
        limit=Page().limit if limit is None else asked_number("limit", limit, lowest=1, highest=MOST_ON_PAGE),
        before=None if before is None else asked_number("before", before, highest=HIGHEST_ID),
        after=after,
        clusters=frozenset(request.query.getall("cluster", [])),
    )


def asked_once(request: web.Request, name: str) -> str | None:
    """Return a parameter of a query; None without it.

    Raises:
        HTTPBadRequest: it is given twice.
    """
    given = request.query.getall(name, [])
    if len(given) > 1:
        raise web.HTTPBadRequest(text=f"{name}: given more than once\n")
    return given[0] if given else None


def asked_number(name: str, text: str, *, lowest: int = 0, highest: int) -> int:
    """Return a number of a query or a path.

    Raises:
        HTTPBadRequest: it is none, or out of range.
    """
    if _NUMBER.fullmatch(text) is None or not lowest <= int(text) <= highest:
        raise web.HTTPBadRequest(text=f"{name}: a whole number from {lowest} to {highest} is expected\n")
    return int(text)


def _link(page: Page | None) -> str | None:
    """Return a page as a link that is relative to any page of the report."""
    if page is None:
        return None
    query = [("limit", str(page.limit)), ("before", str(page.before or 0))]
    query += [] if page.after is None else [("after", page.after)]
    query += [("cluster", name) for name in sorted(page.clusters)]
    return f"?{urlencode(query)}"
