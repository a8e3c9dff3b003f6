"""Cleanup for programs: ``/api/v1/cleanup``, page by page, and one run of it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlencode

from aiohttp import hdrs, web

from exporter.cleanup.report import Page, run_as_json, status_as_json, summary_of
from exporter.web.answers import answer
from exporter.web.cluster_api import JSON_TYPE, json_list
from exporter.web.parameters import asked_number, asked_once, recorded_run
from exporter.web.sources import SOURCES

MOST_ON_PAGE: Final = 1000
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
