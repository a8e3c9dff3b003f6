"""An error is a page for browsers and text for tools."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import TestClient, TestServer

from exporter.web.routes import build_application
from exporter.web.site import parse_site
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


async def test_a_refusal_is_a_small_page_for_browsers() -> None:
    stub = sources(site=parse_site("https://ours.example", None))
    async with TestClient(TestServer(build_application(stub))) as client:
        for accept, kind in ((BROWSER, "text/html"), ("*/*", "text/plain")):
            async with client.get("/", headers={"Host": "evil.example", "Accept": accept}) as response:
                assert (response.status, response.content_type) == (421, kind)
                assert "This exporter is at https://ours.example" in await response.text()
                assert ("Content-Security-Policy" in response.headers) is (kind == "text/html")


@pytest.mark.parametrize("path", ["/other", "/other/x", "/ontapp"])
async def test_the_links_of_an_error_outside_the_prefix_lead_to_the_pages(path: str) -> None:
    stub = sources(site=parse_site("https://ours.example/a", "/ontap"))
    async with (
        TestClient(TestServer(build_application(stub))) as client,
        client.get(path, headers={"Accept": BROWSER}) as response,
    ):
        assert response.status == 404
        assert 'href="/a/cleanup"' in await response.text()


async def test_what_an_error_says_to_machines_is_kept_for_browsers() -> None:
    async with (
        TestClient(TestServer(build_application(sources()))) as client,
        client.get("/-/reload", headers={"Accept": BROWSER}) as response,
    ):
        assert response.status == 405
        assert response.headers["Allow"] == "POST,PUT"
        assert "This address takes only POST, PUT." in await response.text()
