"""Pages behind a proxy, and what protects them from other sites that a browser shows."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import hdrs, web
from aiohttp.test_utils import TestClient, TestServer

from exporter.web.routes import build_application
from exporter.web.site import Site, parse_site
from support.guarded import PAGES, WAYS
from support.stub_sources import sources

Client = TestClient[web.Request, web.Application]
EXTERNAL = "https://ontap.example.com/exporter/"


async def nothing_wrong() -> str:
    return ""


@asynccontextmanager
async def serving(site: Site | None = None) -> AsyncIterator[Client]:
    application = build_application(sources(site=site or Site(), reload=nothing_wrong))
    async with TestClient(TestServer(application)) as client:
        yield client


@pytest.mark.parametrize("path", [*PAGES, *WAYS])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
async def test_every_answer_names_no_version_and_is_not_sniffed(path: str, method: str) -> None:
    async with serving() as client, client.request(method, path) as response:
        assert response.headers.getall("Server") == ["ontap-packages-exporter"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_pages_allow_nothing_but_their_own_style() -> None:
    async with serving() as client, client.get("/") as response:
        assert response.content_type == "text/html"
        assert response.headers["X-Frame-Options"] == "deny"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(
    ("external_url", "route_prefix", "prefix"),
    [
        (None, None, ""),
        (None, "/", ""),
        (None, "ontap/", "/ontap"),
        (EXTERNAL, None, "/exporter"),
        (EXTERNAL, "/", ""),
        (EXTERNAL, "", "/exporter"),
        (EXTERNAL, "/a/b", "/a/b"),
        ("http://ontap.example.com", None, ""),
        ("/ontap/", None, "/ontap"),
        ("/ontap", "/", ""),
        ("/", None, ""),
    ],
)
async def test_every_path_is_below_the_prefix(
    external_url: str | None, route_prefix: str | None, prefix: str
) -> None:
    async with serving(parse_site(external_url, route_prefix)) as client:
        for path in PAGES:
            async with client.get(prefix + path) as response:
                assert response.status == 200
            if prefix and path != "/":
                async with client.get(path) as response:
                    assert response.status == 404
        async with client.post(f"{prefix}/-/reload") as response:
            assert response.status == 200


@pytest.mark.parametrize(
    ("site", "place"),
    [
        (parse_site(None, "/ontap"), "/ontap/"),
        (parse_site(EXTERNAL, None), "/exporter/"),
        (parse_site(EXTERNAL, "/inside"), "/exporter/"),
        (parse_site("/ontap/", None), "/ontap/"),
        (parse_site("/ontap/", "/inside"), "/ontap/"),
    ],
)
async def test_the_paths_above_the_pages_lead_to_them(site: Site, place: str) -> None:
    async with serving(site) as client:
        for path in ("/", site.prefix):
            async with client.get(path, allow_redirects=False) as response:
                assert (response.status, response.headers["Location"]) == (302, place)


async def test_links_in_pages_are_relative_and_lead_somewhere() -> None:
    async with serving(parse_site(None, "/ontap")) as client:
        async with client.get("/ontap/") as response:
            links = re.findall(r'href="([^"]*)"', await response.text())
        assert "metrics" in links
        for link in links:
            assert not link.startswith(("/", "http"))
            async with client.get(f"/ontap/{link}") as response:
                assert response.status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:10910",
        "ontap.example.com.evil.example",
        "notontap.example.com",
        "example.com",
        "127.0.0.1.evil.example",
        "ontap.example.com:x",
        "[::1",
    ],
)
async def test_a_request_for_another_host_is_refused(host: str) -> None:
    async with serving(parse_site(EXTERNAL, None)) as client:
        for path in ("/exporter/", "/exporter/metrics", "/no-such-page"):
            async with client.get(path, headers={hdrs.HOST: host}) as response:
                assert response.status == 421
                assert EXTERNAL in await response.text()
    for site in (Site(), parse_site("/", None)):  # nobody has said what the host is
        async with serving(site) as client, client.get("/metrics", headers={hdrs.HOST: host}) as response:
            assert response.status == 200


@pytest.mark.parametrize(
    "host",
    [
        "ontap.example.com",
        "ONTAP.example.com:8443",
        "ontap.example.com.",
        "localhost:10910",
        "exporter",
        "10.1.2.3:10910",
        "[::1]:10910",
    ],
)
async def test_a_request_by_our_name_or_by_address_is_answered(host: str) -> None:
    async with (
        serving(parse_site(EXTERNAL, None)) as client,
        client.get("/exporter/metrics", headers={hdrs.HOST: host}) as response,
    ):
        assert response.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://ontap.example.com"},
        {"Origin": "https://evil.example"},
        {"Origin": "https://ontap.example.com.evil.example"},
        {"Origin": "https://ontap.example.com:8443"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://["},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_page_of_another_origin_cannot_reload(method: str, headers: dict[str, str]) -> None:
    async with (
        serving(parse_site("https://ontap.example.com", None)) as client,
        client.request(method, "/-/reload", headers=headers) as response,
    ):
        assert response.status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://elsewhere.example"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://ontap.example.com"},
        {"Origin": "http://127.0.0.1:10910", "Host": "127.0.0.1:10910"},
    ],
)
async def test_tools_and_our_own_pages_can_reload(headers: dict[str, str]) -> None:
    async with (
        serving(parse_site("https://ontap.example.com", None)) as client,
        client.post("/-/reload", headers=headers) as response,
    ):
        assert response.status == 200


@pytest.mark.parametrize(
    "url",
    [
        "ontap.example.com",
        "ftp://ontap.example.com",
        "https://",
        "https://u@x/",
        "https://x/?q",
        "https://[",
        "//x/",
        "/a b",
    ],
)
def test_an_external_url_that_browsers_cannot_open_is_a_mistake(url: str) -> None:
    with pytest.raises(ValueError, match="not a URL for browsers"):
        parse_site(url, None)


@pytest.mark.parametrize("prefix", ["/a{b}", "/a b", "/a?b"])
def test_a_prefix_that_is_no_path_is_a_mistake(prefix: str) -> None:
    with pytest.raises(ValueError, match="not a path of pages"):
        parse_site(None, prefix)


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/no-such-page"])
async def test_an_answer_to_http_1_0_ends_the_connection(path: str) -> None:
    async with serving() as client:
        assert client.port is not None
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(f"GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode())
        async with asyncio.timeout(10):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert b"Connection: close" in head
        assert body
        writer.close()
        await writer.wait_closed()
