"""In a real browser, everybody can use the pages, which keep their place and ask no other site."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from exporter.ontap.errors import Reason
from exporter.polling.board import Board
from exporter.simulator import Package, SimulatedCluster, Simulator
from exporter.simulator.exporter_configuration import exporter_config, write_secret
from exporter.web.pages.fleet_page import ROWS
from exporter.web.routes import build_application
from support.browser import Visitor, browsing, chromium
from support.daemon_process import program
from support.pages import failing, polled
from support.stub_sources import sources
from support.waiting import eventually

pytestmark = [
    pytest.mark.skipif(chromium() is None, reason="Chromium is missing"),
    pytest.mark.timeout(300),
]
LISTEN = "--web.listen-address=127.0.0.1:0"
CLUSTERS = 2000
DESK = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 800}
REFRESH_MILLISECONDS = 15_000
CLEANUP = """
cleanup:
  state: sqlite:///state.db
  policies:
    - {name: retire-old, every: 1s, older_than: 90d, seen_for: 0s, dry_run: false}
"""


def fleet() -> Board:
    """Return 2,000 clusters of which one is down."""
    board = Board(on_change=lambda _: None)
    for number in range(CLUSTERS):
        status = polled(f"c{number:04}", ("9.14.1", float(number)), site=f"s{number % 9}")
        board.put(failing(status, Reason.TLS) if number == 7 else status)
    return board


async def test_the_demo_is_accessible_in_both_themes_and_on_a_phone() -> None:
    async with program("demo", LISTEN) as daemon, browsing() as browser:
        await daemon.until_ready()
        for scheme, size in product(("light", "dark"), (DESK, PHONE)):
            visitor = await Visitor.on(browser, daemon.url, color_scheme=scheme, viewport=size)
            for path in ("/", "/clusters/ams-prod-01", "/clusters/syd-dr-01", "/cleanup"):
                await visitor.go(path)
                await visitor.check()
            await visitor.close()


async def test_a_cluster_is_found_and_its_deletion_followed_to_its_outcome(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    clusters = [
        SimulatedCluster(f"ams-{number}", packages=[Package("9.9.1", now - timedelta(days=age))])
        for number, age in enumerate((30, 60, 600))
    ]
    clusters[2].hold_jobs()
    async with Simulator(clusters, directory=tmp_path) as simulator, browsing() as browser:
        config = tmp_path / "config.yaml"
        write_secret(config, exporter_config(simulator, poll_interval="1s", extra=CLEANUP))
        async with program("run", f"--config.file={config}", LISTEN) as daemon:
            visitor = await Visitor.on(browser, daemon.url)
            page = visitor.page

            async def shows(text: str) -> bool:
                await page.reload()
                return text in await page.inner_text("main")

            await visitor.go("/")
            await eventually(lambda: shows("3 of 3 clusters answered"), seconds=60, what="every cluster")
            await page.get_by_role("link", name="Oldest package").click()
            assert await visitor.names() == ["ams-0", "ams-1", "ams-2"]
            await page.get_by_role("link", name="Oldest package").click()
            assert await visitor.names() == ["ams-2", "ams-1", "ams-0"]
            await page.get_by_label("Older than").fill("50d")
            await page.get_by_role("button", name="Show").click()
            assert await visitor.names() == ["ams-2", "ams-1"]
            await page.get_by_role("link", name="ams-2").click()
            await eventually(lambda: shows("its job is running"), seconds=60, what="the deletion")
            await page.get_by_role("link", name="retire-old").first.click()
            assert ": retire-old on ams-2" in await page.inner_text("h1")
            clusters[2].release_jobs()
            await eventually(lambda: shows("deleted"), seconds=60, what="the outcome")
            await visitor.check()
            await page.get_by_role("link", name="ams-2").click()
            await eventually(lambda: shows("The repository is empty."), seconds=60, what="the next poll")
            await page.go_back()
            await page.go_back()
            await page.go_back()
            assert await visitor.names() == ["ams-1"]
            assert await page.get_by_label("Older than").input_value() == "50d"
            assert not visitor.troubles


async def test_a_page_of_2000_clusters_refreshes_itself_and_keeps_its_place() -> None:
    board = fleet()
    server = TestServer(build_application(sources(board=board), shared_seconds=0))
    async with browsing() as browser:
        await server.start_server()
        visitor = await Visitor.on(browser, str(server.make_url("/")), viewport=PHONE)
        page = visitor.page
        await page.clock.install()
        await visitor.go("/?sort=name&state=up")
        await visitor.check()
        assert await visitor.names() == [f"c{number:04}" for number in range(ROWS + 1) if number != 7]
        link = page.get_by_role("link", name="c0090")
        await link.focus()
        await link.scroll_into_view_if_needed()
        place = await page.evaluate("scrollY")
        assert place > 1000
        await page.evaluate("document.querySelector('input[name=q]').value = 'typed'")
        board.put(polled("c0090", ("9.99.1", 1.0), site="moved"))
        await page.clock.fast_forward(REFRESH_MILLISECONDS)
        await page.locator("tr[data-cluster=c0090]", has_text="site=moved").wait_for()
        assert await page.evaluate("document.activeElement.textContent") == "c0090"
        assert await page.evaluate("scrollY") == place
        assert await page.locator("input[name=q]").input_value() == "typed"
        assert page.url.endswith("/?sort=name&state=up")
        assert not await page.locator("#gone").is_visible()
        assert not visitor.troubles
        await visitor.go("/clusters/c0090")
        board.keep({status.name for status in board.statuses()} - {"c0090"})
        await page.clock.fast_forward(REFRESH_MILLISECONDS)
        await page.locator("#gone").wait_for()
        assert "The exporter answers: 404 Not Found." in await page.inner_text("#gone")
        await visitor.go("/?sort=name&state=up")
        await server.close()
        await page.clock.fast_forward(REFRESH_MILLISECONDS)
        await page.locator("#gone").wait_for()
        assert "does not answer" in await page.inner_text("#gone")
        assert len(await visitor.names()) == ROWS


async def test_everything_works_without_javascript() -> None:
    server = TestServer(build_application(sources(board=fleet()), shared_seconds=0))
    await server.start_server()
    async with browsing() as browser:
        visitor = await Visitor.on(browser, str(server.make_url("/")), java_script_enabled=False)
        page = visitor.page
        await visitor.go("/")
        assert (await visitor.names())[0] == "c0007"
        await page.get_by_label("Label").fill("site=s7")
        await page.get_by_role("button", name="Show").click()
        assert (await visitor.names())[:2] == ["c0007", "c0016"]
        await page.get_by_role("link", name="Next").click()
        assert "page 2 of 3" in await page.inner_text("main")
        await page.get_by_role("link", name="All clusters").click()
        await page.get_by_role("link", name="1 down").click()
        assert await visitor.names() == ["c0007"]
        assert await page.locator("time").first.get_attribute("title") == "2027-01-15T07:59:55Z"
        assert not visitor.troubles
    await server.close()


async def test_times_are_in_the_readers_zone() -> None:
    server = TestServer(build_application(sources(board=fleet()), shared_seconds=0))
    await server.start_server()
    async with browsing() as browser:
        visitor = await Visitor.on(
            browser, str(server.make_url("/")), timezone_id="Asia/Tokyo", locale="en-GB"
        )
        await visitor.go("/clusters/c0007")
        assert "17:00:00 GMT+9" in str(await visitor.page.locator("time").first.get_attribute("title"))
        assert "17:00:00" in await visitor.page.inner_text("footer")
    await server.close()


async def test_the_keyboard_alone_reaches_the_content_and_the_clusters() -> None:
    server = TestServer(build_application(sources(board=fleet()), shared_seconds=0))
    await server.start_server()
    async with browsing() as browser:
        visitor = await Visitor.on(browser, str(server.make_url("/")))
        page = visitor.page
        await visitor.go("/")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Skip to content"
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.closest('main') !== null")
        await page.get_by_role("link", name="c0007").press("Enter")
        await page.wait_for_url("**/clusters/c0007")
    await server.close()
