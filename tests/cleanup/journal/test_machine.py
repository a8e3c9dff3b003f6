"""Any sequence of steps, legal or not, does to the journal what it does to a few dictionaries."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from cleanup.journal.conftest import NewUrl
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

from exporter.cleanup.journal import Journal, LeaseLostError, StepRefusedError
from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import DURATION_BUCKETS_SECONDS, Deletion, Lease, Phase, Run
from support.journal.journal_steps import NAMES, durations_of, end, intend, opened, totals_of, unfinished_on
from support.journal.model import Model, kept

T = TypeVar("T")

TIMES = st.floats(0, 5000)
UUIDS = st.sampled_from(sorted(NAMES))
POLICIES = st.sampled_from(["a", "b"])
DIGESTS = st.sampled_from(["d1", "d2"])
VERSIONS = st.sampled_from(["9.9.1", "9.10.1", "9.11.1P2"])
CODES = st.sampled_from(["", "1", "2"])
MESSAGES = st.text(st.characters(exclude_categories=()), max_size=8)
JOBS = st.sets(st.sampled_from(["x", "y", "z,"]), max_size=2)


class JournalMachine(RuleBasedStateMachine):
    """Drives a journal and the model side by side."""

    runs = Bundle("runs")
    deletions = Bundle("deletions")

    def __init__(self, new_url: NewUrl) -> None:
        super().__init__()
        self.model = Model()
        self.runner = asyncio.Runner()
        self.url = self.runner.run(new_url())
        self.process = AsyncExitStack()
        self.journal = self._open()

    def _open(self) -> Journal:
        journal = self.runner.run(self.process.enter_async_context(opened(self.url)))
        self.leases: dict[str, Lease] = dict(self.runner.run(journal.leases.acquire(NAMES)))
        return journal

    def teardown(self) -> None:
        try:
            self.the_jobs_given_up_agree()
            self.the_totals_agree()
        finally:
            self.runner.run(self.process.aclose())
            self.runner.close()

    def attempt(self, step: Coroutine[Any, Any, T], *, allowed: bool) -> T | None:
        """Take a step that the model allows, or see it refused."""
        if allowed:
            return self.runner.run(step)
        with pytest.raises(StepRefusedError):
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

    @rule(
        target=runs,
        uuid=UUIDS,
        policy=POLICIES,
        dry_run=st.sampled_from([False, False, True]),
        is_planned=st.booleans(),
        now=TIMES,
    )
    def begin_run(self, uuid: str, policy: str, *, dry_run: bool, is_planned: bool, now: float) -> int:
        candidates = len(self.model.runs)
        run_id = self.runner.run(
            self.journal.runs.begin(
                self.leases[uuid],
                cluster=NAMES[uuid],
                policy=policy,
                dry_run=dry_run,
                plan="[]",
                candidates=candidates,
                planned={} if is_planned else None,
                now=now,
            )
        )
        assert run_id > max(self.model.runs, default=0)
        for earlier in self.model.runs.values():
            if dry_run and (earlier.cluster_uuid, earlier.policy, earlier.dry_run) == (uuid, policy, True):
                self.model.runs[earlier.id] = replace(earlier, plan="")
        self.model.runs[run_id] = Run(
            id=run_id,
            cluster_uuid=uuid,
            cluster=NAMES[uuid],
            policy=policy,
            dry_run=dry_run,
            started_timestamp_seconds=now,
            ended_timestamp_seconds=None,
            success=None,
            failure="",
            error="",
            plan="[]",
        )
        last = self.model.last.setdefault((NAMES[uuid], policy), {"last_failure": ""})
        last |= {"last_started_timestamp_seconds": now} | ({"candidates": candidates} if is_planned else {})
        return run_id

    @rule(uuid=UUIDS, run_id=runs, success=st.booleans(), error=MESSAGES, now=TIMES)
    def end_run(self, uuid: str, run_id: int, error: str, *, success: bool, now: float) -> None:
        goes_on = self.model.goes_on(run_id, uuid)
        failure = "" if success else "error"
        ending = self.journal.runs.end(
            self.leases[uuid], run_id, success=success, failure=failure, error=error, now=now
        )
        self.attempt(ending, allowed=goes_on)
        if goes_on:
            self.model.end_run(self.model.runs[run_id], failure, error, success=success, now=now)

    @rule(
        target=deletions,
        uuid=UUIDS,
        run_id=runs,
        version=VERSIONS,
        digest=DIGESTS,
        limit=st.none() | st.integers(0, 6),
        now=TIMES,
    )
    def intend(
        self, *, uuid: str, run_id: int, version: str, digest: str, limit: int | None, now: float
    ) -> Any:
        allowed = (
            self.model.may_write_to(run_id, uuid)
            and not self.model.stops(self.model.runs[run_id].policy, digest)
            and not self.model.unfinished_on(uuid)
            and (limit is None or len(self.model.sent()) < limit)
        )
        intending = intend(
            self.journal,
            self.leases[uuid],
            run_id,
            version=version,
            max_deletes_per_day=limit,
            policy_digest=digest,
            now=now,
        )
        values = {"policy_digest": digest, "create_timestamp_seconds": 50.0, "attempts": 1}
        deletion = self.attempt(intending, allowed=allowed)
        return self.added(deletion, version, now, phase=Phase.INTENDED, **values)

    @rule(target=deletions, uuid=UUIDS, run_id=runs, version=VERSIONS, message=MESSAGES, now=TIMES)
    def leave(self, uuid: str, run_id: int, version: str, message: str, now: float) -> Any:
        leaving = self.journal.deletions.end_unsent(
            self.leases[uuid], run_id, version=version, outcome=Outcome.PROTECTED, message=message, now=now
        )
        deletion = self.attempt(leaving, allowed=self.model.may_write_to(run_id, uuid))
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
        usual: dict[str, Any] = {
            "policy_digest": "",
            "create_timestamp_seconds": None,
            "outcome": None,
            "ended_timestamp_seconds": None,
            "message": "",
        }
        assert deletion == Deletion(
            id=deletion.id,
            run_id=run.id,
            cluster_uuid=run.cluster_uuid,
            cluster=run.cluster,
            policy=run.policy,
            version=version,
            intended_timestamp_seconds=now,
            job_uuid=None,
            earlier_job_uuids=frozenset(),
            code="",
            **(usual | values),
        )
        assert deletion.id > max(self.model.deletions, default=0)
        self.model.deletions[deletion.id] = deletion
        return deletion

    @rule(deletion=deletions, jobs=JOBS)
    def intend_again(self, deletion: Deletion, jobs: set[str]) -> None:
        found = self.model.deletions.get(deletion.id, deletion)
        step = self.journal.deletions.intend_again(
            self.leases[deletion.cluster_uuid],
            deletion,
            create_timestamp_seconds=found.attempts + 1.0,
            earlier_job_uuids=jobs,
        )
        if self.model.stops(found.policy, found.policy_digest):
            self.attempt(step, allowed=False)
            return
        self.move(
            deletion,
            step,
            Phase.WAITING,
            phase=Phase.INTENDED,
            attempts=found.attempts + 1,
            create_timestamp_seconds=found.attempts + 1.0,
            job_uuid=None,
            earlier_job_uuids=found.earlier_job_uuids
            | jobs
            | ({found.job_uuid} if found.job_uuid else set()),
            code="",
            message="",
        )

    @rule(deletion=deletions, code=CODES, message=MESSAGES)
    def wait(self, deletion: Deletion, code: str, message: str) -> None:
        changes = {"phase": Phase.WAITING, "code": code, "message": kept(message)}
        lease = self.leases[deletion.cluster_uuid]
        step = self.journal.deletions.wait(lease, deletion, code=code, message=message)
        self.move(deletion, step, Phase.INTENDED, Phase.FOLLOWED, **changes)

    @rule(deletion=deletions, job_uuid=st.none() | st.just("j"))
    def follow(self, deletion: Deletion, job_uuid: str | None) -> None:
        found = self.model.deletions.get(deletion.id, deletion)
        step = self.journal.deletions.follow(self.leases[deletion.cluster_uuid], deletion, job_uuid=job_uuid)
        phases = {Phase.INTENDED} if found.job_uuid else {Phase.INTENDED, Phase.FOLLOWED}
        self.move(deletion, step, *phases, phase=Phase.FOLLOWED, job_uuid=job_uuid)

    @rule(
        deletion=deletions,
        outcome=st.sampled_from(Outcome),
        code=CODES,
        message=MESSAGES,
        stop_after_failures=st.integers(0, 3),
        now=TIMES,
    )
    def end(
        self,
        *,
        deletion: Deletion,
        outcome: Outcome,
        code: str,
        message: str,
        stop_after_failures: int,
        now: float,
    ) -> None:
        ending = end(
            self.journal,
            self.leases[deletion.cluster_uuid],
            deletion,
            outcome,
            code=code,
            message=message,
            stop_after_failures=stop_after_failures,
            now=now,
        )
        ended = self.move(
            deletion,
            ending,
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
            self.model.count_failures(ended, stop_after_failures)
            seconds = max(0.0, now - ended.intended_timestamp_seconds)
            self.model.durations.setdefault(ended.policy, []).append(seconds)

    @rule(engaged=st.sampled_from([False, False, True]))
    def set_kill_switch(self, *, engaged: bool) -> None:
        self.runner.run(self.journal.stops.set_kill_switch(engaged=engaged))
        self.model.kill_switch = engaged

    @rule()
    def resume_policies(self) -> None:
        self.runner.run(self.journal.stops.resume())
        self.model.resume()

    @rule(keep_runs=st.integers(0, 3), uuid=UUIDS)
    def prune(self, keep_runs: int, uuid: str) -> None:
        pruned = self.runner.run(self.journal.runs.prune(self.leases[uuid], keep=keep_runs))
        assert pruned == self.model.prune(keep_runs, uuid)

    @rule(uuid=UUIDS, now=TIMES)
    def inherit(self, uuid: str, now: float) -> None:
        held = {one.run_id for one in self.model.unfinished()}
        cut_short = [
            run
            for run in self.model.runs.values()
            if run.ended_timestamp_seconds is None and run.id not in held and run.cluster_uuid == uuid
        ]
        inherited = self.runner.run(self.journal.runs.inherit([self.leases[uuid]], now=now))[uuid]
        assert list(inherited.unfinished) == self.model.unfinished_on(uuid)
        newest = {one.policy: one for one in self.model.runs.values() if one.cluster_uuid == uuid}
        assert inherited.last_started == {
            policy: one.started_timestamp_seconds for policy, one in newest.items()
        }
        error = "the program ended, or lost the lease of the cluster, during this run"
        for run in cut_short:
            self.model.end_run(run, "interrupted", error, success=False, now=now)

    @rule(uuid=UUIDS)
    def acquire_again(self, uuid: str) -> None:
        old = self.leases[uuid]
        self.leases |= self.runner.run(self.journal.leases.acquire([uuid]))
        with pytest.raises(LeaseLostError):
            self.runner.run(self.journal.runs.prune(old, keep=0))

    @rule()
    def heartbeat(self) -> None:
        beat = self.runner.run(self.journal.leases.heartbeat())
        assert {uuid: lease.epoch for uuid, lease in beat.leases.items()} == {
            uuid: lease.epoch for uuid, lease in self.leases.items()
        }
        self.leases = dict(beat.leases)

    @rule()
    def restart(self) -> None:
        self.runner.run(self.process.aclose())
        self.journal = self._open()

    @invariant()
    def the_stops_agree(self) -> None:
        stops = self.runner.run(self.journal.stops.read())
        assert stops.kill_switch == self.model.kill_switch
        assert set(stops.paused) == self.model.paused
        assert set(stops.unfinished) == {one.cluster_uuid for one in self.model.unfinished()}

    @invariant()
    def the_runs_agree(self) -> None:
        expected = [
            replace(run, deletions=tuple(one for one in self.model.deletions.values() if one.run_id == key))
            for key, run in self.model.runs.items()
        ]
        assert list(self.runner.run(self.journal.runs.recent(1000))) == expected[::-1]
        for uuid in NAMES:
            assert list(self.runner.run(unfinished_on(self.journal, uuid))) == self.model.unfinished_on(uuid)

    @rule()
    def the_jobs_given_up_agree(self) -> None:
        for uuid in NAMES:
            newest: dict[str, Deletion] = {}
            for one in self.model.deletions.values():
                if one.cluster_uuid == uuid and one.outcome is not Outcome.PROTECTED:
                    newest[one.version] = one
            given_up = [
                one
                for one in newest.values()
                if one.outcome is Outcome.TIMEOUT or (one.outcome is Outcome.DENIED and one.job_uuid)
            ]
            found = self.runner.run(self.journal.deletions.given_up(uuid))
            assert list(found) == sorted(given_up, key=lambda one: one.id)

    @rule()
    def the_totals_agree(self) -> None:
        totals = self.runner.run(totals_of(self.journal))
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
                "last_failure",
                "last_success_timestamp_seconds",
            ):
                assert getattr(found, name) == self.model.last[key].get(name)

        self.the_durations_agree()

    def the_durations_agree(self) -> None:
        durations = self.runner.run(durations_of(self.journal))
        assert set(durations) == set(self.model.durations)
        for policy, seconds in self.model.durations.items():
            limits = (*DURATION_BUCKETS_SECONDS, math.inf)
            buckets = tuple(sum(one <= limit for one in seconds) for limit in limits)
            assert durations[policy].buckets == buckets
            assert math.isclose(durations[policy].sum_seconds, sum(seconds), abs_tol=1e-6)


def test_the_journal_does_what_the_model_does(new_url: NewUrl) -> None:
    class OnNewUrl(JournalMachine):
        def __init__(self) -> None:
            super().__init__(new_url)

    run_state_machine_as_test(
        OnNewUrl,
        settings=settings(
            max_examples=int(os.environ.get("FUZZ_EXAMPLES", "10")),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
