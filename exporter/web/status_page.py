"""The status page: the fleet at a glance, for people."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Collection, Iterable, Iterator
from importlib import resources
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web

from exporter.metrics.exporter import ExporterState
from exporter.polling.board import ClusterStatus
from exporter.web.answers import answer
from exporter.web.site import CONTENT_POLICY
from exporter.web.sources import SOURCES

if TYPE_CHECKING:
    import jinja2


async def status_page(request: web.Request) -> web.StreamResponse:
    """Answer with the fleet at a glance."""
    sources = request.app[SOURCES]

    async def make() -> Iterator[bytes]:
        return _pieces(
            sources.board.statuses(),
            now=sources.wall_clock(),
            exporter=sources.exporter_state(),
            telemetry_path=sources.telemetry_path,
        )

    headers = {hdrs.CONTENT_TYPE: "text/html; charset=utf-8", CONTENT_POLICY: _content_policy()}
    return await answer(request, make, headers)


def _pieces(
    statuses: Collection[ClusterStatus], *, now: float, exporter: ExporterState, telemetry_path: str
) -> Iterator[bytes]:
    """Write the status page, a piece at a time."""
    pieces = _template().generate(
        rows=(_row(status, now) for status in _worst_first(statuses)),
        up=sum(status.up for status in statuses),
        unpolled=sum(status.last_poll is None for status in statuses),
        clusters=len(statuses),
        exporter=exporter,
        telemetry_path=telemetry_path,
    )
    for piece in pieces:
        yield piece.encode()


@functools.cache
def _template() -> jinja2.Template:
    """Load the template at its first use: if nobody opens the page, jinja2 is not loaded."""
    import jinja2  # noqa: PLC0415 - see above
    import markupsafe  # noqa: PLC0415 - likewise

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("exporter.web"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["ago"] = _ago
    environment.globals["style"] = markupsafe.Markup(_style())  # noqa: S704 - our own file
    return environment.get_template("status.html")


@functools.cache
def _style() -> str:
    return (resources.files("exporter.web") / "templates" / "pages.css").read_text(encoding="utf-8")


@functools.cache
def _content_policy() -> str:
    """Allow nothing but our own style and links."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    nothing_else = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return f"default-src 'none'; style-src 'sha256-{digest}'; {nothing_else}"


def _worst_first(statuses: Iterable[ClusterStatus]) -> list[ClusterStatus]:
    """Order failing clusters first, then those that have not been polled yet, each by name."""
    return sorted(statuses, key=lambda status: (status.up, status.last_poll is None, status.name))


def _row(status: ClusterStatus, now: float) -> dict[str, Any]:
    """Return the values of a row of the status page; ages in seconds."""
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
