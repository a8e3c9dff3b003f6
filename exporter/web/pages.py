"""The same facts for people and programs: the status page, ``/api/v1/clusters`` and ``/config``."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from aiohttp import web

from exporter.metrics.exporter import ExporterState
from exporter.polling.board import ClusterStatus
from exporter.web.sending import json_list, send_blocks, slices
from exporter.web.sources import SOURCES

if TYPE_CHECKING:
    import jinja2


class SharedText:
    """Makes a long text in a thread, once for all who ask for it meanwhile."""

    def __init__(self, make: Callable[[], str], threads: Executor) -> None:
        self._make = make
        self._threads = threads
        self._going_on: asyncio.Future[bytes] | None = None

    async def get(self) -> bytes:
        """Return the text as it is now, in UTF-8."""
        if self._going_on is None:
            loop = asyncio.get_running_loop()
            self._going_on = loop.run_in_executor(self._threads, lambda: self._make().encode())
            self._going_on.add_done_callback(self._made)
        return await asyncio.shield(self._going_on)

    def _made(self, _: asyncio.Future[bytes]) -> None:
        self._going_on = None


CONFIG_TEXT = web.AppKey("config text", SharedText)


async def clusters(request: web.Request) -> web.StreamResponse:
    """Answer with every cluster as JSON."""
    sources = request.app[SOURCES]
    now = sources.wall_clock()
    documents = (_as_json(status, now) for status in sources.board.statuses())
    blocks = itertools.chain([b'{"clusters": '], json_list(documents), [b"}"])
    return await send_blocks(request, blocks, sources.renderers, "application/json")


async def cleanup(request: web.Request) -> web.StreamResponse:
    """Answer with policies, next runs and the last runs with every verdict and outcome, as JSON."""
    sources = request.app[SOURCES]
    document: dict[str, Any] = {"configured": False, "policies": [], "clusters": [], "runs": []}
    if (configured := sources.cleanup()) is not None:
        document = {"configured": True, **await configured.report()}
    text = await asyncio.get_running_loop().run_in_executor(sources.renderers, json.dumps, document)
    return await send_blocks(request, slices(text.encode()), sources.renderers, "application/json")


async def config(request: web.Request) -> web.StreamResponse:
    """Answer with the configuration in force, its secrets masked; thousands of clusters take a second."""
    text = await request.app[CONFIG_TEXT].get()
    return await send_blocks(request, slices(text), request.app[SOURCES].renderers, "application/yaml")


async def status_page(request: web.Request) -> web.StreamResponse:
    """Answer with the fleet at a glance."""
    sources = request.app[SOURCES]
    blocks = _status_blocks(
        sources.board.statuses(),
        now=sources.wall_clock(),
        exporter=sources.exporter_state(),
        telemetry_path=sources.telemetry_path,
    )
    return await send_blocks(request, blocks, sources.renderers, "text/html")


def _status_blocks(
    statuses: Collection[ClusterStatus], *, now: float, exporter: ExporterState, telemetry_path: str
) -> Iterator[bytes]:
    """Write the status page, a piece at a time."""
    pieces = _template().generate(
        rows=(_row(status, now) for status in _worst_first(statuses)),
        up=sum(status.up for status in statuses),
        clusters=len(statuses),
        exporter=exporter,
        telemetry_path=telemetry_path,
    )
    for piece in pieces:
        yield piece.encode()


@functools.cache
def _template() -> jinja2.Template:
    """Load the template at its first use: a daemon that nobody looks at does without the engine."""
    import jinja2  # noqa: PLC0415 - see above

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("exporter.web"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["ago"] = _ago
    return environment.get_template("status.html")


def _worst_first(statuses: Iterable[ClusterStatus]) -> list[ClusterStatus]:
    return sorted(statuses, key=lambda status: (status.up, status.name))


def _row(status: ClusterStatus, now: float) -> dict[str, Any]:
    """Gather what a line of the status page shows; ages in seconds."""
    inventory = status.fresh_inventory(now)
    packages = inventory.listing.packages if inventory else ()
    created = [
        package.create_timestamp_seconds
        for package in packages
        if package.create_timestamp_seconds is not None
    ]
    return {
        "status": status,
        "packages": len(packages) if inventory else None,
        "in_use": [package.version for package in packages if inventory and inventory.in_use(package)],
        "oldest_age": max(now - min(created), 0.0) if created else None,
        "last_poll_age": now - status.last_poll.ended_timestamp_seconds if status.last_poll else None,
        "last_success_age": now - status.inventory_timestamp_seconds if status.inventory else None,
        "release": status.inventory.identity.ontap_version
        if status.inventory and status.inventory.identity
        else None,
    }


def _ago(seconds: float | None) -> str:
    """Write a span of time in its two largest units."""
    if seconds is None:
        return "—"
    left = int(max(seconds, 0))
    parts: list[str] = []
    for unit, length in (("y", 31_536_000), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def _as_json(status: ClusterStatus, now: float) -> dict[str, Any]:
    """Return a cluster as ``/api/v1/clusters`` shows it; times are Unix seconds."""
    inventory = status.fresh_inventory(now)
    identity = status.inventory.identity if status.inventory else None
    poll = status.last_poll
    return {
        "cluster": status.name,
        "address": status.address,
        "labels": dict(status.labels),
        "up": status.up,
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
