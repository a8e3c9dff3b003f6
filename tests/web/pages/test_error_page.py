"""An error is a page for browsers and text for tools."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import TestClient, TestServer

from exporter.web.routes import build_application
from support.stub_sources import sources

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/clusters/<b>nobody", 404, "No cluster named"),
        ("/cleanup/runs/1", 404, "Cleanup is not configured."),
        ("/cleanup/runs/x", 400, "id: a whole number"),
        ("/?state=x", 400, "state: one of"),
        ("/no/such/page", 404, ""),
        ("/probe", 400, "Name one cluster"),
    ],
)
@pytest.mark.parametrize("accept", [BROWSER, "*/*", "application/json, text/html;q=0.5", "text/plain", ""])
async def test_a_browser_gets_a_page_and_a_tool_gets_text(
    *, path: str, status: int, says: str, accept: str
) -> None:
    async with (
        TestClient(TestServer(build_application(sources()))) as client,
        client.get(path, headers={"Accept": accept} if accept else {}) as response,
    ):
        text = await response.text()
        assert response.status == status
        assert says in text
        assert "<b>" not in text or response.content_type == "text/plain"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        if accept == BROWSER:
            assert response.content_type == "text/html"
            assert "Content-Security-Policy" in response.headers
            root = "../" * (path.partition("?")[0].count("/") - 1)
            assert f'href="{root or "./"}"' in text
        else:
            assert response.content_type == "text/plain"


async def test_what_an_error_says_to_machines_is_kept_for_browsers() -> None:
    async with (
        TestClient(TestServer(build_application(sources()))) as client,
        client.get("/-/reload", headers={"Accept": BROWSER}) as response,
    ):
        assert response.status == 405
        assert response.headers["Allow"] == "POST,PUT"
