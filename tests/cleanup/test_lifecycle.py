"""A deletion meets a cluster that does anything: DELETE never goes out twice, and none is forgotten."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from exporter.cleanup.decide.plan import Decision, Verdict, VerdictReason
from exporter.cleanup.delete import lifecycle
from exporter.cleanup.delete.lifecycle import Progress, Stage
from exporter.cleanup.delete.limits import Limits, Pace, Pauses
from exporter.cleanup.delete.replies import Diagnosis, Meaning
from exporter.cleanup.delete.steps import (
    AbortRun,
    Accepted,
    Action,
    Answered,
    Decided,
    Do,
    End,
    EndUnsent,
    Event,
    Finish,
    JobRead,
    JobUnread,
    Listed,
    ReadJob,
    Recorded,
    RecordJob,
    RecordWait,
    Searched,
    Sleep,
    Slept,
    Undecided,
    Withheld,
)
from exporter.cleanup.outcomes import Outcome, RunFailure
from exporter.cleanup.records import Deletion, Phase
from exporter.ontap.requests.jobs import Job, JobSearch

LIMITS = Limits(return_timeout_seconds=0, job_timeout_seconds=600.0, retry_busy_for_seconds=300.0)
UNDECIDED_FAILURES = (
    RunFailure.UNREADABLE,
    RunFailure.DENIED,
    RunFailure.STOPPED,
    RunFailure.REFUSED,
)
PACE = Pace(job=Pauses(first_seconds=0.5, factor=4.0, longest_seconds=150.0))
STORED = Deletion(
    id=1,
    run_id=1,
    cluster_uuid="c1",
    cluster="ams",
    policy="retire-old",
    policy_digest="",
    version="9.13.1",
    create_timestamp_seconds=None,
    phase=Phase.INTENDED,
    intended_timestamp_seconds=0.0,
    attempts=1,
    job_uuid=None,
    earlier_job_uuids=frozenset(),
    outcome=None,
    ended_timestamp_seconds=None,
    code="",
    message="",
)
LONGEST_LIFE_SECONDS = 5 * 600.0 + 300.0
"""Each of following, searching and confirming has its deadline; waiting has its own."""


def decision(verdict: Verdict, reason: VerdictReason = VerdictReason.RETIRED) -> Decision:
    return Decision(
        version="9.13.1",
        create_timestamp_seconds=None,
        age_seconds=None,
        verdict=verdict,
        reason=reason,
        detail="as the test has it",
    )


def said(meaning: Meaning, code: str = "1") -> Answered:
    return Answered(diagnosis=Diagnosis(meaning=meaning, code=code, message="as the test has it"))


@dataclass
class Work:
    """What a DELETE that has reached the cluster began.

    Attributes:
        arrives: when the cluster begins with it.
        ends: when its job is over.
        code: what the job fails with; "" if it succeeds.
        gone_at: when the package is gone by it; None: never.
    """

    arrives: float
    ends: float
    code: str = ""
    gone_at: float | None = None


class World:
    """A cluster, a journal and a clock. What they answer is drawn; it is never untrue."""

    def __init__(self, data: st.DataObject, *, deletion: Deletion | None = None) -> None:
        self.draw = data.draw
        self.now = 0.0
        self.deletion = deletion
        self.work: list[Work] = []
        self.earlier_jobs = 0
        self.deleted_by_somebody = False
        self.listing_lags_seconds = self.draw(st.sampled_from([0.0, 7.0]))
        self.may_send = False
        self.sent = 0
        self.reads_fail = self.draw(st.sampled_from([0, 0, 1, 3]))

    def is_there(self, at: float) -> bool:
        """Say whether the package is in the repository at a time."""
        return not self.deleted_by_somebody and not any(
            one.gone_at is not None and one.gone_at <= at for one in self.work
        )

    @property
    def listed(self) -> bool:
        return self.is_there(self.now - self.listing_lags_seconds)

    @property
    def going_on(self) -> bool:
        return any(self.now < one.ends for one in self.work)

    def perform(self, action: Action) -> Event:  # noqa: C901, PLR0911 - one for each action
        match action:
            case Do.DECIDE:
                return self.decide()
            case Do.INTEND:
                return self.store(
                    phase=Phase.INTENDED, attempts=1 if self.deletion is None else self.deletion.attempts + 1
                )
            case Do.SEND:
                return self.send()
            case RecordJob(job_uuid=job_uuid):
                return self.store(phase=Phase.FOLLOWED, job_uuid=job_uuid)
            case RecordWait(code=code, message=message):
                assert not self.going_on, "what waits may be sent again"
                return self.store(phase=Phase.WAITING, code=code, message=message)
            case End(outcome=outcome):
                return self.store(phase=Phase.ENDED, outcome=outcome)
            case EndUnsent(outcome=outcome):
                assert self.deletion is None
                return self.store(phase=Phase.ENDED, outcome=outcome, attempts=0)
            case ReadJob():
                return self.read_job()
            case Do.READ_LISTING:
                return Listed(listed=self.read_listing())
            case Do.SEARCH:
                return Searched(jobs=self.search(), listed=self.read_listing())
            case Sleep(seconds=seconds):
                assert seconds >= 0
                self.now += seconds
                return Slept()
            case _:
                raise AssertionError(action)

    def store(self, *, phase: Phase, **changes: object) -> Recorded:
        before = self.deletion
        assert before is None or before.phase is not Phase.ENDED, "an outcome is stored once"
        self.deletion = replace(before or STORED, phase=phase, **changes)  # type: ignore[arg-type]
        self.may_send = phase is Phase.INTENDED and self.may_send
        if phase is Phase.INTENDED:
            self.earlier_jobs = len(self.work)
        return Recorded(deletion=self.deletion)

    def decide(self) -> Event:
        if self.draw(st.integers(0, 9)) == 0:
            return Undecided(problem="unreadable", failure=self.draw(st.sampled_from(UNDECIDED_FAILURES)))
        if self.going_on:
            return Undecided(problem="a job is deleting it already")
        self.deleted_by_somebody |= self.draw(st.integers(0, 9)) == 0
        if not self.listed:
            return Decided(decision=None)
        kept = self.draw(
            st.sampled_from([None, None, None, VerdictReason.IN_USE, VerdictReason.UPDATE_UNFINISHED])
        )
        self.may_send = kept is None
        return Decided(decision=decision(Verdict.KEEP, kept) if kept else decision(Verdict.DELETE))

    def send(self) -> Event:
        assert self.may_send, "DELETE rests on a decision of its own"
        assert not self.going_on, "one deletion at a time"
        assert self.deletion is not None
        assert self.deletion.phase is Phase.INTENDED, "the intent is stored first"
        self.may_send = False
        kind = self.draw(
            st.sampled_from(["withheld", "stale", "accepted", "nameless", "lost", "never", "refused"])
        )
        if kind == "withheld":
            return Withheld(why="the kill switch is on")
        if kind == "stale":
            return Withheld(why="too old", stale=True)
        self.sent += 1
        if kind == "never":
            return said(Meaning.UNKNOWN)
        if kind == "refused":
            refusals = [Meaning.TRANSIENT, Meaning.FAILURE, Meaning.DENIED]
            refusals += [] if self.is_there(self.now) else [Meaning.GONE]
            return said(self.draw(st.sampled_from(refusals)))
        late = self.draw(st.sampled_from([0.0, 2.0, 20.0])) if kind == "lost" else 0.0
        arrives = self.now + late
        ends = arrives + self.draw(st.sampled_from([0.0, 0.4, 3.0, 100.0, 2000.0]))
        code = self.draw(st.sampled_from(["", "10551322", "10551388", "10551367", "9"]))
        gone_at = None if code else ends
        if code in {"10551322", "10551388"}:
            gone_at = self.draw(st.sampled_from([None, ends, ends, ends + 8.0]))
        self.work.append(Work(arrives=arrives, ends=ends, code=code, gone_at=gone_at))
        if kind == "lost":
            return said(self.draw(st.sampled_from([Meaning.UNKNOWN, Meaning.UNKNOWN_TRANSIENT])), code="")
        return Accepted(job_uuid=None if kind == "nameless" else f"j{len(self.work)}")

    def read_listing(self) -> bool | None:
        return None if self.fails() else self.listed

    def read_job(self) -> Event:
        assert self.deletion is not None
        assert self.deletion.job_uuid is not None
        if self.fails():
            return JobUnread.FAILED
        work = self.work[int(self.deletion.job_uuid[1:]) - 1]
        is_forgotten = self.now > work.ends + lifecycle.ENDED_JOB_KEPT_SECONDS
        is_new = self.now < work.arrives + 60.0
        if is_forgotten or (is_new and self.draw(st.integers(0, 2)) == 0):
            return JobUnread.NOT_FOUND
        if self.draw(st.integers(0, 9)) == 0:
            return JobUnread.HIDDEN
        return JobRead(job=self.job(work))

    def job(self, work: Work) -> Job:
        state = "running" if self.now < work.ends else "failure" if work.code else "success"
        code = work.code if state == "failure" else ""
        return Job(uuid=f"j{self.work.index(work) + 1}", state=state, code=code, message="as the test has it")

    def search(self) -> JobSearch | None:
        if self.fails():
            return None
        current = self.work[self.earlier_jobs :]
        seen = [self.job(one) for one in current if one.arrives <= self.now]
        return JobSearch(
            job=seen[0] if seen else None, open=self.draw(st.integers(0, 9)) == 0, listed_uuids=frozenset()
        )

    def fails(self) -> bool:
        return self.draw(st.integers(0, 9)) < self.reads_fail


def live(world: World, progress: Progress, action: Action) -> Progress:
    """Walk to the end."""
    while not isinstance(action, Finish | AbortRun):
        event = world.perform(action)
        note(f"{world.now:7.1f} {progress.stage}: {action} -> {event}")
        progress, action = lifecycle.step(progress, event, now=world.now)
        assert world.now <= LONGEST_LIFE_SECONDS, "it comes to an end"
    assert progress.stage is Stage.OVER
    if isinstance(action, Finish):
        assert world.deletion is not None
        assert action.deletion == world.deletion
        assert world.deletion.phase is Phase.ENDED
    else:
        assert world.deletion is None
        assert not world.sent
    return progress


@settings(max_examples=10 * settings().max_examples, deadline=None)
@given(st.data())
def test_delete_is_never_sent_twice_at_a_time_and_every_deletion_gets_one_true_outcome(
    data: st.DataObject,
) -> None:
    world = World(data)
    live(world, *lifecycle.begin(limits=LIMITS, pace=PACE, busy_until=LIMITS.retry_busy_for_seconds))
    assert_true_outcome(world)


def assert_true_outcome(world: World) -> None:
    """Compare the outcome with what is true on the cluster."""
    outcome = None if world.deletion is None else world.deletion.outcome
    match outcome:
        case Outcome.SUCCESS:
            assert not world.is_there(world.now)
        case Outcome.ALREADY_GONE:
            assert world.deleted_by_somebody
            assert all(one.gone_at is None or one.gone_at > world.now for one in world.work)
        case Outcome.PROTECTED | None:
            assert not world.going_on
            assert world.listed
        case Outcome.BUSY | Outcome.FAILURE:
            assert not world.going_on
            assert not any(one.gone_at == one.ends for one in world.work), "the listing would have shown it"
        case Outcome.TIMEOUT | Outcome.DENIED:
            pass


@settings(deadline=None)
@given(
    st.data(),
    st.sampled_from(list(Phase)),
    st.sampled_from(["gone", "going on", "failed", "never arrived"]),
    st.sampled_from([0.0, 2.0, 20.0]),
)
def test_a_deletion_that_is_resumed_comes_to_its_end_with_a_true_outcome_and_never_sends(
    data: st.DataObject, phase: Phase, what: str, late: float
) -> None:
    outcome = Outcome.SUCCESS if phase is Phase.ENDED else None
    followed = phase is Phase.FOLLOWED and what != "never arrived"
    world = World(
        data, deletion=replace(STORED, phase=phase, outcome=outcome, job_uuid="j1" if followed else None)
    )
    if phase in {Phase.INTENDED, Phase.FOLLOWED} and what != "never arrived":
        world.sent = 1
        arrives = late if phase is Phase.INTENDED else 0.0
        ends = arrives + (200.0 if what == "going on" else 0.0)
        code = "9" if what == "failed" else ""
        world.work.append(Work(arrives=arrives, ends=ends, code=code, gone_at=None if code else ends))
    world.deleted_by_somebody = phase is Phase.ENDED
    sent = world.sent
    begun = lifecycle.resume(
        world.deletion or STORED, limits=LIMITS, pace=PACE, now=0.0, in_flight_until=30.0
    )
    live(world, *begun)
    assert world.sent == sent
    assert_true_outcome(world)


@pytest.mark.parametrize(
    ("late_seconds", "is_over"), [(0.0, False), (59.0, False), (61.0, True), (1e6, True)]
)
def test_a_busy_repository_is_not_tried_again_long_after_its_time(
    late_seconds: float, *, is_over: bool
) -> None:
    busy = said(Meaning.TRANSIENT)
    waiting = replace(STORED, phase=Phase.WAITING, message="the repository is busy")
    progress = lifecycle.Progress(
        limits=LIMITS,
        pace=Pace(),
        stage=Stage.WAITING,
        busy_until=1000.0,
        deletion=waiting,
        diagnosis=busy.diagnosis,
    )
    progress, action = lifecycle.step(progress, Slept(), now=1000.0 + late_seconds)
    if is_over:
        assert isinstance(action, End)
        assert action.outcome is Outcome.BUSY
    else:
        assert action == Do.DECIDE


@pytest.mark.parametrize(("lag_seconds", "outcome"), [(7.0, Outcome.SUCCESS), (60.0, Outcome.FAILURE)])
def test_a_listing_may_show_a_package_for_some_seconds_after_it_is_gone(
    lag_seconds: float, outcome: Outcome
) -> None:
    followed = replace(STORED, phase=Phase.FOLLOWED, job_uuid="j1")
    progress, _ = lifecycle.resume(followed, limits=LIMITS, pace=Pace(), now=0.0, in_flight_until=0.0)
    failed = Job(uuid="j1", state="failure", code="10551322", message="")
    now = 0.0
    progress, action = lifecycle.step(progress, JobRead(job=failed), now=now)
    while not isinstance(action, End):
        assert action == Do.READ_LISTING
        progress, action = lifecycle.step(progress, Listed(listed=now < lag_seconds), now=now)
        if isinstance(action, Sleep):
            now += action.seconds
            progress, action = lifecycle.step(progress, Slept(), now=now)
    assert action.outcome is outcome


@pytest.mark.parametrize(("seconds", "is_waited_for"), [(299.0, True), (301.0, False)])
def test_a_pause_that_is_longer_than_the_time_left_is_not_cut_short(
    seconds: float, *, is_waited_for: bool
) -> None:
    limited = Diagnosis(meaning=Meaning.TRANSIENT, code="1", message="wait", retry_after_seconds=seconds)
    progress = Progress(limits=LIMITS, pace=PACE, stage=Stage.SENDING, busy_until=300.0, deletion=STORED)
    progress, action = lifecycle.step(progress, Answered(diagnosis=limited), now=0.0)
    assert action == RecordWait(code="1", message="wait")
    waiting = replace(STORED, phase=Phase.WAITING, code="1", message="wait")
    _, action = lifecycle.step(progress, Recorded(deletion=waiting), now=0.0)
    ended = End(outcome=Outcome.BUSY, code="1", message="wait")
    assert action == (Sleep(seconds=seconds, idle=True) if is_waited_for else ended)


def test_a_pause_is_asked_for_once() -> None:
    """Facts that have grown old are no reason to wait for what ONTAP asked for at an earlier attempt."""
    limited = Diagnosis(meaning=Meaning.TRANSIENT, code="1", message="wait", retry_after_seconds=200.0)
    progress = Progress(
        limits=LIMITS,
        pace=PACE,
        stage=Stage.SENDING,
        busy_until=300.0,
        deletion=replace(STORED, attempts=2),
        diagnosis=limited,
    )
    progress, _ = lifecycle.step(progress, Withheld(why="too old", stale=True), now=210.0)
    waiting = replace(STORED, attempts=2, phase=Phase.WAITING, message="too old")
    _, action = lifecycle.step(progress, Recorded(deletion=waiting), now=210.0)
    assert action == Sleep(seconds=PACE.busy.first_seconds, idle=True)


EVENTS: tuple[Event, ...] = (
    Decided(decision=None),
    Decided(decision=decision(Verdict.DELETE)),
    Decided(decision=decision(Verdict.KEEP, VerdictReason.IN_USE)),
    Decided(decision=decision(Verdict.KEEP, VerdictReason.DOWNLOAD_RUNNING)),
    Undecided(problem="unreadable"),
    Undecided(problem="unreadable", failure=RunFailure.DENIED),
    Undecided(problem="the kill switch is on", failure=RunFailure.STOPPED),
    Recorded(deletion=STORED),
    Withheld(why="the kill switch is on"),
    Withheld(why="too old", stale=True),
    Accepted(job_uuid="j1"),
    Accepted(job_uuid=None),
    *(said(meaning) for meaning in Meaning),
    *(
        JobRead(job=Job(uuid="j1", state=state, code="9", message=""))
        for state in ("running", "success", "failure")
    ),
    *JobUnread,
    *(Listed(listed=listed) for listed in (True, False, None)),
    *(Searched(jobs=None, listed=listed) for listed in (True, False, None)),
    Searched(
        jobs=JobSearch(
            job=Job(uuid="j1", state="running", code="", message=""), open=False, listed_uuids=frozenset()
        ),
        listed=True,
    ),
    Searched(jobs=JobSearch(job=None, open=True, listed_uuids=frozenset()), listed=True),
    Slept(),
)
EXPECTED: dict[Stage, tuple[type[Event], ...]] = {
    Stage.DECIDING: (Decided, Undecided),
    Stage.SENDING: (Undecided, Recorded, Withheld, Accepted, Answered),
    Stage.FOLLOWING: (Recorded, JobRead, JobUnread, Answered, Listed, Searched, Slept),
    Stage.SEARCHING: (Searched, Slept),
    Stage.CONFIRMING: (Listed, Slept),
    Stage.WAITING: (Recorded, Slept),
    Stage.OVER: (Recorded,),
}


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("event", EVENTS, ids=repr)
@pytest.mark.parametrize("now", [10.0, 10_000.0], ids=["in time", "too late"])
def test_each_stage_knows_what_may_happen_and_refuses_the_rest(
    stage: Stage, event: Event, now: float
) -> None:
    progress = Progress(
        limits=LIMITS, pace=PACE, stage=stage, busy_until=300.0, deletion=STORED, deadline=600.0
    )
    if isinstance(event, EXPECTED[stage]):
        following, action = lifecycle.step(progress, event, now=now)
        sends = action is Do.SEND
        assert sends == (stage is Stage.SENDING and isinstance(event, Recorded))
        assert following.stage is not Stage.SENDING or action in {Do.SEND, Do.INTEND}
    else:
        with pytest.raises(ValueError, match="cannot happen"):
            lifecycle.step(progress, event, now=now)


def test_a_job_that_is_not_found_right_after_it_was_read_is_followed_on() -> None:
    followed = replace(STORED, phase=Phase.FOLLOWED, job_uuid="j1")
    progress, _ = lifecycle.resume(followed, limits=LIMITS, pace=PACE, now=0.0, in_flight_until=0.0)
    running = Job(uuid="j1", state="running", code="", message="")
    read_at = lifecycle.ENDED_JOB_KEPT_SECONDS + 100.0
    progress, action = lifecycle.step(progress, JobRead(job=running), now=read_at)
    for seconds, ending in ((2.0, Sleep), (lifecycle.ENDED_JOB_KEPT_SECONDS, End)):
        assert isinstance(action, Sleep)
        progress, _ = lifecycle.step(progress, Slept(), now=read_at + seconds)
        progress, action = lifecycle.step(progress, JobUnread.NOT_FOUND, now=read_at + seconds)
        assert action == Do.READ_LISTING
        progress, action = lifecycle.step(progress, Listed(listed=True), now=read_at + seconds)
        assert isinstance(action, ending)


def test_a_job_that_is_not_found_right_after_it_was_named_is_followed_on() -> None:
    followed = replace(STORED, phase=Phase.FOLLOWED, job_uuid="j1")
    progress, action = lifecycle.resume(followed, limits=LIMITS, pace=PACE, now=0.0, in_flight_until=0.0)
    assert action == ReadJob(job_uuid="j1")
    progress, action = lifecycle.step(progress, JobUnread.NOT_FOUND, now=1.0)
    assert action == Do.READ_LISTING
    progress, action = lifecycle.step(progress, Listed(listed=True), now=1.0)
    assert isinstance(action, Sleep)
    progress, action = lifecycle.step(progress, Slept(), now=2.0)
    done = Job(uuid="j1", state="success", code="", message="done")
    _, action = lifecycle.step(progress, JobRead(job=done), now=2.0)
    assert action == End(outcome=Outcome.SUCCESS, code="", message="done")
