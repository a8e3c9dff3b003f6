"""Any sequence of steps, legal or not, does to the journal what it does to a few dictionaries."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from cleanup.journal.conftest import NewState
from cleanup.journal.model import Model, kept
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from exporter.cleanup.journal import Journal, JournalError, open_journal
from exporter.cleanup.journal.history import INTERRUPTED
from exporter.cleanup.records import DURATION_BUCKETS_SECONDS, Deletion, Outcome, Phase, Run

T = TypeVar("T")

TIMES = st.floats(0, 5000)
NAMES = st.sampled_from(["a", "b"])
VERSIONS = st.sampled_from(["9.9.1", "9.10.1", "9.11.1P2"])
CODES = st.sampled_from(["", "1", "2"])
MESSAGES = st.text(st.characters(exclude_categories=()), max_size=8)


class JournalMachine(RuleBasedStateMachine):
    """Drives a journal and the model side by side."""

    runs = Bundle("runs")
    deletions = Bundle("deletions")

    def __init__(self, new_state: NewState) -> None:
        super().__init__()
        self.model = Model()
        self.runner = asyncio.Runner()
        self.state = self.runner.run(new_state())
        self.opened = AsyncExitStack()
        self.journal = self._open()

    def _open(self) -> Journal:
        return self.runner.run(self.opened.enter_async_context(open_journal(self.state)))

    def teardown(self) -> None:
        try:
            self.the_jobs_given_up_agree()
            self.the_totals_agree()
        finally:
            self._close()

    def _close(self) -> None:
        self.runner.run(self.opened.aclose())
        self.runner.close()

    def attempt(self, step: Coroutine[Any, Any, T], *, allowed: bool) -> T | None:
        """Take a step that the model allows, or see it refused."""
        if allowed:
            return self.runner.run(step)
        with pytest.raises(JournalError):
            self.runner.run(step)
        return None

    def move(
        self, deletion: Deletion, step: Coroutine[Any, Any, Deletion], *phases: Phase, **changes: Any
    ) -> Deletion | None:
        """Take a step that is allowed in these phases, and compare the result."""
        moved = self.attempt(step, allowed=self.model.is_in(deletion, *phases))
        if moved is not None:
            expected = replace(self.model.deletions[deletion.id], **changes)
            assert moved == expected
            self.model.deletions[moved.id] = moved
        return moved

    @rule(target=runs, cluster=NAMES, policy=NAMES, dry_run=st.sampled_from([False, False, True]), now=TIMES)
    def begin_run(self, cluster: str, policy: str, *, dry_run: bool, now: float) -> int:
        candidates = len(self.model.runs)
        run_id = self.runner.run(
            self.journal.begin_run(
                cluster=cluster, policy=policy, dry_run=dry_run, plan="[]", candidates=candidates, now=now
            )
        )
        assert run_id > max(self.model.runs, default=0)
        self.model.runs[run_id] = Run(
            id=run_id,
            cluster=cluster,
            policy=policy,
            dry_run=dry_run,
            started_timestamp_seconds=now,
            ended_timestamp_seconds=None,
            success=None,
            error="",
            plan="[]",
        )
        last = self.model.last.setdefault((cluster, policy), {})
        last |= {"candidates": candidates, "last_started_timestamp_seconds": now}
        return run_id

    @rule(run_id=runs, success=st.booleans(), error=MESSAGES, now=TIMES)
    def end_run(self, run_id: int, error: str, *, success: bool, now: float) -> None:
        run = self.model.runs.get(run_id)
        going_on = run is not None and run.ended_timestamp_seconds is None
        self.attempt(self.journal.end_run(run_id, success=success, error=error, now=now), allowed=going_on)
        if run is None or not going_on:
            return
        self.model.end_run(run, error, success=success, now=now)

    @rule(target=deletions, run_id=runs, version=VERSIONS, now=TIMES)
    def intend(self, run_id: int, version: str, now: float) -> Any:
        run = self.model.runs.get(run_id)
        free = run is not None and not [
            one for one in self.model.unended() if (one.cluster, one.version) == (run.cluster, version)
        ]
        deletion = self.attempt(
            self.journal.intend(run_id, version=version, now=now),
            allowed=self.model.may_write_to(run_id) and free,
        )
        return self.added(deletion, version, now, phase=Phase.INTENDED, attempts=1)

    @rule(target=deletions, run_id=runs, version=VERSIONS, message=MESSAGES, now=TIMES)
    def protect(self, run_id: int, version: str, message: str, now: float) -> Any:
        deletion = self.attempt(
            self.journal.leave(run_id, version=version, outcome=Outcome.PROTECTED, message=message, now=now),
            allowed=self.model.may_write_to(run_id),
        )
        if deletion is not None:
            self.model.count(deletion)
        return self.added(
            deletion,
            version,
            now,
            phase=Phase.ENDED,
            attempts=0,
            outcome=Outcome.PROTECTED,
            ended_timestamp_seconds=now,
            message=kept(message),
        )

    def added(self, deletion: Deletion | None, version: str, now: float, **values: Any) -> Any:
        if deletion is None:
            return multiple()
        run = self.model.runs[deletion.run_id]
        ended: dict[str, Any] = {"outcome": None, "ended_timestamp_seconds": None, "message": "", **values}
        assert deletion == Deletion(
            id=deletion.id,
            run_id=run.id,
            cluster=run.cluster,
            policy=run.policy,
            version=version,
            intended_timestamp_seconds=now,
            job_uuid=None,
            code="",
            **ended,
        )
        assert deletion.id > max(self.model.deletions, default=0)
        self.model.deletions[deletion.id] = deletion
        return deletion

    @rule(deletion=deletions)
    def intend_again(self, deletion: Deletion) -> None:
        found = self.model.deletions.get(deletion.id, deletion)
        changes = {"phase": Phase.INTENDED, "attempts": found.attempts + 1, "code": "", "message": ""}
        self.move(deletion, self.journal.intend_again(deletion), Phase.WAITING, **changes)

    @rule(deletion=deletions, code=CODES, message=MESSAGES)
    def wait(self, deletion: Deletion, code: str, message: str) -> None:
        changes = {"phase": Phase.WAITING, "code": code, "message": kept(message)}
        step = self.journal.wait(deletion, code=code, message=message)
        self.move(deletion, step, Phase.INTENDED, Phase.FOLLOWED, **changes)

    @rule(deletion=deletions, job_uuid=st.none() | st.just("j"))
    def follow(self, deletion: Deletion, job_uuid: str | None) -> None:
        step = self.journal.follow(deletion, job_uuid=job_uuid)
        self.move(deletion, step, Phase.INTENDED, phase=Phase.FOLLOWED, job_uuid=job_uuid)

    @rule(deletion=deletions, outcome=st.sampled_from(Outcome), code=CODES, message=MESSAGES, now=TIMES)
    def end(self, deletion: Deletion, outcome: Outcome, code: str, message: str, now: float) -> None:
        ended = self.move(
            deletion,
            self.journal.end(deletion, outcome=outcome, code=code, message=message, now=now),
            Phase.INTENDED,
            Phase.WAITING,
            Phase.FOLLOWED,
            phase=Phase.ENDED,
            outcome=outcome,
            code=code,
            message=kept(message),
            ended_timestamp_seconds=now,
        )
        if ended is not None:
            self.model.count(ended)
            seconds = max(0.0, now - ended.intended_timestamp_seconds)
            self.model.durations.setdefault(ended.policy, []).append(seconds)

    @rule(keep_runs=st.integers(0, 3), cluster=st.none() | NAMES)
    def prune(self, keep_runs: int, cluster: str | None) -> None:
        pruned = self.runner.run(self.journal.prune(keep_runs=keep_runs, cluster=cluster))
        assert pruned == self.model.prune(keep_runs, cluster)

    @rule(cluster=st.none() | NAMES, now=TIMES)
    def end_interrupted_runs(self, cluster: str | None, now: float) -> None:
        held = {one.run_id for one in self.model.unended()}
        cut_short = [
            run
            for run in self.model.runs.values()
            if run.ended_timestamp_seconds is None and run.id not in held and cluster in {None, run.cluster}
        ]
        ended = self.runner.run(self.journal.end_interrupted_runs(cluster=cluster, now=now))
        assert ended == len(cut_short)
        for run in cut_short:
            self.model.end_run(run, INTERRUPTED, success=False, now=now)

    @rule()
    def restart(self) -> None:
        self.runner.run(self.opened.aclose())
        self.journal = self._open()

    @invariant()
    def the_runs_agree(self) -> None:
        expected = [
            replace(run, deletions=tuple(one for one in self.model.deletions.values() if one.run_id == key))
            for key, run in self.model.runs.items()
        ]
        assert list(self.runner.run(self.journal.recent_runs(1000))) == expected[::-1]
        assert list(self.runner.run(self.journal.unended())) == self.model.unended()

    @rule()
    def the_jobs_given_up_agree(self) -> None:
        newest: dict[str, Deletion] = {}
        for one in self.model.deletions.values():
            if one.cluster == "a" and one.outcome is not Outcome.PROTECTED:
                newest[one.version] = one
        given_up = [
            one
            for one in newest.values()
            if one.outcome is Outcome.TIMEOUT or (one.outcome is Outcome.DENIED and one.job_uuid)
        ]
        found = self.runner.run(self.journal.given_up("a"))
        assert list(found) == sorted(given_up, key=lambda one: one.id)

    @rule()
    def the_totals_agree(self) -> None:
        totals = self.runner.run(self.journal.totals())
        assert set(totals) == set(self.model.last)
        for key, found in totals.items():
            assert found.outcomes == {one: self.model.outcomes[(*key, one)] for one in Outcome}
            assert found.codes == {
                code: count for (*of, code), count in self.model.codes.items() if tuple(of) == key
            }
            for name in (
                "candidates",
                "last_started_timestamp_seconds",
                "last_ended_timestamp_seconds",
                "last_success",
                "last_success_timestamp_seconds",
            ):
                assert getattr(found, name) == self.model.last[key].get(name)

        self.the_durations_agree()

    def the_durations_agree(self) -> None:
        durations = self.runner.run(self.journal.durations())
        assert set(durations) == set(self.model.durations)
        for policy, seconds in self.model.durations.items():
            limits = (*DURATION_BUCKETS_SECONDS, math.inf)
            buckets = tuple(sum(one <= limit for one in seconds) for limit in limits)
            assert durations[policy].buckets == buckets
            assert math.isclose(durations[policy].sum_seconds, sum(seconds), abs_tol=1e-6)


def test_the_journal_does_what_the_model_does(new_state: NewState) -> None:
    class OnNewState(JournalMachine):
        def __init__(self) -> None:
            super().__init__(new_state)

    run_state_machine_as_test(
        OnNewState,
        settings=settings(
            max_examples=10,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
