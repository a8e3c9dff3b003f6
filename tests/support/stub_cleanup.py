"""Made-up cleanup for the handlers of pages."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from typing import TypeVar, cast

from exporter.cleanup.cleanup_board import NO_TOTALS, CleanupBoard, PolicyStatus
from exporter.cleanup.journal.runs import RunStore
from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import Deletion, Phase, PolicyPause, Run
from exporter.cleanup.service import CleanupService
from exporter.config import PolicyConfig
from exporter.metrics.cleanup_metrics import CLEANUP_FAMILIES, LEASE_FAMILIES, CleanupState
from exporter.metrics.exposition import Exposition
from exporter.web.sources import CleanupSources
from support.stub_sources import NOW

T = TypeVar("T")


class StubRuns:
    """A journal with these runs, the newest first."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = tuple(runs)

    async def recent(
        self, limit: int, *, before: int | None = None, clusters: Collection[str] = ()
    ) -> tuple[Run, ...]:
        del clusters
        return tuple(run for run in self._runs if before is None or run.id < before)[:limit]

    async def of_cluster(self, cluster: str, limit: int) -> tuple[Run, ...]:
        del cluster
        return self._runs[:limit]

    async def get(self, run_id: int) -> Run | None:
        del run_id
        return self._runs[0]


class StubService(CleanupService):
    """Cleanup that does nothing, whose journal has these runs, and whose every text is the same."""

    def __init__(self, text: str, runs: Sequence[Run]) -> None:
        self.problem = text
        self._runs = StubRuns(runs)

    def policies(self) -> Sequence[PolicyConfig]:
        text = self.problem
        return [PolicyConfig.model_construct(name=text, every=None, schedule=text, timezone=text)]

    def pauses(self) -> Sequence[PolicyPause]:
        text = self.problem
        return [PolicyPause(policy=text, digest="", since_timestamp_seconds=NOW, reason=text)]

    async def recorded(self, ask: Callable[[RunStore], Awaitable[T]]) -> tuple[T | None, str]:
        found = await ask(cast(RunStore, self._runs))
        return found, "" if isinstance(found, Run) else self.problem  # a run is shown only without a problem


def cleanup_saying(text: str, *, runs: int = 1, plan: str | None = None) -> CleanupSources:
    """Return cleanup whose every name, reason and message is this text, with so many runs of such a plan."""
    board = CleanupBoard(on_change=lambda _: None)
    totals = replace(NO_TOTALS, last_success=False, last_failure=text, last_ended_timestamp_seconds=NOW)
    board.put(PolicyStatus(cluster=text, labels=(), policy=text, dry_run=True, recorded=totals, problem=text))
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
        plan=json.dumps([decision]) if plan is None else plan,
        deletions=(deletion,),
    )

    return CleanupSources(
        service=StubService(text, [replace(run, id=number) for number in range(runs, 0, -1)]),
        board=board,
        exposition=Exposition(CLEANUP_FAMILIES),
        leases=Exposition(LEASE_FAMILIES),
        state=lambda: CleanupState(durations={}, halted=True, journal_open=False, paused={}, takeovers=1),
    )
