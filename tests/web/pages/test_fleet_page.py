"""``/`` finds, sorts and sums up clusters, and never shows what is not known as good."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import quote, urlencode, urljoin

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request
from yarl import URL

from exporter.ontap.errors import Reason
from exporter.polling.board import Board, ClusterStatus
from exporter.web.pages.fleet_page import ROWS
from exporter.web.routes import build_application
from support.pages import Shown, failing, polled, unpolled
from support.stub_sources import NOW, STATE, sources

Client = TestClient[Request, Application]
FLEET = (
    polled("ams-1", ("9.14.1", 400.0), ("9.13.1P10", 300.0), ("9.9.1", 20.0), running="9.14.1", site="ams"),
    polled("ams-2", ("9.13.1P8", 100.0), running="9.13.1P10", site="ams", tier="dr"),
    polled("fra-1", running="9.8", site="fra"),
    polled("fra-2", ("9.12.1", None), running=None, site="fra"),
    failing(polled("nyc-1", ("9.10.1", 700.0), ended=NOW - 1000), Reason.TIMEOUT),
    failing(polled("nyc-2", ("9.10.1", 700.0), ended=NOW - 100), Reason.UNAUTHORIZED),
    failing(unpolled("syd-1"), Reason.UNAUTHORIZED, "HTTP 401"),
    unpolled("syd-2"),
)
WORST_FIRST = ["nyc-1", "nyc-2", "syd-1", "syd-2", "ams-1", "ams-2", "fra-1", "fra-2"]


@asynccontextmanager
async def serving(
    statuses: Iterable[ClusterStatus] = FLEET, *, keeping_up: bool = True
) -> AsyncIterator[Client]:
    board = Board(on_change=lambda _: None)
    for status in statuses:
        board.put(status)
    state = replace(STATE, cluster_files_failed=0, keeping_up=keeping_up)
    application = build_application(sources(board=board, exporter_state=lambda: state), shared_seconds=0)
    async with TestClient(TestServer(application)) as client:
        yield client


async def shown(client: Client, **query: str | list[str]) -> Shown:
    async with client.get(f"/?{urlencode(query, doseq=True)}") as response:
        assert response.status == 200, await response.text()
        return Shown.on(await response.text())


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, WORST_FIRST),
        ({"q": "", "state": "", "label": "", "sort": "", "older_than": "", "page": ""}, WORST_FIRST),
        ({"q": "AMS"}, ["ams-1", "ams-2"]),
        ({"q": "9.13.1P1"}, ["ams-1"]),
        ({"q": "nyc-2.example"}, ["nyc-2"]),
        ({"q": "9.10.1"}, ["nyc-2"]),  # what a stale cluster held is not known
        ({"state": "up"}, ["ams-1", "ams-2", "fra-1", "fra-2"]),
        ({"state": "down"}, ["nyc-1", "nyc-2", "syd-1"]),
        ({"state": "unauthorized"}, ["nyc-2", "syd-1"]),
        ({"state": "timeout"}, ["nyc-1"]),
        ({"state": "connection"}, []),
        ({"state": "stale"}, ["nyc-1", "syd-1"]),
        ({"state": "unpolled"}, ["syd-2"]),
        ({"state": "old"}, ["nyc-2", "ams-1"]),
        ({"state": "waiting"}, []),
        ({"label": "site=ams"}, ["ams-1", "ams-2"]),
        ({"label": "tier"}, ["ams-2"]),
        ({"label": ["site=ams", "tier=dr"]}, ["ams-2"]),
        ({"label": "site=nowhere"}, []),
        ({"older_than": "350d"}, ["nyc-2", "ams-1"]),
        ({"older_than": "1h", "label": "site"}, ["ams-1", "ams-2"]),
        ({"state": "up", "sort": "name"}, ["ams-1", "ams-2", "fra-1", "fra-2"]),
        ({"state": "up", "sort": "-name"}, ["fra-2", "fra-1", "ams-2", "ams-1"]),
        ({"state": "up", "sort": "release"}, ["fra-1", "ams-2", "ams-1", "fra-2"]),
        ({"state": "up", "sort": "-release"}, ["ams-1", "ams-2", "fra-1", "fra-2"]),
        ({"state": "up", "sort": "packages"}, ["fra-1", "ams-2", "fra-2", "ams-1"]),
        ({"state": "up", "sort": "oldest"}, ["ams-2", "ams-1", "fra-1", "fra-2"]),
        ({"state": "up", "sort": "-oldest"}, ["ams-1", "ams-2", "fra-1", "fra-2"]),
        ({"q": "syd", "sort": "last_poll"}, ["syd-1", "syd-2"]),
        ({"q": "1", "sort": "state", "label": "site"}, ["ams-1", "ams-2", "fra-1", "fra-2"]),
    ],
    ids=str,
)
async def test_the_address_chooses_and_sorts_clusters(
    query: dict[str, str | list[str]], names: list[str]
) -> None:
    async with serving() as client:
        page = await shown(client, **query)
    assert page.rows == names
    if not names:
        assert "No cluster is like this." in page.text


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("state=green", "state: one of up, down, stale"),
        ("sort=colour", "sort: one of name, state"),
        ("sort=--name", "sort: one of"),
        ("older_than=old", "older_than: not a duration"),
        ("page=0", "page: a whole number from 1"),
        ("page=99999999999999999999", "page: a whole number from 1"),
        ("q=a&q=b", "q: given more than once"),
    ],
)
async def test_what_cannot_be_asked_for_is_a_mistake_that_names_the_parameter(query: str, says: str) -> None:
    async with serving() as client, client.get(f"/?{query}") as response:
        assert response.status == 400
        assert says in await response.text()


async def test_tiles_sum_up_the_fleet_and_lead_to_their_clusters() -> None:
    async with serving() as client:
        page = await shown(client)
        assert "4 of 8 clusters answered their last poll; 1 not polled yet." in page.text
        assert "4 up 3 down" in page.text
        assert "2 with unknown packages" in page.text
        assert "2 with old packages 2 unused packages; of 1 the age is unknown" in page.text
        assert "of 1 clusters the use is unknown" in page.text
        assert "no cleanup none is configured" in page.text
        assert (await shown(client, state="down")).text.count("3 of 8 clusters") == 1
    for state in ("up", "down", "stale", "unpolled", "old", "unauthorized", "timeout"):
        assert f"?state={state}" in page.links


async def test_what_needs_a_person_comes_first_with_what_to_do() -> None:
    async with serving() as client:
        text = (await shown(client)).text
    assert text.index("2 clusters: refuses the login") < text.index("1 cluster: did not answer in time")
    assert text.index("Check user name and password.") < text.index("4 up")


async def test_a_fleet_without_troubles_says_so_and_one_that_is_not_polled_does_not() -> None:
    async with serving([polled("a")]) as client:
        assert "Nothing needs attention." in (await shown(client)).text
    for status in (unpolled("a"), failing(unpolled("a"), Reason.TLS)):
        async with serving([status]) as client:
            assert "Nothing needs attention." not in (await shown(client)).text
    async with serving([]) as client:
        text = (await shown(client)).text
        assert "No cluster is configured." in text
        assert "Nothing needs attention." not in text


async def test_an_empty_repository_is_a_0_and_an_unknown_one_a_dash() -> None:
    async with serving([polled("empty"), failing(unpolled("unknown"), Reason.TLS)]) as client:
        text = (await shown(client, sort="name")).text
    assert "up 9.14.1 0 — — 10 s ago" in text
    assert "tls no answer — — — — 5 s ago" in text


async def test_a_large_fleet_comes_page_by_page_and_keeps_what_is_asked_for() -> None:
    count = 2 * ROWS + 50
    async with serving([polled(f"c{number:04}", site="ams") for number in range(count)]) as client:
        names: list[str] = []
        link = "?sort=-name&label=site%3Dams"
        for number in range(1, 4):
            async with client.get(f"/{link}") as response:
                html = await response.text()
            page = Shown.on(html)
            names += page.rows
            assert f"page {number} of 3" in page.text
            found = re.search(r'rel="next" href="([^"]*)"', html)
            link = found[1].replace("&amp;", "&") if found else ""
        assert not link
        assert names == [f"c{number:04}" for number in reversed(range(count))]
        assert (await shown(client, page="99")).rows == (await shown(client, page="3")).rows


async def test_every_link_of_a_page_is_relative_and_leads_somewhere() -> None:
    strange = "a b/ü?%2F<c>&d"
    async with serving([*FLEET, polled(strange, ("9.1", 1.0), site='"><x')]) as client:
        for path in ("/", f"/clusters/{quote(strange, safe='')}", "/clusters/nyc-1", "/cleanup"):
            async with client.get(URL(path, encoded=True)) as response:
                links = Shown.on(await response.text()).links
            assert len(links) > 5
            for link in links:
                assert not link.startswith(("/", "http"))
                expected = 503 if link.endswith("target=nyc-1") else 200  # a stale cluster has no metrics
                async with client.get(URL(urljoin(path, link), encoded=True)) as response:
                    assert response.status == expected, link


async def test_an_answer_that_is_too_old_is_not_good() -> None:
    """The last poll was good, but it is so long ago that the packages are not known any more."""
    async with serving([polled("a", ("9.14.1", 1.0), ended=NOW - 100_000)]) as client:
        text = (await shown(client)).text
    assert "Nothing needs attention." not in text
    assert "1 cluster: the last good poll is longer ago than stale_after" in text
    assert "up packages unknown" in text


async def test_an_exporter_that_does_not_keep_up_needs_attention() -> None:
    async with serving([polled("a")], keeping_up=False) as client:
        assert "Polls start late, or are skipped" in (await shown(client)).text
