"""Debian's Chromium without a window, and what goes wrong on its pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

from support.programs import UNPACKED

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
"""The tests may run as root, and in a container with little shared memory."""


def chromium() -> str | None:
    """Return where Chromium is; Debian's wrapper knows its place on an installed system only."""
    unpacked = UNPACKED / "usr" / "lib" / "chromium" / "chromium"
    return str(unpacked) if unpacked.exists() else shutil.which("chromium")


def environment() -> dict[str, str | float | bool]:
    """Return the environment of Chromium, some of whose libraries and fonts may only be unpacked."""
    folders = {file.parent for file in UNPACKED.rglob("lib*.so*")}
    if not folders:
        return {**os.environ}
    fonts = UNPACKED / "fonts.conf"
    folders_of_fonts = (UNPACKED / "usr" / "share" / "fonts", Path("/usr/share/fonts"))
    listed = "".join(f"<dir>{folder}</dir>" for folder in folders_of_fonts)
    fonts.write_text(f"<fontconfig>{listed}</fontconfig>", encoding="utf-8")
    libraries = os.pathsep.join(sorted(map(str, folders)))
    return {**os.environ, "LD_LIBRARY_PATH": libraries, "FONTCONFIG_FILE": str(fonts)}


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """Run Chromium until the block is left."""
    with pytest.MonkeyPatch.context() as patch:  # Playwright's node finds its libraries there too
        for name, value in environment().items():
            patch.setenv(name, str(value))
        playwright = await async_playwright().start()
    try:
        browser = await playwright.chromium.launch(
            executable_path=chromium(), args=FLAGS, env=environment(), timeout=120_000
        )
        try:
            yield browser
        finally:
            await browser.close()
    finally:
        await playwright.stop()


@dataclass
class Visitor:
    """One tab, and what has gone wrong in it.

    Attributes:
        page: the tab.
        url: where the site is.
        troubles: errors of scripts, refused content, and requests to other sites.
    """

    page: Page
    url: str
    troubles: list[str] = field(default_factory=list)

    @classmethod
    async def on(cls, browser: Browser, url: str, **settings: Any) -> Visitor:
        """Open a tab; settings are those of a context."""
        context = await browser.new_context(**settings)
        page = await context.new_page()
        page.set_default_timeout(60_000)
        visitor = cls(page=page, url=url.rstrip("/"))
        page.on("console", visitor._note_message)
        page.on("pageerror", lambda error: visitor.troubles.append(str(error)))
        page.on("request", visitor._note_request)
        return visitor

    async def go(self, path: str) -> None:
        """Open a page of the site."""
        response = await self.page.goto(self.url + path)
        assert response is not None
        assert response.status == 200, await response.text()

    async def check(self) -> None:
        """Check the page that is shown.

        Raises:
            AssertionError: it is wider than the window, not accessible, or something went wrong.
        """
        assert await self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "too wide"
        found = (await Axe().run(self.page)).response["violations"]
        assert not [(one["id"], one["help"], one["nodes"][0]["html"]) for one in found], self.page.url
        assert not self.troubles, self.page.url

    async def names(self) -> list[str]:
        """Return the clusters that the table shows, in order."""
        rows = await self.page.locator("tr[data-cluster]").all()
        return [str(await row.get_attribute("data-cluster")) for row in rows]

    async def close(self) -> None:
        """Close the tab and what it has kept."""
        await self.page.context.close()

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.troubles.append(message.text)

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith(f"{self.url}/"):
            self.troubles.append(f"a request to {request.url}")
