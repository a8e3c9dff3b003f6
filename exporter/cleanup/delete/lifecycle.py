r"""The life of one deletion, as a machine: what has happened goes in, what to do next comes out. Pure.

::

    DECIDING --> SENDING --> FOLLOWING --> OVER
       ^            |  \          |
       |            |   SEARCHING  |      what became of DELETE is not known
       |            |      |       |
       +-- WAITING <+------+--> CONFIRMING --> OVER

:func:`step` is called with each :data:`Event` and returns the next :data:`Action`. One loop
(:mod:`exporter.cleanup.delete.pursuit`) performs the actions, for a run, a recovery and a takeover alike.
DELETE goes out in SENDING alone, which only a decision made on facts read afresh leads to. A deletion that is
resumed never comes there.

Times are seconds of one clock that never goes back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from exporter.cleanup.decide.plan import Decision, Reason, Verdict
from exporter.cleanup.delete.limits import Limits, Pace, Pauses
from exporter.cleanup.delete.replies import Diagnosis, Meaning, read_failed_job
from exporter.cleanup.delete.steps import (
    Accepted,
    Action,
    Answered,
    Decide,
    Decided,
    End,
    Event,
    Finish,
    GiveUp,
    Intend,
    JobRead,
    JobUnread,
    Leave,
    Listed,
    ReadJob,
    ReadListing,
    Recorded,
    RecordJob,
    RecordWait,
    Rest,
    Rested,
    Search,
    Searched,
    Send,
    Undecided,
    Withheld,
)
from exporter.cleanup.records import Deletion, Outcome, Phase
from exporter.ontap.jobs import Job, JobSearch

ENDED_JOB_KEPT_SECONDS = 300.0
"""ONTAP keeps an ended job for so long. Not finding one sooner is no verdict: it may not exist yet."""


class Stage(StrEnum):
    """What the deletion is at."""

    DECIDING = "deciding"  # the cluster is read afresh, and the policy decides again
    SENDING = "sending"  # the intent is stored, and DELETE goes out
    FOLLOWING = "following"  # ONTAP accepted; its job is read until it is over
    SEARCHING = "searching"  # what became of DELETE is not known; jobs and listing are read
    CONFIRMING = "confirming"  # ONTAP says that nothing is under way any more; the listing decides
    WAITING = "waiting"  # ONTAP refused for a passing reason, and nothing is under way
    OVER = "over"  # it has its outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Where a deletion stands.

    Attributes:
        limits: how long it is tried and followed.
        pace: the pauses in between.
        stage: what it is at.
        busy_until: until when a busy repository is tried again.
        deletion: as the journal has it; None before the first intent.
        is_resumed: whether an earlier run began it; it is then only brought to its end.
        deadline: until when it is followed, searched for or confirmed.
        since: when the stage began.
        tries: pauses made in the stage.
        waits: pauses made for a busy repository.
        diagnosis: what ONTAP has said last.
        when_gone: CONFIRMING: the outcome where the package is gone.
        reads_listing: FOLLOWING: the listing is read in place of a job, which is hidden or not named.
        in_flight_until: SEARCHING: until then a DELETE whose answer is not known may still arrive.
    """

    limits: Limits
    pace: Pace
    stage: Stage
    busy_until: float
    deletion: Deletion | None = None
    is_resumed: bool = False
    deadline: float = 0.0
    since: float = 0.0
    tries: int = 0
    waits: int = 0
    diagnosis: Diagnosis | None = None
    when_gone: Outcome = Outcome.SUCCESS
    reads_listing: bool = False
    in_flight_until: float = 0.0


Next = tuple[Course, Action]


def begin(*, limits: Limits, pace: Pace, busy_until: float) -> Next:
    """Begin a deletion that a plan has chosen."""
    return Course(limits=limits, pace=pace, stage=Stage.DECIDING, busy_until=busy_until), Decide()


