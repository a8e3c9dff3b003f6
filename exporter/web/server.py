"""The routes, the health checks, and the server that listens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from socket import socket
from typing import TYPE_CHECKING

from aiohttp import web

from exporter.web import discovery, pages, scrape
from exporter.web.listeners import Listeners
from exporter.web.sources import SOURCES, Sources

if TYPE_CHECKING:
    from exporter.webconfig import Protection

_SHUTDOWN_SECONDS = 1.0
"""How long an answer that is being sent may take when the server stops; aiohttp waits for it twice."""


def build_application(sources: Sources, protection: Protection | None = None) -> web.Application:
    """Build the routes over what is served; ``protection`` is asked before every one of them."""
    application = web.Application(middlewares=[] if protection is None else [protection.guard])
    if protection is not None:
        application.on_response_prepare.append(protection.dress)
    application[SOURCES] = sources
    application[pages.CONFIG_TEXT] = pages.SharedText(sources.masked_config, sources.renderers)
    application.add_routes(
        [
            web.get("/", pages.status_page),
            web.get(sources.telemetry_path, scrape.metrics),
            web.get("/probe", scrape.probe),
            web.get("/sd", discovery.targets),
            web.get("/api/v1/clusters", pages.clusters),
            web.get("/api/v1/cleanup", pages.cleanup),
            web.get("/config", pages.config),
            web.get("/-/healthy", _healthy),
            web.get("/-/ready", _ready),
            web.post("/-/reload", _reload),
            web.put("/-/reload", _reload),
        ]
    )
    return application


@asynccontextmanager
async def serving(
    application: web.Application, sockets: Iterable[socket], protection: Protection | None = None
) -> AsyncIterator[None]:
    """Serve on bound sockets for as long as the context lasts, with the TLS that ``protection`` has."""
    runner = web.AppRunner(
        application,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    await runner.setup()
    assert runner.server is not None  # noqa: S101 - what setup is for
    listeners = Listeners(runner.server, sockets)
    try:
        await listeners.take(None if protection is None else protection.context)
        if protection is not None:
            protection.on_switch(listeners.take)
        yield
    finally:
        await listeners.close()
        await runner.cleanup()


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="ontap-packages-exporter is healthy.\n")


async def _ready(request: web.Request) -> web.Response:
    board = request.app[SOURCES].board
    if waiting := board.unpolled():
        count = len(board.statuses())
        raise web.HTTPServiceUnavailable(text=f"{waiting} of {count} clusters not polled yet.\n")
    return web.Response(text="ontap-packages-exporter is ready.\n")


async def _reload(request: web.Request) -> web.Response:
    """Reload the configuration; answer once it is in force, or with everything that is wrong with it."""
    reload = request.app[SOURCES].reload
    if reload is None:
        raise web.HTTPForbidden(text="Reloading by HTTP is off: start with --web.enable-lifecycle.\n")
    if wrong := await reload():
        text = f"The configuration was not reloaded, the one before stays in force:\n{wrong}\n"
        raise web.HTTPInternalServerError(text=text)
    return web.Response(text="The configuration was reloaded.\n")
