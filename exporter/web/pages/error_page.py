"""An error as a page for browsers, as text for tools."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from exporter.web.pages.rendering import page


@web.middleware
async def show_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Make a page of an error where the client asks for HTML before anything else; a middleware."""
    try:
        return await handler(request)
    except web.HTTPException as exc:
        if exc.status < HTTPStatus.BAD_REQUEST or not _is_browser(request):
            raise
        shown = await page(
            request,
            "error.html",
            http_status=exc.status,
            title=exc.reason,
            message=exc.text if exc.text != f"{exc.status}: {exc.reason}" else "There is no such page.",
        )
        shown.set_status(exc.status)
        for name in (hdrs.ALLOW, hdrs.RETRY_AFTER):
            if name in exc.headers:
                shown.headers[name] = exc.headers[name]
        return shown


def _is_browser(request: web.Request) -> bool:
    """Say whether a client prefers HTML, as browsers do; tools ask for anything, or for JSON."""
    first = request.headers.get(hdrs.ACCEPT, "").partition(",")[0].partition(";")[0]
    return request.method in {hdrs.METH_GET, hdrs.METH_HEAD} and first.strip().lower() == "text/html"
