"""``/cleanup`` and ``/cleanup/runs/ID``: policies, runs, verdicts and deletions."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from heapq import nlargest
from typing import Any, Final

from aiohttp import web

from exporter.cleanup.cleanup_board import PolicyStatus
from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import PolicyPause
from exporter.config import PolicyConfig, format_duration
from exporter.web.cleanup_json import Page, decisions_of
from exporter.web.pages.attention import cleanup_needs
from exporter.web.pages.rendering import page
from exporter.web.parameters import asked_number, asked_once, recorded_run
from exporter.web.sources import SOURCES

RUNS: Final = 50
"""This many runs are on one page."""
MOST_FAILED: Final = 100


async def cleanup_page(request: web.Request) -> web.Response:
    """Answer with policies and runs: 400 if a parameter has an impossible value."""
    sources = request.app[SOURCES]
    cleanup = sources.cleanup()
    if cleanup is None:
        return await page(request, "no_cleanup.html")
    before = asked_once(request, "before")
    clusters = frozenset(name for name in request.query.getall("cluster", []) if name)
    asked = Page(
        limit=RUNS,
        before=None if not before else asked_number("before", before),
        clusters=clusters,
    )
    found, problem = await cleanup.service.recorded(asked.runs)
    runs = found or ()
    statuses = [one for one in cleanup.board.statuses() if not clusters or one.cluster in clusters]
    policies = await asyncio.get_running_loop().run_in_executor(
        sources.page_renderers, policy_rows, cleanup.service.policies(), statuses, cleanup.service.pauses()
    )
    failed = [one for one in statuses if one.totals.last_success is False]
    return await page(
        request,
        "cleanup.html",
        policies=policies,
        needs=list(cleanup_needs(cleanup)),
        state=cleanup.state(),
        problem=problem,
        leases=[lease.held for lease in cleanup.board.leases()],
        failed=nlargest(MOST_FAILED, failed, key=lambda one: one.totals.last_ended_timestamp_seconds or 0.0),
        all_failed=len(failed),
        runs=runs,
        asked=asked,
        older=runs[-1].id if runs and asked.is_filled_by(runs) else None,
    )


async def run_page(request: web.Request) -> web.Response:
    """Answer with one run: 404 if the journal has none, 503 if there is no journal now."""
    run = await recorded_run(request)
    return await page(request, "run.html", run=run, decisions=decisions_of(run))


def policy_rows(
    policies: Iterable[PolicyConfig], statuses: Iterable[PolicyStatus], pauses: Iterable[PolicyPause]
) -> list[dict[str, Any]]:
    """Sum up each policy on all its clusters, for the template."""
    by_policy: defaultdict[str, list[PolicyStatus]] = defaultdict(list)
    for status in statuses:
        by_policy[status.policy].append(status)
    paused = {pause.policy: pause for pause in pauses}
    return [
        {"policy": policy, "rules": _rules(policy), "pause": paused.get(policy.name)}
        | _sums(by_policy[policy.name])
        for policy in policies
    ]


def _sums(statuses: Sequence[PolicyStatus]) -> dict[str, Any]:
    planned: Counter[tuple[str, str]] = Counter()
    outcomes: Counter[Outcome] = Counter()
    for status in statuses:
        planned.update(status.totals.planned or {})
        outcomes.update(status.totals.outcomes)
    due = [one.next_run_timestamp_seconds for one in statuses]
    ended = [one.totals.last_ended_timestamp_seconds for one in statuses]
    return {
        "clusters": len(statuses),
        "next_run": min((timestamp for timestamp in due if timestamp is not None), default=None),
        "last_run": max((timestamp for timestamp in ended if timestamp is not None), default=None),
        "planned": planned,
        "outcomes": +outcomes,  # without those that have not occurred
        "in_progress": sum(status.in_progress for status in statuses),
    }


def _rules(policy: PolicyConfig) -> list[str]:
    """Say what a policy deletes and when."""
    rules = []
    if policy.older_than is not None:
        rules.append(f"older than {format_duration(policy.older_than)}")
    if policy.keep_newest is not None:
        rules.append(f"not among the {policy.keep_newest} newest")
    if policy.seen_for:
        rules.append(f"in the listing for {format_duration(policy.seen_for)}")
    if tuple(policy.include) != ("*",):
        rules.append(f"only {', '.join(policy.include)}")
    if policy.exclude:
        rules.append(f"but not {', '.join(policy.exclude)}")
    if policy.approved_plan is not None:
        rules.append("only what the saved plan names")
    rules.append(f"at most {policy.max_deletes_per_run} in a run")
    when = (
        f"at {policy.schedule} ({policy.timezone})"
        if policy.every is None
        else f"every {format_duration(policy.every)}"
    )
    return [*rules, when]
