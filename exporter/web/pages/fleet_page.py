"""``/``: the fleet at a glance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from exporter.web.answers import answer
from exporter.web.pages.attention import needs
from exporter.web.pages.fleet_query import ROWS, STATE_WORDS, FleetQuery, State
from exporter.web.pages.fleet_row import CleanupByCluster, row_of
from exporter.web.pages.rendering import common_values, page_headers, render
from exporter.web.sources import SOURCES, Sources


async def fleet_page(request: web.Request) -> web.StreamResponse:
    """Answer with the fleet at a glance: 400 if the address asks for what there is not."""
    sources = request.app[SOURCES]
    try:
        query = FleetQuery.parse(request.query)
    except ValueError as exc:
        raise web.HTTPBadRequest(text=f"{exc}\n") from None

    async def make() -> Iterator[bytes]:
        return _made(sources, query, common_values(request))

    return await answer(request, make, page_headers(), variant=query, is_selected=query != FleetQuery())


def _made(sources: Sources, query: FleetQuery, values: dict[str, Any]) -> Iterator[bytes]:
    """Make the page, in the thread that takes it."""
    cleanup = sources.cleanup()
    by_cluster = (
        CleanupByCluster()
        if cleanup is None
        else CleanupByCluster.of(cleanup.board.statuses(), cleanup.policies())
    )
    rows = [row_of(status, by_cluster, values["now"]) for status in sources.board.statuses()]
    chosen = query.choose(rows)
    pages = max(1, -(-len(chosen) // ROWS))
    page = min(query.page, pages)
    yield render(
        "fleet.html",
        {
            **values,
            "query": query,
            "rows": chosen[(page - 1) * ROWS : page * ROWS],
            "found": len(chosen),
            "page": page,
            "pages": pages,
            "clusters": len(rows),
            "counts": {
                State.UP: sum(row.status.up for row in rows),
                State.DOWN: sum(row.reason is not None for row in rows),
                State.STALE: sum(row.is_stale for row in rows),
                State.UNPOLLED: sum(row.status.last_poll is None for row in rows),
                State.OLD: sum(row.old > 0 for row in rows),
                State.WAITING: sum(bool(row.waiting) for row in rows),
            },
            "reasons": Counter(row.reason for row in rows if row.reason is not None).most_common(),
            "packages": sum(row.packages or 0 for row in rows),
            "old_packages": sum(row.old for row in rows),
            "unknown_ages": sum(row.unknown_ages for row in rows),
            "unknown_use": sum(bool(row.packages) and row.in_use is None for row in rows),
            "waiting_packages": sum(row.waiting or 0 for row in rows),
            "cleans": cleanup is not None,
            "needs": list(needs(values["exporter"], rows, cleanup)),
            "state_words": STATE_WORDS,
        },
    )
