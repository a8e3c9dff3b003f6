"""What the path and the query of a request ask for; what cannot be is refused with the reason."""

from __future__ import annotations

import re
from typing import Final

from aiohttp import web

from exporter.cleanup.records import Run
from exporter.polling.board import ClusterStatus
from exporter.web.sources import SOURCES

_HIGHEST: Final = 2**63 - 1
_NUMBER: Final = re.compile("[0-9]{1,19}")


def named_cluster(request: web.Request) -> ClusterStatus:
    """Return the cluster that a path names by its ``name``.

    Raises:
        HTTPNotFound: it is not configured.
    """
    name = request.match_info["name"]
    status = request.app[SOURCES].board.get(name)
    if status is None:
        raise web.HTTPNotFound(text=f"No cluster named {name!r} is configured.\n")
    return status


async def recorded_run(request: web.Request) -> Run:
    """Return the run that a path names by its ``id``.

    Raises:
        HTTPBadRequest: the id is no number.
        HTTPNotFound: the journal has no such run.
        HTTPServiceUnavailable: there is no journal now.
    """
    run_id = asked_number("id", request.match_info["id"])
    configured = request.app[SOURCES].cleanup()
    if configured is None:
        raise web.HTTPNotFound(text="Cleanup is not configured.\n")
    found, problem = await configured.service.recorded(lambda runs: runs.get(run_id))
    if problem:
        raise web.HTTPServiceUnavailable(text=f"The journal cannot be read: {problem}\n")
    if found is None:
        raise web.HTTPNotFound(text=f"The journal has no run {run_id}.\n")
    return found


def asked_once(request: web.Request, name: str) -> str | None:
    """Return a parameter of a query; None without it.

    Raises:
        HTTPBadRequest: it is given twice.
    """
    given = request.query.getall(name, [])
    if len(given) > 1:
        raise web.HTTPBadRequest(text=f"{name}: given more than once\n")
    return given[0] if given else None


def asked_number(name: str, text: str, *, lowest: int = 0, highest: int = _HIGHEST) -> int:
    """Return a number of a query or a path.

    Raises:
        HTTPBadRequest: it is none, or out of range.
    """
    if _NUMBER.fullmatch(text) is None or not lowest <= int(text) <= highest:
        raise web.HTTPBadRequest(text=f"{name}: a whole number from {lowest} to {highest} is expected\n")
    return int(text)
