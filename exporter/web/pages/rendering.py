"""Makes pages of templates, and says what the browser may load: our own style and script, nothing else."""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from aiohttp import hdrs, web

from exporter.web.pages import wording
from exporter.web.site import CONTENT_POLICY
from exporter.web.sources import SOURCES

if TYPE_CHECKING:
    import jinja2

_DAY: Final = 86_400.0


async def page(request: web.Request, template: str, **values: object) -> web.Response:
    """Answer with a page; a thread makes it of a file in ``templates`` and the values that it shows."""
    shown = {**common_values(request), **values}
    renderers = request.app[SOURCES].page_renderers
    body = await asyncio.get_running_loop().run_in_executor(renderers, render, template, shown)
    return web.Response(body=body, headers=page_headers())


def render(template: str, values: dict[str, Any]) -> bytes:
    """Return a page as UTF-8."""
    return _environment().get_template(template).render(values).encode()


def page_headers() -> dict[str, str]:
    """Return the headers of a page; "back" in a browser asks for it anew, so that it is never an old one."""
    return {
        hdrs.CONTENT_TYPE: "text/html; charset=utf-8",
        hdrs.CACHE_CONTROL: "no-store",
        CONTENT_POLICY: _content_policy(),
    }


def common_values(request: web.Request) -> dict[str, Any]:
    """Return what the frame of every page shows; ``root`` leads from the page to ``/``.

    It is relative, except on the page of an error at a path that is not below the prefix.
    """
    sources = request.app[SOURCES]
    prefix, path = sources.site.prefix, request.rel_url.raw_path
    is_ours = f"{path}/".startswith(f"{prefix}/")
    return {
        "root": "../" * (path.count("/") - prefix.count("/") - 1)
        if is_ours
        else f"{sources.site.external_prefix}/",
        "exporter": sources.exporter_state(),
        "telemetry_path": sources.telemetry_path[1:],
        "grafana": sources.site.grafana,
        "now": sources.wall_clock(),
    }


async def icon(_: web.Request) -> web.Response:
    """Answer with the icon of the pages."""
    return web.Response(text=_file("icon.svg"), content_type="image/svg+xml")


@functools.cache
def _environment() -> jinja2.Environment:
    """Make the environment at the first page: until then, jinja2 is not loaded."""
    import jinja2  # noqa: PLC0415 - see above
    import markupsafe  # noqa: PLC0415 - likewise

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("exporter.web.pages"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"span": span, "days": days, "utc": utc, "segment": _segment}
    environment.globals |= {
        "style": markupsafe.Markup(_file("pages.css")),  # noqa: S704 - our own file
        "script": markupsafe.Markup(_file("pages.js")),  # noqa: S704 - likewise
        "wording": wording,
    }
    return environment


@functools.cache
def _file(name: str) -> str:
    return (resources.files("exporter.web.pages") / "templates" / name).read_text(encoding="utf-8")


@functools.cache
def _content_policy() -> str:
    def digest(name: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(_file(name).encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; style-src {digest('pages.css')}; script-src {digest('pages.js')}; "
        "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def span(seconds: float | None) -> str:
    """Write a span of time in its two largest units."""
    if seconds is None:
        return "—"
    left = int(max(seconds, 0))
    parts: list[str] = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def days(seconds: float | None) -> str:
    """Write the age of a package: whole days, hours on its first day."""
    if seconds is None:
        return "unknown"
    return f"{seconds // _DAY:.0f} d" if seconds >= _DAY else f"{max(seconds, 0.0) // 3600:.0f} h"


def utc(timestamp_seconds: float) -> str:
    """Write a moment as ISO 8601 in UTC; one that no calendar has, as seconds."""
    try:
        return datetime.fromtimestamp(timestamp_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, OSError, ValueError):
        return f"{timestamp_seconds:.0f} s"


def _segment(name: str) -> str:
    """Write a name as one segment of a path."""
    return quote(name, safe="")
