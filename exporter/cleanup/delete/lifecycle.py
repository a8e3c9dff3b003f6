r"""The life of one deletion, as a machine: what has happened goes in, what to do next comes out. Pure.

::

    DECIDING --> SENDING --> FOLLOWING --> OVER
       ^            |  \          |
       |            |   SEARCHING  |      what became of DELETE is not known
       |            |      |       |
       +-- WAITING <+------+--> CONFIRMING --> OVER

:func:`step` is called with each :data:`Event` and returns the next :data:`Action`. One loop
(:mod:`exporter.cleanup.delete.driver`) performs the actions, for a run, a recovery and a takeover alike.
DELETE is sent in SENDING alone. Only a decision on facts read afresh leads there; a resumed deletion never
comes there.

Times are seconds of one clock that never goes back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from exporter.cleanup.decide.plan import Decision, Verdict, VerdictReason
from exporter.cleanup.delete.limits import Limits, Pace, Pauses
from exporter.cleanup.delete.replies import Diagnosis, Meaning, read_failed_job
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

ENDED_JOB_KEPT_SECONDS = 300.0
"""ONTAP keeps an ended job for this long. A job that is not found sooner may not exist yet."""

_GONE = "the package is gone"


class Stage(StrEnum):
    """What is being done for a deletion."""

    DECIDING = "deciding"  # the cluster is read afresh, and the policy decides again
    SENDING = "sending"  # the intent is stored, and DELETE goes out
    FOLLOWING = "following"  # ONTAP accepted; its job, searched for if not named, is read until it is over
    SEARCHING = "searching"  # what became of DELETE is not known; jobs and listing are read
    CONFIRMING = "confirming"  # ONTAP says that nothing is under way any more; the listing decides
    WAITING = "waiting"  # ONTAP refused for a passing reason, and nothing is under way
    OVER = "over"  # it has its outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a deletion stands.

    Attributes:
        busy_until: until when a busy repository is tried again.
        deletion: as the journal has it; None before the first intent.
        is_resumed: whether an earlier run began it; it is then only brought to its end.
        deadline: until when it is followed, searched for or confirmed.
        since: when the stage began; FOLLOWING: when the job was last read, once it has been read.
        tries: pauses made in the stage.
        waits: pauses made for a busy repository.
        diagnosis: what ONTAP has said last.
        when_gone: CONFIRMING: the outcome if the package is gone.
        reads_listing: FOLLOWING: the listing is read in place of a job, which is hidden.
        in_flight_until: SEARCHING: until then a DELETE whose answer is not known may still arrive.
        may_take_effect: whether an earlier DELETE whose job was not found may still take effect.
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
    may_take_effect: bool = False


Next = tuple[Progress, Action]


def begin(*, limits: Limits, pace: Pace, busy_until: float) -> Next:
    """Begin a deletion that a plan has chosen."""
    return Progress(limits=limits, pace=pace, stage=Stage.DECIDING, busy_until=busy_until), Do.DECIDE


def resume(deletion: Deletion, *, limits: Limits, pace: Pace, now: float, in_flight_until: float) -> Next:
    """Go on with a deletion that an earlier run, or another process, has left unfinished.

    Until ``in_flight_until``, a DELETE of the earlier run may still arrive.
    """
    progress = Progress(
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
            return _search(replace(progress, diagnosis=lost), now)
        case Phase.FOLLOWED:
            followed = _enter(progress, Stage.FOLLOWING, now)
            return followed, _read_or_search_job(followed)
        case Phase.WAITING:
            message = deletion.message or "the program ended while the repository was busy"
            return _end(progress, Outcome.BUSY, deletion.code, message)
        case Phase.ENDED:
            return progress, Finish(deletion=deletion)
        case _:
            assert_never(deletion.phase)


def step(progress: Progress, event: Event, *, now: float) -> Next:  # noqa: PLR0911 - one for each stage
    """Return where the deletion stands after an event, and what to do next.

    Raises:
        ValueError: the event cannot happen in this stage.
    """
    if isinstance(event, Recorded):
        return _recorded(replace(progress, deletion=event.deletion), now)
    match progress.stage:
        case Stage.DECIDING:
            return _deciding(progress, event, now)
        case Stage.SENDING:
            return _sending(progress, event, now)
        case Stage.FOLLOWING:
            return _following(progress, event, now)
        case Stage.SEARCHING:
            return _searching(progress, event, now)
        case Stage.CONFIRMING:
            return _confirming(progress, event, now)
        case Stage.WAITING if isinstance(event, Slept):
            if now > progress.busy_until + progress.pace.busy.longest_seconds:
                return _wait(progress, now)  # other clusters, or a suspended machine, took very long
            return replace(progress, stage=Stage.DECIDING), Do.DECIDE
        case _:
            raise _impossible(progress, event)


def _recorded(progress: Progress, now: float) -> Next:
    """Go on once the journal has stored the step into the stage."""
    deletion = stored(progress)
    match progress.stage:
        case Stage.SENDING:
            return progress, Do.SEND
        case Stage.FOLLOWING:
            return progress, _read_or_search_job(progress)
        case Stage.WAITING:
            return _wait(progress, now)
        case Stage.OVER:
            return progress, Finish(deletion=deletion)
        case _:
            raise _impossible(progress, Recorded(deletion=deletion))


def _deciding(progress: Progress, event: Event, now: float) -> Next:  # noqa: PLR0911 - one for each event
    match event:
        case Decided(decision=None) if progress.may_take_effect:
            return _conclude(progress, Outcome.SUCCESS)
        case Decided(decision=None):
            return _withdraw(progress, Outcome.ALREADY_GONE, "it was gone before DELETE was sent")
        case Decided(decision=Decision(verdict=Verdict.DELETE)):
            return replace(progress, stage=Stage.SENDING), Do.INTEND
        case Decided(decision=Decision() as kept):
            passing = kept.reason in {VerdictReason.UPDATE_UNFINISHED, VerdictReason.DOWNLOAD_RUNNING}
            if passing and progress.deletion is not None:
                return _wait_because(progress, kept.detail, now)
            return _withdraw(progress, Outcome.PROTECTED, f"nothing was sent: {kept.detail}")
        case Undecided() as why:
            if progress.deletion is None:
                return replace(progress, stage=Stage.OVER), AbortRun(why=why)
            if why.failure is not RunFailure.UNREADABLE:
                outcome = Outcome.DENIED if why.failure is RunFailure.DENIED else Outcome.BUSY
                return _end(progress, outcome, progress.deletion.code, why.problem)
            return _wait_because(progress, why.problem, now)
        case _:
            raise _impossible(progress, event)


def _sending(progress: Progress, event: Event, now: float) -> Next:
    if isinstance(event, Undecided):  # the journal refused the intent, so that nothing more is stored
        return _deciding(progress, event, now)
    deletion = stored(progress)
    match event:
        case Withheld(why=why, stale=True):
            # The answer to an earlier attempt, with its Retry-After, no longer applies.
            return _record_wait(replace(progress, diagnosis=None), deletion.code, why)
        case Withheld(why=why):
            # An earlier attempt was refused: the package was not protected, its repository was busy.
            was_refused = deletion.attempts > 1
            outcome = Outcome.BUSY if was_refused else Outcome.PROTECTED
            return _end(progress, outcome, deletion.code if was_refused else "", why)
        case Accepted(job_uuid=job_uuid):
            return _enter(progress, Stage.FOLLOWING, now), RecordJob(job_uuid=job_uuid)
        case Answered(diagnosis=diagnosis):
            return _handle(progress, diagnosis, now)
        case _:
            raise _impossible(progress, event)


def _following(progress: Progress, event: Event, now: float) -> Next:  # noqa: PLR0911 - one for each event
    match event:
        case JobRead(job=job) if job.succeeded:
            return _end(progress, Outcome.SUCCESS, "", job.message)
        case JobRead(job=job) if job.failed:
            return _handle(progress, read_failed_job(job), now)
        case JobRead():  # ONTAP has the job, so it keeps it for a while from now on
            return _read_job_again(replace(progress, since=now), now)
        case JobUnread.FAILED:
            return _read_job_again(progress, now)
        case JobUnread.HIDDEN:
            return replace(progress, reads_listing=True), Do.READ_LISTING
        case JobUnread.NOT_FOUND:
            return progress, Do.READ_LISTING
        case Answered(diagnosis=diagnosis):
            return _handle(progress, diagnosis, now)
        case Listed() | Searched() as seen:
            return _without_job(progress, seen, now)
        case Slept():
            return progress, _read_or_search_job(progress)
        case _:
            raise _impossible(progress, event)


def _read_job_again(progress: Progress, now: float) -> Next:
    """Read a job again after a pause; once the time to follow it is over, the listing decides."""
    if now >= progress.deadline:
        return progress, Do.READ_LISTING
    return _sleep(progress, progress.pace.job)


def _without_job(progress: Progress, seen: Listed | Searched, now: float) -> Next:
    """Conclude from the listing, or keep following, if no job says that the deletion is over."""
    if seen.listed is False:
        return _end(progress, Outcome.SUCCESS, "", _GONE)
    if isinstance(seen, Searched) and seen.jobs is not None and seen.jobs.job is not None:
        return progress, RecordJob(job_uuid=seen.jobs.job.uuid)
    if now >= progress.deadline:
        return _end(progress, Outcome.TIMEOUT, "", "the job was not over after job_timeout")
    is_named = not progress.reads_listing and stored(progress).job_uuid is not None
    if is_named and seen.listed and now >= progress.since + ENDED_JOB_KEPT_SECONDS:
        message = "the job is no longer kept, and the package is still there"
        return _end(progress, Outcome.FAILURE, "", message)
    return _sleep(progress, progress.pace.job)


def _searching(progress: Progress, event: Event, now: float) -> Next:
    match event:
        case Searched(listed=False):
            return _conclude(progress, Outcome.SUCCESS)
        case Searched(jobs=JobSearch(job=Job() as job)):
            return _enter(progress, Stage.FOLLOWING, now), RecordJob(job_uuid=job.uuid)
        case Searched() if now >= progress.deadline:
            return _conclude(progress, Outcome.TIMEOUT)
        case Searched(jobs=jobs, listed=listed):
            # Where the jobs cannot be read, or one of them might be it, only time tells.
            is_known = listed is not None and jobs is not None and not jobs.open
            if is_known and progress.tries + 1 >= progress.pace.checks and now >= progress.in_flight_until:
                return _not_deleted(progress)
            return _sleep(progress, progress.pace.check)
        case Slept():
            return progress, Do.SEARCH
        case _:
            raise _impossible(progress, event)


def _confirming(progress: Progress, event: Event, now: float) -> Next:
    match event:
        case Listed(listed=False):
            return _conclude(progress, progress.when_gone)
        case Listed() if now >= progress.deadline:
            return _conclude(progress, Outcome.TIMEOUT)
        case Listed(listed=True) if progress.tries + 1 >= progress.pace.checks:
            # A listing may show a package for some seconds after it is gone, but not for longer.
            return _not_deleted(progress)
        case Listed():
            return _sleep(progress, progress.pace.check)
        case Slept():
            return progress, Do.READ_LISTING
        case _:
            raise _impossible(progress, event)


def _handle(  # noqa: PLR0911 - one for each meaning
    progress: Progress, diagnosis: Diagnosis, now: float
) -> Next:
    """Go on as an answer to DELETE, or a failed job, requires."""
    progress = replace(progress, diagnosis=diagnosis)
    match diagnosis.meaning:
        case Meaning.TRANSIENT:
            return _record_wait(progress, diagnosis.code, diagnosis.message)
        case Meaning.DENIED:
            return _conclude(progress, Outcome.DENIED)
        case Meaning.FAILURE:
            return _conclude(progress, Outcome.FAILURE)
        case Meaning.GONE:
            when_gone = Outcome.SUCCESS if progress.may_take_effect else Outcome.ALREADY_GONE
            return _confirm(progress, now, when_gone=when_gone)
        case Meaning.UNKNOWN | Meaning.UNKNOWN_TRANSIENT:
            if progress.stage is Stage.FOLLOWING:
                return _confirm(progress, now, when_gone=Outcome.SUCCESS)
            if diagnosis.code:  # ONTAP itself has answered, so that nothing is on its way any more
                return _search(progress, now)
            longest = progress.limits.return_timeout_seconds + progress.pace.in_flight_seconds
            return _search(replace(progress, in_flight_until=now + longest), now)
        case _:
            assert_never(diagnosis.meaning)


def _search(progress: Progress, now: float) -> Next:
    return _enter(progress, Stage.SEARCHING, now), Do.SEARCH


def _confirm(progress: Progress, now: float, *, when_gone: Outcome) -> Next:
    return replace(_enter(progress, Stage.CONFIRMING, now), when_gone=when_gone), Do.READ_LISTING


def _enter(progress: Progress, stage: Stage, now: float) -> Progress:
    deadline = now + progress.limits.job_timeout_seconds
    return replace(progress, stage=stage, since=now, deadline=deadline, tries=0, reads_listing=False)


def _read_or_search_job(progress: Progress) -> Action:
    if progress.reads_listing:
        return Do.READ_LISTING
    job_uuid = None if progress.deletion is None else progress.deletion.job_uuid
    return Do.SEARCH if job_uuid is None else ReadJob(job_uuid=job_uuid)


def _sleep(progress: Progress, pauses: Pauses) -> Next:
    return replace(progress, tries=progress.tries + 1), Sleep(seconds=pauses.after(progress.tries))


def _wait(progress: Progress, now: float) -> Next:
    """Wait for a busy repository; end as busy if the run has no time left, or less than Retry-After."""
    deletion = stored(progress)
    diagnosis = progress.diagnosis
    left = progress.busy_until - now
    asked_for = (diagnosis.retry_after_seconds if diagnosis else None) or 0.0
    if progress.is_resumed or left <= 0 or asked_for > left:
        message = diagnosis.message if diagnosis else deletion.message
        return _end(progress, Outcome.BUSY, deletion.code, message)
    pause = max(progress.pace.busy.after(progress.waits), asked_for)
    waiting = replace(progress, stage=Stage.WAITING, waits=progress.waits + 1)
    return waiting, Sleep(seconds=min(pause, left), idle=True)


def _wait_because(progress: Progress, message: str, now: float) -> Next:
    """Wait for a reason that was found while deciding again, not given by ONTAP."""
    diagnosis = Diagnosis(meaning=Meaning.TRANSIENT, code=stored(progress).code, message=message)
    return _wait(replace(progress, diagnosis=diagnosis), now)


def _record_wait(progress: Progress, code: str, message: str) -> Next:
    return replace(progress, stage=Stage.WAITING), RecordWait(code=code, message=message)


def _not_deleted(progress: Progress) -> Next:
    """Wait and send again, or fail: the package is there and nothing works on it any more."""
    diagnosis = progress.diagnosis
    if diagnosis is not None and diagnosis.meaning is Meaning.UNKNOWN_TRANSIENT:
        return _record_wait(replace(progress, may_take_effect=True), diagnosis.code, diagnosis.message)
    return _conclude(progress, Outcome.FAILURE)


def _withdraw(progress: Progress, outcome: Outcome, message: str) -> Next:
    """End a deletion that is no longer wanted."""
    if progress.deletion is None:
        return replace(progress, stage=Stage.OVER), EndUnsent(outcome=outcome, message=message)
    return _end(progress, outcome, "", message)


def _conclude(progress: Progress, outcome: Outcome) -> Next:
    """End with ONTAP's last code and message; a success has no code, whatever failed before it."""
    diagnosis = progress.diagnosis
    if outcome is Outcome.SUCCESS:
        return _end(progress, outcome, "", _GONE)
    if diagnosis is None:
        return _end(progress, outcome, "", "")
    return _end(progress, outcome, diagnosis.code, diagnosis.message)


def _end(progress: Progress, outcome: Outcome, code: str, message: str) -> Next:
    return replace(progress, stage=Stage.OVER), End(outcome=outcome, code=code, message=message)


def stored(progress: Progress) -> Deletion:
    """Return the deletion as the journal has it.

    Raises:
        ValueError: the first intent is not stored yet.
    """
    if progress.deletion is None:
        raise ValueError(f"nothing is stored yet, but the deletion is {progress.stage}")
    return progress.deletion


def _impossible(progress: Progress, event: Event) -> ValueError:
    return ValueError(f"{type(event).__name__} cannot happen while {progress.stage}")
