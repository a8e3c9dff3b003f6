"""Whatever is said on a page stays text: a real browser finds the same elements."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from urllib.parse import quote

import pytest
from aiohttp.test_utils import TestServer
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.ontap.errors import Reason
from exporter.polling.board import Board
from exporter.web.routes import build_application
from support.browser import Visitor, browsing, chromium
from support.pages import failing, polled
from support.stub_cleanup import cleanup_saying
from support.stub_sources import sources

pytestmark = [
    pytest.mark.skipif(chromium() is None, reason="Chromium is missing"),
    pytest.mark.timeout(300),
]
HOSTILE = st.lists(
    st.sampled_from(
        [
            "<script>document.title='no'</script>",
            "<img src=x onerror=alert(1)>",
            "</title></style></script></main>",
            "<!--",
            "-->",
            "<![CDATA[",
            "javascript:alert(1)",
            '" onmouseover="alert(1)',
            "' x='",
            "&lt;b&gt;",
            "&#0;",
            "{{ 7 * 7 }}",
            "{% raw %}",
            "\u2028",
            "\u202e",
            "𝕏ü",
            "a b",
            "/../..%2f?#",
        ]
    ),
    min_size=1,
    max_size=4,
).map("".join)
ELEMENTS = (
    "[...document.querySelectorAll('*')].map("
    "element => [element.tagName, ...[...element.attributes].map(each => each.name)].join(' '))"
)


@dataclass
class Browsed:
    """A browser on a fleet that says one text everywhere; both live in a loop of their own."""

    loop: asyncio.AbstractEventLoop
    visitor: Visitor
    board: Board
    said: str = ""
    plain: list[list[str]] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said = text
        status = polled(text, (text, 500.0), (text, None), running=text, site=text)
        self.board.keep([])
        self.board.put(failing(replace(status, address=text), Reason.TIMEOUT, text))

    def elements(self, path: str) -> list[str]:
        """Return every element of a page with the names of its attributes."""

        async def found() -> list[str]:
            await self.visitor.page.goto(self.visitor.url + path)
            elements: list[str] = await self.visitor.page.evaluate(ELEMENTS)
            return elements

        return self.loop.run_until_complete(found())

    def evaluate(self, expression: str) -> object:
        return self.loop.run_until_complete(self.visitor.page.evaluate(expression))


@pytest.fixture(scope="module")
def browsed() -> Iterator[Browsed]:
    loop = asyncio.new_event_loop()
    board = Board(on_change=lambda _: None)
    found: list[Browsed] = []
    made_up = sources(board=board, cleanup=lambda: cleanup_saying(found[0].said))

    async def start(stack: AsyncExitStack) -> Browsed:
        server = await stack.enter_async_context(TestServer(build_application(made_up, shared_seconds=0)))
        browser = await stack.enter_async_context(browsing())
        visitor = await Visitor.on(browser, str(server.make_url("/")))
        visitor.page.on("dialog", lambda dialog: visitor.troubles.append(dialog.message))
        return Browsed(loop=loop, visitor=visitor, board=board)

    stack = AsyncExitStack()
    found.append(loop.run_until_complete(start(stack)))
    found[0].plain = structure(found[0], "plain")
    yield found[0]
    loop.run_until_complete(stack.aclose())
    loop.close()


def structure(browsed: Browsed, said: str) -> list[list[str]]:
    """Return the elements of every page on which this is said."""
    browsed.say(said)
    name = quote(said, safe="")
    paths = ["/", f"/clusters/{name}", "/cleanup", f"/cleanup?cluster={name}", "/cleanup/runs/7"]
    return [browsed.elements(path) for path in [*paths, f"/?q={name}&label={name}"]]


@settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "12")), deadline=None)
@given(text=HOSTILE)
def test_what_is_said_changes_no_element(browsed: Browsed, text: str) -> None:
    assert structure(browsed, text) == browsed.plain
    browsed.elements("/")
    assert browsed.evaluate("document.querySelector('tr[data-cluster]').dataset.cluster") == text
    assert browsed.evaluate("document.title") == "Fleet | ONTAP packages exporter"
    browsed.elements(f"/clusters/{quote(text, safe='')}")
    assert browsed.evaluate("document.querySelector('h1').textContent") == text
    assert not browsed.visitor.troubles