def resume(deletion: Deletion, *, limits: Limits, pace: Pace, now: float, in_flight_until: float) -> Next:
    """Go on with a deletion that an earlier run, or another process, has left unended.

    Args:
        deletion: as the journal has it.
        limits: how long it is followed.
        pace: the pauses in between.
        now: the time.
        in_flight_until: until then a DELETE that its sender has cut off may still arrive.
    """
    course = Course(
        limits=limits,
        pace=pace,
        stage=Stage.OVER,
        busy_until=now,
        deletion=deletion,
        is_resumed=True,
        in_flight_until=in_flight_until,
    )
    match deletion.phase:
        case Phase.INTENDED:
            message = "the program ended while DELETE was being sent; the package is still there"
            lost = Diagnosis(meaning=Meaning.UNKNOWN, code="", message=message)
            return _search(replace(course, diagnosis=lost), now)
        case Phase.FOLLOWED:
            return _follow(course, now)
        case Phase.WAITING:
            message = deletion.message or "the program ended while the repository was busy"
            return _end(course, Outcome.BUSY, deletion.code, message)
        case Phase.ENDED:
            return course, Finish(deletion=deletion)
        case _:
            assert_never(deletion.phase)


def step(course: Course, event: Event, *, now: float) -> Next:  # noqa: PLR0911 - one for each stage
    """Return where the deletion stands after an event, and what to do next.

    Raises:
        ValueError: the event cannot happen in this stage.
    """
    if isinstance(event, Recorded):
        return _recorded(replace(course, deletion=event.deletion), now)
    match course.stage:
        case Stage.DECIDING:
            return _deciding(course, event, now)
        case Stage.SENDING:
            return _sending(course, event, now)
        case Stage.FOLLOWING:
            return _following(course, event, now)
        case Stage.SEARCHING:
            return _searching(course, event, now)
        case Stage.CONFIRMING:
            return _confirming(course, event, now)
        case Stage.WAITING if isinstance(event, Rested):
            return replace(course, stage=Stage.DECIDING), Decide()
        case _:
            raise _impossible(course, event)


def _recorded(course: Course, now: float) -> Next:
    """Go on where the journal has stored what leads into the stage."""
    deletion = stored(course)
    match course.stage:
        case Stage.SENDING:
            return course, Send()
        case Stage.FOLLOWING:
            return course, _look_at_job(course)
        case Stage.WAITING:
            return _wait(course, now)
        case Stage.OVER:
            return course, Finish(deletion=deletion)
        case _:
            raise _impossible(course, Recorded(deletion=deletion))


def _deciding(course: Course, event: Event, now: float) -> Next:  # noqa: PLR0911 - one for each event
    match event:
        case Decided(decision=None):
            return _withdraw(course, Outcome.ALREADY_GONE, "it was gone before DELETE was sent")
        case Decided(decision=Decision(verdict=Verdict.DELETE)):
            return replace(course, stage=Stage.SENDING), Intend(again=course.deletion is not None)
        case Decided(decision=Decision() as kept):
            passing = kept.reason in {Reason.UPDATE_UNFINISHED, Reason.DOWNLOAD_RUNNING}
            if passing and course.deletion is not None:
                return _wait(_said(course, Meaning.TRANSIENT, kept.detail), now)
            return _withdraw(course, Outcome.PROTECTED, f"nothing was sent: {kept.detail}")
        case Undecided() as why:
            if course.deletion is None:
                return replace(course, stage=Stage.OVER), GiveUp(why=why)
            if why.denied or why.stopped or why.refused:
                outcome = Outcome.DENIED if why.denied else Outcome.BUSY
                return _end(course, outcome, course.deletion.code, why.problem)
            return _wait(_said(course, Meaning.TRANSIENT, why.problem), now)
        case _:
            raise _impossible(course, event)


def _sending(course: Course, event: Event, now: float) -> Next:
    if isinstance(event, Undecided):  # the journal refused the intent, so that nothing more is stored
        return _deciding(course, event, now)
    deletion = stored(course)
    match event:
        case Withheld(why=why, stale=True):
            return _record_wait(course, deletion.code, why)
        case Withheld(why=why):
            # An earlier attempt was refused: the package was not protected, its repository was busy.
            was_refused = deletion.attempts > 1
            outcome = Outcome.BUSY if was_refused else Outcome.PROTECTED
            return _end(course, outcome, deletion.code if was_refused else "", why)
        case Accepted(job_uuid=job_uuid):
            following, _ = _follow(course, now)
            return following, RecordJob(job_uuid=job_uuid)
        case Answered(diagnosis=diagnosis):
            return _handle(course, diagnosis, now)
        case _:
            raise _impossible(course, event)


