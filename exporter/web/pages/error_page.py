"""An error as a page for browsers, as text for tools."""

from __future__ import annotations

from html import escape
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
            message=_message_of(exc),
        )
        shown.set_status(exc.status)
        for name in (hdrs.ALLOW, hdrs.RETRY_AFTER):
            if name in exc.headers:
                shown.headers[name] = exc.headers[name]
        return shown


@web.middleware
async def show_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Make a page of a refusal too; it shows nothing of the exporter, since it may come before the login."""
    response = await handler(request)
    if not isinstance(response, web.Response) or response.content_type != "text/plain":
        return response
    if response.status >= HTTPStatus.BAD_REQUEST and _is_browser(request):
        title = f"{response.status} {response.reason}"
        response.text = (
            f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
            f"<h1>{escape(title)}</h1>\n<p>{escape(response.text or '')}</p>\n</html>\n"
        )
        response.content_type = "text/html"
    return response


def _message_of(exc: web.HTTPException) -> str:
    if exc.text != f"{exc.status}: {exc.reason}":
        return exc.text or exc.reason
    if isinstance(exc, web.HTTPMethodNotAllowed):
        return f"This address takes only {', '.join(sorted(exc.allowed_methods))}."
    return "There is no such page."


def _is_browser(request: web.Request) -> bool:
    """Say whether a client prefers HTML, as browsers do; tools ask for anything, or for JSON."""
    first = request.headers.get(hdrs.ACCEPT, "").partition(",")[0].partition(";")[0]
    return request.method in {hdrs.METH_GET, hdrs.METH_HEAD} and first.strip().lower() == "text/html"
