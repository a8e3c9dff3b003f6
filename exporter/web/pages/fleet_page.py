"""``/``: the fleet at a glance."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from aiohttp import web

from exporter.cleanup.cleanup_board import PolicyStatus
from exporter.config import PolicyConfig
from exporter.ontap.errors import Reason
from exporter.web.answers import answer
from exporter.web.pages.attention import needs
from exporter.web.pages.fleet_query import ROWS, STATE_WORDS, FleetQuery
from exporter.web.pages.fleet_row import FleetRow, row_of
from exporter.web.pages.rendering import common_values, page_headers, render
from exporter.web.sources import SOURCES, Sources


async def fleet_page(request: web.Request) -> web.StreamResponse:
    """Answer with the fleet at a glance: 400 if the address asks for what there is not."""
    sources = request.app[SOURCES]
    query = FleetQuery.parse(request)

    async def make() -> Iterator[bytes]:
        return _made(sources, query, common_values(request))

    return await answer(request, make, page_headers(), variant=query, is_selected=query != FleetQuery())


def _made(sources: Sources, query: FleetQuery, values: dict[str, Any]) -> Iterator[bytes]:
    """Make the page, in the thread that takes it."""
    cleanup = sources.cleanup()
    cleaned: defaultdict[str, list[PolicyStatus]] = defaultdict(list)
    policies: Sequence[PolicyConfig] = ()
    if cleanup is not None:
        policies = cleanup.service.policies()
        for one in cleanup.board.statuses():
            cleaned[one.cluster].append(one)
    now = values["now"]
    rows = [row_of(status, cleaned[status.name], policies, now) for status in sources.board.statuses()]
    counts = _count(rows)
    reasons = Counter({reason: counts[reason] for reason in Reason if counts[reason]}).most_common()
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
            "counts": counts,
            "reasons": reasons,
            "cleans": cleanup is not None,
            "needs": list(needs(values["exporter"], reasons, cleanup, unknown=counts["unknown"])),
            "state_words": STATE_WORDS,
        },
    )


def _count(rows: Iterable[FleetRow]) -> Counter[str]:
    """Count the clusters in each state, and the packages of all clusters."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(row.states())
        counts["packages"] += row.packages or 0
        counts["unknown"] += row.is_stale and row.status.up
        counts["old_packages"] += row.old
        counts["waiting_packages"] += row.waiting or 0
        counts["unknown_ages"] += row.unknown_ages
        counts["unknown_use"] += bool(row.packages) and row.in_use is None
    return counts
