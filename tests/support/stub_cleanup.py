"""Made-up cleanup for the handlers of pages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from exporter.cleanup.cleanup_board import NO_TOTALS, CleanupBoard, PolicyStatus
from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import Deletion, Phase, PolicyPause, Run
from exporter.cleanup.report import Page
from exporter.config import PolicyConfig
from exporter.metrics.cleanup import CLEANUP_FAMILIES, LEASE_FAMILIES, CleanupState
from exporter.metrics.exposition import Exposition
from exporter.web.sources import CleanupSources
from support.stub_sources import NOW


def cleanup_saying(text: str) -> CleanupSources:
    """Return cleanup whose every name, reason and message is this text."""
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

    async def recorded_runs(_: Page) -> tuple[Sequence[Run], str]:
        return (run,), text

    async def recorded_on(_: str, __: int) -> tuple[Sequence[Run], str]:
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
        recorded_runs=recorded_runs,
        recorded_on=recorded_on,
        recorded_run=recorded_run,
    )