def _following(course: Course, event: Event, now: float) -> Next:  # noqa: PLR0911 - one for each event
    match event:
        case JobRead(job=job) if job.succeeded:
            return _end(course, Outcome.SUCCESS, "", job.message)
        case JobRead(job=job) if job.failed:
            return _handle(course, read_failed_job(job), now)
        case JobRead() | JobUnread.FAILED:
            return (course, ReadListing()) if now >= course.deadline else _rest(course, course.pace.job)
        case JobUnread.HIDDEN:
            return replace(course, reads_listing=True), ReadListing()
        case JobUnread.NOT_FOUND:
            return course, ReadListing()
        case Answered(diagnosis=diagnosis):
            return _handle(course, diagnosis, now)
        case Listed(listed=False):
            return _end(course, Outcome.SUCCESS, "", "the package is gone")
        case Listed(listed=listed):
            return _still_listed(course, now, listed=listed)
        case Rested():
            return course, _look_at_job(course)
        case _:
            raise _impossible(course, event)


def _still_listed(course: Course, now: float, *, listed: bool | None) -> Next:
    """Go on, or not, where no job says that it is over and the package is not known to be gone."""
    if now >= course.deadline:
        return _end(course, Outcome.TIMEOUT, "", "the job was not over after job_timeout")
    is_named = not course.reads_listing and stored(course).job_uuid is not None
    if is_named and listed and now >= course.since + ENDED_JOB_KEPT_SECONDS:
        message = "the job is no longer kept, and the package is still there"
        return _end(course, Outcome.FAILURE, "", message)
    return _rest(course, course.pace.job)


def _searching(course: Course, event: Event, now: float) -> Next:
    match event:
        case Searched(listed=False):
            return _conclude(course, Outcome.SUCCESS)
        case Searched(jobs=JobSearch(job=Job() as job)):
            following, _ = _follow(course, now)
            return following, RecordJob(job_uuid=job.uuid)
        case Searched() if now >= course.deadline:
            return _conclude(course, Outcome.TIMEOUT)
        case Searched(jobs=jobs, listed=listed):
            # Where the jobs cannot be read, or one of them might be it, only time tells.
            is_known = listed is not None and jobs is not None and not jobs.open
            if is_known and course.tries + 1 >= course.pace.looks and now >= course.in_flight_until:
                return _not_deleted(course)
            return _rest(course, course.pace.look)
        case Rested():
            return course, Search()
        case _:
            raise _impossible(course, event)


def _confirming(course: Course, event: Event, now: float) -> Next:
    match event:
        case Listed(listed=False):
            return _conclude(course, course.when_gone)
        case Listed() if now >= course.deadline:
            return _conclude(course, Outcome.TIMEOUT)
        case Listed(listed=True) if course.tries + 1 >= course.pace.looks:
            # A listing may show a package for some seconds after it is gone, but not for longer.
            return _not_deleted(course)
        case Listed():
            return _rest(course, course.pace.look)
        case Rested():
            return course, ReadListing()
        case _:
            raise _impossible(course, event)


def _handle(  # noqa: PLR0911 - one for each meaning
    course: Course, diagnosis: Diagnosis, now: float
) -> Next:
    """Go where an answer to DELETE, or a failed job, leads."""
    course = replace(course, diagnosis=diagnosis)
    match diagnosis.meaning:
        case Meaning.TRANSIENT:
            return _record_wait(course, diagnosis.code, diagnosis.message)
        case Meaning.DENIED:
            return _conclude(course, Outcome.DENIED)
        case Meaning.FAILURE:
            return _conclude(course, Outcome.FAILURE)
        case Meaning.GONE:
            return _confirm(course, now, when_gone=Outcome.ALREADY_GONE)
        case Meaning.UNKNOWN | Meaning.UNKNOWN_TRANSIENT:
            if course.stage is Stage.FOLLOWING:
                return _confirm(course, now, when_gone=Outcome.SUCCESS)
            if diagnosis.code:  # ONTAP itself has answered, so that nothing is on its way any more
                return _search(course, now)
            longest = course.limits.return_timeout_seconds + course.pace.in_flight_seconds
            return _search(replace(course, in_flight_until=now + longest), now)
        case _:
            assert_never(diagnosis.meaning)


