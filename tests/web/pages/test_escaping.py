"""Whatever is said on a page stays text: a real browser finds the same elements."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from urllib.parse import quote

import pytest
from aiohttp.test_utils import TestServer
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.cleanup.cleanup_board import NO_TOTALS, CleanupBoard, PolicyStatus
from exporter.cleanup.records import Deletion, Outcome, Phase, PolicyPause, Run
from exporter.cleanup.report import Page, Report
from exporter.config import PolicyConfig
from exporter.metrics.cleanup import CLEANUP_FAMILIES, LEASE_FAMILIES, CleanupState
from exporter.metrics.exposition import Exposition
from exporter.ontap.errors import Reason
from exporter.polling.board import Board
from exporter.web.routes import build_application
from exporter.web.sources import CleanupSources
from support.browser import Visitor, browsing, chromium
from support.pages import failing, polled
from support.stub_sources import NOW, sources

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


def told(text: str) -> CleanupSources:
    """Return an account of cleanup in which everybody says this text."""
    board = CleanupBoard(on_change=lambda _: None)
    totals = replace(NO_TOTALS, last_success=False, last_failure=text, last_ended_timestamp_seconds=NOW)
    board.put(PolicyStatus(cluster=text, labels=(), policy=text, dry_run=True, totals=totals, problem=text))
    deletion = Deletion(
        id=1,
        run_id=7,
        cluster_uuid=text,
        cluster=text,
        policy=text,
        policy_digest="",
        version=text,
        create_timestamp_seconds=None,
        phase=Phase.ENDED,
        intended_timestamp_seconds=NOW,
        attempts=1,
        job_uuid=text,
        earlier_job_uuids=frozenset(),
        outcome=Outcome.FAILURE,
        ended_timestamp_seconds=NOW,
        code=text,
        message=text,
    )
    decision = {"version": text, "age_seconds": 9.0, "verdict": "keep", "reason": text, "detail": text}
    run = Run(
        id=7,
        cluster_uuid="",
        cluster=text,
        policy=text,
        dry_run=False,
        started_timestamp_seconds=NOW,
        ended_timestamp_seconds=NOW,
        success=False,
        failure=text,
        error=text,
        plan=json.dumps([decision]),
        deletions=(deletion,),
    )

    async def report(page: Page) -> Report:
        return Report(page=page, statuses=(), runs=(run,), summary={"problem": text})

    async def recorded_runs(_: Page) -> tuple[Sequence[Run], str]:
        return (run,), text

    async def recorded_run(_: int) -> tuple[Run | None, str]:
        return run, ""

    return CleanupSources(
        board=board,
        exposition=Exposition(CLEANUP_FAMILIES),
        leases=Exposition(LEASE_FAMILIES),
        state=lambda: CleanupState(durations={}, halted=True, journal_open=False, paused={}, takeovers=1),
        policies=lambda: [PolicyConfig.model_construct(name=text, every=None, schedule=text, timezone=text)],
        pauses=lambda: [PolicyPause(policy=text, digest="", since_timestamp_seconds=NOW, reason=text)],
        problem=lambda: text,
        report=report,
        recorded_runs=recorded_runs,
        recorded_run=recorded_run,
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
    made_up = sources(board=board, cleanup=lambda: told(found[0].said))

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


@settings(max_examples=12, deadline=None)
@given(text=HOSTILE)
def test_what_is_said_changes_no_element(browsed: Browsed, text: str) -> None:
    assert structure(browsed, text) == browsed.plain
    browsed.elements("/")
    assert browsed.evaluate("document.querySelector('tr[data-cluster]').dataset.cluster") == text
    assert browsed.evaluate("document.title") == "Fleet | ONTAP packages exporter"
    browsed.elements(f"/clusters/{quote(text, safe='')}")
    assert browsed.evaluate("document.querySelector('h1').textContent") == text
    assert not browsed.visitor.troubles
