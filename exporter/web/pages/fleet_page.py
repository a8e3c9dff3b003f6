"""``/``: the fleet at a glance, as far as the address asks for it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web

from exporter.cleanup.cleanup_board import PolicyStatus
from exporter.config import PolicyConfig, parse_duration
from exporter.ontap.errors import Reason
from exporter.ontap.requests.versions import parse_release
from exporter.web.answers import answer
from exporter.web.pages.attention import needs
from exporter.web.pages.fleet_row import FleetRow, State, row_of
from exporter.web.pages.rendering import common_values, page_headers, render
from exporter.web.parameters import asked_number, asked_once
from exporter.web.sources import SOURCES, Sources

ROWS: Final = 100
"""This many clusters are on one page."""
STATE_WORDS: Final[Mapping[State, str]] = {
    State.UP: "up",
    State.DOWN: "down",
    State.STALE: "with unknown packages",
    State.UNPOLLED: "not polled yet",
    State.OLD: "with old packages",
    State.WAITING: "with packages to clean",
}

_SORTS: Final[Mapping[str, Callable[[FleetRow], Any]]] = {
    "name": lambda row: row.status.name.casefold(),
    "state": lambda row: str(row.reason or ("up" if row.status.up else "unpolled")),
    "release": lambda row: row.release_name and parse_release(row.release_name),
    "packages": lambda row: row.packages,
    "oldest": lambda row: row.oldest_seconds,
    "waiting": lambda row: row.waiting,
    "last_poll": lambda row: row.status.last_poll and row.status.last_poll.ended_timestamp_seconds,
}
"""What ``sort`` may ask for, with ``-`` in front for the reverse; what is not known comes last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetQuery:
    """What is asked for."""

    q: str = ""
    """Text in the name, the address, a label's value, ONTAP's name or a package's version."""
    state: str = ""
    """A :class:`State`, or the reason of failed polls; "" for all."""
    label: tuple[str, ...] = ()
    """``name=value``, or a name alone, of labels that a cluster has; all must match."""
    sort: str = ""
    """One of the columns, with ``-`` in front for the reverse; "" puts what is wrong first."""
    older_than: str = ""
    """Only clusters with a package older than this duration; "" for all."""
    page: int = 1

    @classmethod
    def parse(cls, request: web.Request) -> FleetQuery:
        """Read the query of an address; parameters without a value, and unknown ones, ask for nothing.

        Raises:
            HTTPBadRequest: a parameter is given twice, or cannot have this value; the text names it.
        """
        q, state, sort, older_than, page = (
            (asked_once(request, name) or "").strip() for name in ("q", "state", "sort", "older_than", "page")
        )
        states = [*State, *Reason]
        if state and state not in states:
            text = f"state: one of {', '.join(states)} is expected, not {state!r}\n"
            raise web.HTTPBadRequest(text=text)
        if sort and sort.removeprefix("-") not in _SORTS:
            raise web.HTTPBadRequest(text=f"sort: one of {', '.join(_SORTS)} is expected, not {sort!r}\n")
        if older_than:
            try:
                parse_duration(older_than)
            except ValueError as exc:
                raise web.HTTPBadRequest(text=f"older_than: {exc}\n") from None
        return cls(
            q=q,
            state=state,
            label=tuple(one for one in request.query.getall("label", []) if one),
            sort=sort,
            older_than=older_than,
            page=asked_number("page", page or "1", lowest=1),
        )

    @property
    def is_filter(self) -> bool:
        """Whether some clusters may be left out."""
        return bool(self.q or self.state or self.label or self.older_than)

    def link(self, **changes: object) -> str:
        """Return the relative address of this query with some changes, from page 1 on."""
        changed = replace(self, **{"page": 1, **changes})  # type: ignore[arg-type]
        values = [(one.name, getattr(changed, one.name)) for one in fields(changed)]
        given = [(name, value) for name, value in values if value and (name, value) != ("page", 1)]
        return f"?{urlencode(given, doseq=True)}" if given else "./"

    def sorted_by(self, column: str) -> str:
        """Return the address that sorts by a column, the other way round if it is sorted by it already."""
        return self.link(sort=f"-{column}" if self.sort == column else column)

    def order_of(self, column: str) -> str | None:
        """Return how a column is sorted, as ``aria-sort`` says it; None if it is not."""
        return {column: "ascending", f"-{column}": "descending"}.get(self.sort)

    def choose(self, rows: Iterable[FleetRow]) -> list[FleetRow]:
        """Return what is asked for of all pages, in order."""
        older_than = parse_duration(self.older_than).total_seconds() if self.older_than else None
        needle = self.q.casefold()
        chosen = [
            row
            for row in rows
            if (not self.state or self.state in row.states())
            and (older_than is None or (row.oldest_seconds is not None and row.oldest_seconds > older_than))
            and all(_has_label(row, wanted) for wanted in self.label)
            and (not needle or any(needle in text.casefold() for text in _texts(row)))
        ]
        if not self.sort:
            return sorted(
                chosen, key=lambda row: (row.status.up, row.status.last_poll is None, row.status.name)
            )
        value = _SORTS[self.sort.removeprefix("-")]
        known = [row for row in chosen if value(row) is not None]
        known.sort(key=value, reverse=self.sort.startswith("-"))
        return known + [row for row in chosen if value(row) is None]


async def fleet_page(request: web.Request) -> web.StreamResponse:
    """Answer with the fleet at a glance: 400 if a parameter has an impossible value."""
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
        counts["old_packages"] += len(row.old)
        counts["waiting_packages"] += row.waiting or 0
        counts["unknown_ages"] += row.unknown_ages
        counts["unknown_use"] += bool(row.packages) and row.in_use is None
    return counts


def _has_label(row: FleetRow, wanted: str) -> bool:
    name, has_value, value = wanted.partition("=")
    given = dict(row.status.labels).get(name)
    return given is not None and (not has_value or given == value)


def _texts(row: FleetRow) -> Iterable[str]:
    yield row.status.name
    yield row.status.address
    for _, value in row.status.labels:
        yield value
    inventory = row.inventory
    if inventory is not None:
        if inventory.identity is not None and inventory.identity.name:
            yield inventory.identity.name
        for package in inventory.listing.packages:
            yield package.version
