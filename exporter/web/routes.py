"""The routes, the health checks, and serving them on sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from socket import SO_SNDBUF, SOL_SOCKET, socket
from typing import TYPE_CHECKING

from aiohttp import web

from exporter.web import json_api, scrape
from exporter.web.addresses import BACKLOG
from exporter.web.admission import LIMITS, BoundedServer, ClientLimits
from exporter.web.answers import ANSWERS, MOST_SELECTIONS, SELECTED_ANSWERS, SHARED_SECONDS, SharedAnswers
from exporter.web.pages import cleanup_pages, cluster_page, fleet_page, rendering
from exporter.web.pages.error_page import show_errors, show_refusals
from exporter.web.site import add_headers
from exporter.web.sources import SOURCES, Sources

if TYPE_CHECKING:
    from exporter.web.auth import Protection

_SEND_BUFFER_BYTES = 256 * 1024
_SHUTDOWN_SECONDS = 1.0
"""How long an answer that is being sent may take when the server stops; aiohttp waits for it twice."""


def build_application(
    sources: Sources, protection: Protection | None = None, *, shared_seconds: float = SHARED_SECONDS
) -> web.Application:
    """Build the routes over what is served; ``protection`` checks every request first."""
    site = sources.site
    checks = [] if protection is None else [protection.authenticate]
    middlewares = [show_refusals, *checks, site.check, show_errors]
    application = web.Application(middlewares=middlewares)
    application.on_response_prepare.append(add_headers)
    if protection is not None:
        application.on_response_prepare.append(protection.add_headers)
    application[SOURCES] = sources
    application[ANSWERS] = SharedAnswers(sources.renderers, shared_seconds=shared_seconds)
    application[SELECTED_ANSWERS] = SharedAnswers(
        sources.renderers, shared_seconds=shared_seconds, most_keys=MOST_SELECTIONS
    )
    handlers = {
        "/": fleet_page.fleet_page,
        "/clusters/{name:.+}": cluster_page.cluster_page,
        "/cleanup": cleanup_pages.cleanup_page,
        "/cleanup/runs/{id}": cleanup_pages.run_page,
        "/icon.svg": rendering.icon,
        sources.telemetry_path: scrape.metrics,
        "/probe": scrape.probe,
        "/sd": json_api.targets,
        "/api/v1/clusters": json_api.clusters,
        "/api/v1/clusters/{name:.+}": json_api.cluster,
        "/api/v1/cleanup": json_api.cleanup,
        "/api/v1/cleanup/runs/{id}": json_api.cleanup_run,
        "/config": json_api.config,
        "/-/healthy": _healthy,
        "/-/ready": _ready,
    }
    application.add_routes(web.get(site.prefix + path, handler) for path, handler in handlers.items())
    application.add_routes(add(f"{site.prefix}/-/reload", _reload) for add in (web.post, web.put))
    if site.prefix:
        application.add_routes(web.get(path, _to_pages) for path in ("/", site.prefix))
    return application


@asynccontextmanager
async def serving(
    application: web.Application,
    sockets: Iterable[socket],
    protection: Protection | None = None,
    *,
    limits: ClientLimits = LIMITS,
) -> AsyncIterator[None]:
    """Serve on bound sockets for as long as the context lasts, then close them.

    ``protection`` has the TLS of the connections; without it, they are plain HTTP.
    """
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    assert runner.server is not None  # noqa: S101 - what setup is for
    server = BoundedServer(runner.server, limits)
    bounded = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
    await bounded.setup()
    try:
        if protection is not None:
            protection.protect(server)
        for bound in sockets:
            # The system should not buffer much that the client does not read. Accepted sockets inherit this.
            bound.setsockopt(SOL_SOCKET, SO_SNDBUF, _SEND_BUFFER_BYTES)
            await web.SockSite(bounded, bound, backlog=BACKLOG).start()
        yield
    finally:
        await bounded.cleanup()
        await runner.cleanup()


async def _to_pages(request: web.Request) -> web.Response:
    raise web.HTTPFound(f"{request.app[SOURCES].site.external_prefix}/")


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="ontap-packages-exporter is healthy.\n")


async def _ready(request: web.Request) -> web.Response:
    board = request.app[SOURCES].board
    if not board.was_complete:
        count = len(board.statuses())
        raise web.HTTPServiceUnavailable(text=f"{board.unpolled} of {count} clusters not polled yet.\n")
    return web.Response(text="ontap-packages-exporter is ready.\n")


async def _reload(request: web.Request) -> web.Response:
    """Reload the configuration; answer when it is applied, or with all its mistakes."""
    reload = request.app[SOURCES].reload
    if reload is None:
        raise web.HTTPForbidden(text="Reloading by HTTP is off: start with --web.enable-lifecycle.\n")
    if wrong := await reload():
        text = f"The configuration was not reloaded, the one before stays applied:\n{wrong}\n"
        raise web.HTTPInternalServerError(text=text)
    return web.Response(text="The configuration was reloaded.\n")