def _follow(course: Course, now: float) -> Next:
    followed = _enter(course, Stage.FOLLOWING, now)
    return followed, _look_at_job(followed)


def _search(course: Course, now: float) -> Next:
    return _enter(course, Stage.SEARCHING, now), Search()


def _confirm(course: Course, now: float, *, when_gone: Outcome) -> Next:
    return replace(_enter(course, Stage.CONFIRMING, now), when_gone=when_gone), ReadListing()


def _enter(course: Course, stage: Stage, now: float) -> Course:
    deadline = now + course.limits.job_timeout_seconds
    return replace(course, stage=stage, since=now, deadline=deadline, tries=0, reads_listing=False)


def _look_at_job(course: Course) -> Action:
    job_uuid = None if course.deletion is None else course.deletion.job_uuid
    return ReadListing() if course.reads_listing or job_uuid is None else ReadJob(job_uuid=job_uuid)


def _rest(course: Course, pauses: Pauses) -> Next:
    return replace(course, tries=course.tries + 1), Rest(seconds=pauses.after(course.tries))


def _wait(course: Course, now: float) -> Next:
    """Wait for a busy repository, as long as the run may."""
    deletion = stored(course)
    diagnosis = course.diagnosis
    left = course.busy_until - now
    if course.is_resumed or left <= 0:
        message = diagnosis.message if diagnosis else deletion.message
        return _end(course, Outcome.BUSY, deletion.code, message)
    asked_for = diagnosis.retry_after_seconds if diagnosis else None
    pause = max(course.pace.busy.after(course.waits), asked_for or 0.0)
    waiting = replace(course, stage=Stage.WAITING, waits=course.waits + 1)
    return waiting, Rest(seconds=min(pause, left), idle=True)


def _record_wait(course: Course, code: str, message: str) -> Next:
    return replace(course, stage=Stage.WAITING), RecordWait(code=code, message=message)


def _not_deleted(course: Course) -> Next:
    """Go on where the package is there and nothing works on it any more."""
    diagnosis = course.diagnosis
    if diagnosis is not None and diagnosis.meaning is Meaning.UNKNOWN_TRANSIENT:
        return _record_wait(course, diagnosis.code, diagnosis.message)
    return _conclude(course, Outcome.FAILURE)


def _withdraw(course: Course, outcome: Outcome, message: str) -> Next:
    """End a deletion that is no longer wanted."""
    if course.deletion is None:
        return replace(course, stage=Stage.OVER), Leave(outcome=outcome, message=message)
    return _end(course, outcome, "", message)


def _conclude(course: Course, outcome: Outcome) -> Next:
    """End with what ONTAP said last; where it succeeded after all, the code on the way there is no error."""
    diagnosis = course.diagnosis
    code = "" if diagnosis is None or outcome is Outcome.SUCCESS else diagnosis.code
    return _end(course, outcome, code, "" if diagnosis is None else diagnosis.message)


def _end(course: Course, outcome: Outcome, code: str, message: str) -> Next:
    return replace(course, stage=Stage.OVER), End(outcome=outcome, code=code, message=message)


def _said(course: Course, meaning: Meaning, message: str) -> Course:
    code = stored(course).code
    return replace(course, diagnosis=Diagnosis(meaning=meaning, code=code, message=message))


def stored(course: Course) -> Deletion:
    """Return the deletion as the journal has it.

    Raises:
        ValueError: the first intent is not stored yet.
    """
    if course.deletion is None:
        raise ValueError(f"nothing is stored yet, but the deletion is {course.stage}")
    return course.deletion


def _impossible(course: Course, event: Event) -> ValueError:
    return ValueError(f"{type(event).__name__} cannot happen while {course.stage}")
