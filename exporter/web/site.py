"""Where browsers find the pages, and what protects the pages from other sites that a browser shows.

Source: Prometheus's ``--web.external-url`` and ``--web.route-prefix``; ``CrossOriginProtection`` of Go's
``net/http`` for requests from other sites.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.typedefs import Handler
from yarl import URL

from exporter.web.connections import SERVER

CONTENT_POLICY: Final = "Content-Security-Policy"
_SAFE_METHODS: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
_PREFIX: Final = re.compile(r"[A-Za-z0-9._~/-]*")
_OF_PAGES: Final = {
    CONTENT_POLICY: "default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "deny",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where browsers find the pages."""

    external: URL | None = None
    """The address in the browser, with its path, or that path alone: then ``Host`` is not checked."""
    prefix: str = ""
    """What every path begins with here: empty, or for example ``/ontap``."""
    grafana: str = ""
    """Grafana's address, with a ``/`` at the end; "": not known, so no page links to it."""

    @property
    def external_prefix(self) -> str:
        """What every path begins with in the browser."""
        return self.prefix if self.external is None else _prefix(self.external.path)

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what another site made a browser send; a middleware for all paths."""
        host = request.headers.get(hdrs.HOST, "")
        if self.external is not None and self.external.raw_host and not self._is_ours(host):
            text = f"This exporter is at {self.external}, and not at the host that was asked for.\n"
            return web.Response(status=421, text=text)
        if request.method not in _SAFE_METHODS and self._is_cross_origin(request, host):
            return web.Response(status=403, text="A page of another site may not change anything here.\n")
        return await handler(request)

    def _is_ours(self, host: str) -> bool:
        """Say whether no other site can have this name: it is ours, an address, or a local name."""
        try:
            name = (URL(f"//{host}").raw_host or "").rstrip(".")
        except ValueError:
            return False
        is_known = self.external is not None and name == self.external.raw_host
        return is_known or "." not in name or _is_address(name)

    def _is_cross_origin(self, request: web.Request, host: str) -> bool:
        fetch_site = request.headers.get("Sec-Fetch-Site")
        if fetch_site is not None:
            return fetch_site not in {"same-origin", "none"}
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None:  # no browser
            return False
        ours = {host.lower(), "" if self.external is None else self.external.host_port_subcomponent}
        try:
            return (URL(origin).host_port_subcomponent or "null") not in ours
        except ValueError:
            return True


def parse_site(external_url: str | None, route_prefix: str | None, grafana_url: str | None = None) -> Site:
    """Read the values of ``--web.external-url``, ``--web.route-prefix`` and ``--web.grafana-url``.

    Raises:
        ValueError: one of them is not of this form.
    """
    external = _external_url(external_url) if external_url else None
    prefix = _prefix(route_prefix or (external.path if external else ""))
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(f"not a path of pages: {prefix!r}; write e.g. /ontap")
    grafana = str(_browser_url(grafana_url)) if grafana_url else ""
    return Site(external=external, prefix=prefix, grafana=grafana)


def _external_url(text: str) -> URL:
    """Return a URL for browsers, or a path as Prometheus accepts it, with a ``/`` at its end."""
    is_path = text.startswith("/") and not text.startswith("//") and _PREFIX.fullmatch(text) is not None
    return URL(f"{_prefix(text)}/") if is_path else _browser_url(text)


def _browser_url(text: str) -> URL:
    """Return a URL for browsers, with a ``/`` at its end."""
    message = f"not a URL for browsers: {text!r}; write e.g. https://ontap.example.com/"
    try:
        given = URL(text)
    except ValueError:
        raise ValueError(message) from None
    if given.scheme not in {"http", "https"} or not given.raw_host or given.raw_user is not None:
        raise ValueError(message)
    if given.raw_query_string or given.raw_fragment:
        raise ValueError(message)
    return given.with_path(f"{_prefix(given.path)}/")


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add what every answer says unless its handler says something else; a signal."""
    response.headers[hdrs.SERVER] = SERVER
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    if response.content_type == "text/html":
        for name, value in _OF_PAGES.items():
            response.headers.setdefault(name, value)
    if request.version < HttpVersion11:  # such a client waits for the end of the connection
        response.force_close()
        response.headers[hdrs.CONNECTION] = "close"  # too late for aiohttp to set it by itself


def _prefix(path: str) -> str:
    return f"/{stripped}" if (stripped := path.strip("/")) else ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
