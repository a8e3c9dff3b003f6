"""Deletes one package and follows what becomes of it, to an outcome that the journal records.

A deletion goes from intent to outcome through the phases of :class:`exporter.cleanup.records.Phase`. Whatever
happens to an answer, DELETE is sent again only after ONTAP has said that nothing is under way, and after the
preflight has been read afresh.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import assert_never, cast

from exporter.cleanup.cluster_jobs import ClusterJobs, Watched
from exporter.cleanup.journal import Journal, JournalError
from exporter.cleanup.kill_switch import KillSwitch
from exporter.cleanup.limits import Limits, Pace
from exporter.cleanup.plan import Decision, Reason, Verdict
from exporter.cleanup.preflight import DecisionImpossibleError, read_repository
from exporter.cleanup.records import Deletion, Outcome, Phase, TargetIdentity
from exporter.cleanup.replies import Diagnosis, Meaning, read_failed_job, read_reply
from exporter.cleanup.uninterrupted import wait_uninterrupted
from exporter.ontap.access import ClusterAccess
from exporter.ontap.client import RequestInFlight
from exporter.ontap.deletion import delete_package
from exporter.ontap.errors import OntapError

DELETE_MARGIN_SECONDS = 30.0
"""How much longer than return_timeout an answer to DELETE may take."""
FORGOTTEN_SECONDS = 86_400.0
"""For so long a deletion that was given up counts as going on where nothing tells that it is over."""
DRAIN_SECONDS = 4.0
"""How long a DELETE that is being sent may take to be recorded when its run is cut short."""
_HALTED = "nothing was sent: cleanup was halted"
_CUT_SHORT = "nothing was sent: the run was cut short"


class Deleter:
    """Deletes packages of one cluster, one at a time.

    Args:
        access: the cluster.
        journal: remembers every step before and after it is taken.
        kill_switch: stops all deleting at once.
        unanswered: until when, in Unix time, a DELETE may be at work that was cut off without an answer, by
            the deletion's id; shared by all deleters of one life of the program.
        limits: how long a deletion is tried and followed.
        pace: how long it waits in between.
        wall_clock: gives Unix seconds.
    """

    def __init__(
        self,
        *,
        access: ClusterAccess,
        journal: Journal,
        kill_switch: KillSwitch,
        unanswered: dict[int, float],
        limits: Limits,
        pace: Pace,
        wall_clock: Callable[[], float],
    ) -> None:
        self._access = access
        self._jobs = ClusterJobs(access)
        self._journal = journal
        self._kill_switch = kill_switch
        self._unanswered = unanswered
        self._limits = limits
        self._pace = pace
        self._wall_clock = wall_clock
        self._earlier_jobs: set[str] = set()

    @property
    def job_timeout_seconds(self) -> float:
        """How long a deletion is followed."""
        return self._limits.job_timeout_seconds

    def busy_until(self) -> float:
        """Return until when a run that begins now tries a busy repository again, in the event loop's time."""
        return asyncio.get_running_loop().time() + self._limits.retry_busy_for_seconds

    async def delete(
        self,
        run_id: int,
        version: str,
        *,
        target_identity: TargetIdentity,
        decide_again: Callable[[], Awaitable[Decision | None]],
        busy_until: float,
    ) -> Deletion:
        """Delete a version, retrying while the repository is busy; return the deletion, which has ended.

        Args:
            run_id: the run that decided on it.
            version: what to delete.
            target_identity: the cluster that is reached.
            decide_again: reads the preflight afresh and decides; None where the package is not listed.
            busy_until: until when a busy repository is tried again, in the event loop's time.

        Raises:
            DecisionImpossibleError: a job is at work on the version already, or the preflight cannot be read,
                before any DELETE was sent.
            JournalError: a step could not be recorded; nothing is sent that is not.
        """
        clock = asyncio.get_running_loop().time
        pauses = iter(self._pace.busy)
        deletion: Deletion | None = None
        while True:
            diagnosis: Diagnosis | None
            try:
                await self._jobs.expect_none(version)
                decision = await decide_again()
                diagnosis = None if deletion is None else _still_busy(decision, deletion)
            except DecisionImpossibleError as exc:
                if deletion is None:
                    raise
                if exc.denied:
                    return await self._end(deletion, Outcome.DENIED, deletion.code, str(exc))
                decision = None
                diagnosis = Diagnosis(meaning=Meaning.TRANSIENT, code=deletion.code, message=str(exc))
            if diagnosis is None:
                if decision is None or decision.verdict is not Verdict.DELETE:
                    return await self._leave(run_id, version, deletion, decision)
                deletion, diagnosis = await self._attempt(
                    await self._intend(run_id, version, deletion, target_identity)
                )
                if diagnosis is None:
                    return deletion
            waiting = cast("Deletion", deletion)  # without an attempt, only one that waits has a diagnosis
            left = busy_until - clock()
            if left <= 0:
                return await self._end(waiting, Outcome.BUSY, diagnosis.code, diagnosis.message)
            pause = max(next(pauses), diagnosis.retry_after_seconds or 0.0)
            await asyncio.sleep(min(pause, left))

    async def resume(self, deletion: Deletion) -> Deletion:
        """Bring a deletion to its end that an earlier life of the program has begun; never sends DELETE.

        Raises:
            JournalError: the outcome could not be recorded.
        """
        match deletion.phase:
            case Phase.INTENDED:
                known = await self._journal.job_uuids(
                    deletion.cluster, deletion.version, target_identity=deletion.sent_to
                )
                self._earlier_jobs = set(known)
                diagnosis = Diagnosis(
                    meaning=Meaning.UNKNOWN,
                    code="",
                    message="the program ended while DELETE was being sent; the package is still there",
                )
                until = self._unanswered.pop(deletion.id, 0.0)
                deletion, _ = await self._find_out(deletion, diagnosis, until=until)
            case Phase.FOLLOWED:
                deletion, _ = await self._follow(deletion)
            case Phase.WAITING | Phase.ENDED:
                pass
        if deletion.phase is Phase.WAITING:
            message = deletion.message or "the program ended while the repository was busy"
            deletion = await self._end(deletion, Outcome.BUSY, deletion.code, message)
        return deletion

    async def may_still_run(self, deletion: Deletion) -> bool:
        """Say whether a deletion that was given up, or that nobody here follows, may still go on.

        Where that cannot be read (a role may hide jobs), it counts as going on for a day.
        """
        if deletion.phase is not Phase.ENDED and deletion.cluster == self._access.name:
            return True  # it has to be brought to its end before there can be another
        if deletion.phase is Phase.WAITING:
            return False
        since = deletion.ended_timestamp_seconds or deletion.intended_timestamp_seconds
        given_up_for = self._wall_clock() - since
        if deletion.job_uuid is None:
            search = await self._jobs.find(deletion.version, earlier=self._earlier_jobs)
            unknown = search is None or search.open or deletion.phase is Phase.INTENDED
            return (search is not None and search.unfinished) or (
                unknown and given_up_for < FORGOTTEN_SECONDS
            )
        watched = Watched(uuid=deletion.job_uuid)
        job = await self._jobs.read(watched)
        if job is not None:
            return not job.over
        is_over = watched.end is not None and watched.end.meaning is Meaning.UNKNOWN
        return not is_over and given_up_for < FORGOTTEN_SECONDS

    async def _intend(
        self, run_id: int, version: str, deletion: Deletion | None, target_identity: TargetIdentity
    ) -> Deletion:
        """Store the intent; what was stored when the run is cut short is called off."""
        intending = asyncio.create_task(
            self._store_intent(run_id, version, deletion, target_identity), name=f"intend to delete {version}"
        )
        try:
            return await asyncio.shield(intending)
        except asyncio.CancelledError:
            await wait_uninterrupted(intending, seconds=DRAIN_SECONDS)
            if not intending.cancelled() and intending.exception() is None:
                await self._record_uninterrupted(self._call_off(intending.result(), _CUT_SHORT))
            raise

    async def _store_intent(
        self, run_id: int, version: str, deletion: Deletion | None, target_identity: TargetIdentity
    ) -> Deletion:
        if deletion is None:
            known = await self._journal.job_uuids(self._access.name, version, target_identity=target_identity)
            self._earlier_jobs = set(known)
            now = self._wall_clock()
            return await self._journal.intend(run_id, version=version, now=now, sent_to=target_identity)
        if deletion.job_uuid is not None:
            self._earlier_jobs.add(deletion.job_uuid)
        return await self._journal.intend_again(deletion)

    async def _attempt(self, deletion: Deletion) -> tuple[Deletion, Diagnosis | None]:
        """Send DELETE once and see it through; where it may be tried again, the deletion waits.

        Until the request has gone out, the kill switch and a cancellation call it off.
        """
        if self._kill_switch.active:
            return await self._call_off(deletion, _HALTED), None
        in_flight = RequestInFlight()
        sending = asyncio.create_task(self._send(deletion, in_flight), name=f"delete {deletion.version}")
        switching = asyncio.create_task(self._kill_switch.engaged(), name="watch the kill switch")
        try:
            await asyncio.wait({sending, switching}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done() and not in_flight.sent:
                await wait_uninterrupted(sending, seconds=0.0)
                return await self._call_off(deletion, _HALTED), None
            deletion, diagnosis = await asyncio.shield(sending)
        except asyncio.CancelledError:
            # What is being sent is still recorded; a later start, or the next configuration, follows it.
            await wait_uninterrupted(sending, seconds=DRAIN_SECONDS if in_flight.sent else 0.0)
            await self._record_uninterrupted(self._record_sending(sending, in_flight, deletion))
            raise
        finally:
            switching.cancel()
        if diagnosis is None:
            return await self._follow(deletion)
        return await self._handle(deletion, diagnosis)

    async def _record_uninterrupted(self, recording: Coroutine[None, None, object]) -> None:
        """Record something after a cancellation, which no further one hurries, if the journal takes it."""

        async def record() -> None:
            with suppress(JournalError):
                await recording

        await wait_uninterrupted(
            asyncio.create_task(record(), name="record a deletion"), seconds=DRAIN_SECONDS
        )

    async def _record_sending(
        self,
        sending: asyncio.Task[tuple[Deletion, Diagnosis | None]],
        in_flight: RequestInFlight,
        deletion: Deletion,
    ) -> None:
        """Record what is known of a deletion whose sending has ended, or was ended, too early."""
        if not in_flight.sent:
            await self._call_off(deletion, _CUT_SHORT)
        elif sending.cancelled():
            longest = self._limits.return_timeout_seconds + DELETE_MARGIN_SECONDS
            self._unanswered[deletion.id] = self._wall_clock() + longest
        elif sending.exception() is None:
            await self._record_refusal(*sending.result())

    async def _call_off(self, deletion: Deletion, message: str) -> Deletion:
        """End a deletion of which no DELETE has gone out, or only one that was refused."""
        if deletion.attempts > 1:
            return await self._end(deletion, Outcome.BUSY, deletion.code, message)
        return await self._end(deletion, Outcome.PROTECTED, "", message)

    async def _send(
        self, deletion: Deletion, in_flight: RequestInFlight
    ) -> tuple[Deletion, Diagnosis | None]:
        """Send DELETE and record the job at once; a diagnosis says that there is none."""
        limit = self._limits.return_timeout_seconds
        deadline = asyncio.get_running_loop().time() + limit + DELETE_MARGIN_SECONDS
        try:
            uuid = await self._access.ask(
                delete_package(deletion.version, return_timeout_seconds=limit),
                deadline=deadline,
                in_flight=in_flight,
            )
        except OntapError as exc:
            return deletion, read_reply(exc)
        return await self._journal.follow(deletion, job_uuid=uuid), None

    async def _record_refusal(self, deletion: Deletion, diagnosis: Diagnosis | None) -> None:
        """Record an answer that needs no further look, after a run was cut short."""
        if diagnosis is not None and diagnosis.meaning in {
            Meaning.TRANSIENT,
            Meaning.FAILURE,
            Meaning.DENIED,
        }:
            await self._handle(deletion, diagnosis)

    async def _handle(self, deletion: Deletion, diagnosis: Diagnosis) -> tuple[Deletion, Diagnosis | None]:
        """Do what an answer, or a failed job, demands; a diagnosis says that it may be tried again."""
        match diagnosis.meaning:
            case Meaning.TRANSIENT:
                waiting = await self._journal.wait(deletion, code=diagnosis.code, message=diagnosis.message)
                return waiting, diagnosis
            case Meaning.DENIED:
                return await self._conclude(deletion, Outcome.DENIED, diagnosis), None
            case Meaning.FAILURE:
                return await self._conclude(deletion, Outcome.FAILURE, diagnosis), None
            case Meaning.GONE:
                return await self._conclude_by_look(deletion, diagnosis, when_gone=Outcome.ALREADY_GONE), None
            case Meaning.UNKNOWN | Meaning.UNKNOWN_TRANSIENT:
                return await self._find_out(deletion, diagnosis)
            case _:
                assert_never(diagnosis.meaning)

    async def _find_out(
        self, deletion: Deletion, diagnosis: Diagnosis, *, until: float = 0.0
    ) -> tuple[Deletion, Diagnosis | None]:
        """Look for what became of a deletion: gone, a job, or neither; never send it again blindly.

        Args:
            deletion: what is looked for.
            diagnosis: what is known of it.
            until: before then, in Unix time, its DELETE may still come to something.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._limits.job_timeout_seconds
        for look, pause in enumerate(self._pace.look, start=1):
            gone = await self._is_gone(deletion.version)
            if gone is None or clock() >= deadline:
                return await self._conclude(deletion, Outcome.TIMEOUT, diagnosis), None
            if gone:
                return await self._conclude(deletion, Outcome.SUCCESS, diagnosis), None
            if deletion.phase is Phase.FOLLOWED:
                break  # its job is over
            search = await self._jobs.find(deletion.version, earlier=self._earlier_jobs)
            if search is not None and search.job is not None:
                followed = await self._journal.follow(deletion, job_uuid=search.job.uuid)
                return await self._follow(followed)
            # Where the jobs cannot be read, or one of them might be it, only time tells.
            is_settled = self._wall_clock() >= until and look >= self._pace.looks
            if search is not None and not search.open and is_settled:
                break
            await asyncio.sleep(pause)
        if diagnosis.meaning is Meaning.UNKNOWN_TRANSIENT:
            waiting = await self._journal.wait(deletion, code=diagnosis.code, message=diagnosis.message)
            return waiting, diagnosis
        return await self._conclude(deletion, Outcome.FAILURE, diagnosis), None

    async def _follow(self, deletion: Deletion) -> tuple[Deletion, Diagnosis | None]:
        """Follow a job to its end, or to job_timeout; a failed read is no verdict on the job."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._limits.job_timeout_seconds
        watched = Watched(uuid=deletion.job_uuid)
        diagnosis = Diagnosis(
            meaning=Meaning.UNKNOWN, code="", message="the job was not over after job_timeout"
        )
        for pause in self._pace.job:
            job = await self._jobs.read(watched)
            if job is not None and job.succeeded:
                done = Diagnosis(meaning=Meaning.UNKNOWN, code="", message=job.message)
                return await self._conclude(deletion, Outcome.SUCCESS, done), None
            if job is not None and job.failed:
                return await self._handle(deletion, read_failed_job(job))
            if watched.end is not None:
                return await self._handle(deletion, watched.end)
            left = deadline - clock()
            if watched.uuid is None or left <= 0:
                gone = (await read_repository(self._access)).holds(deletion.version) is False
                if gone:
                    done = Diagnosis(meaning=Meaning.UNKNOWN, code="", message="the package is gone")
                    return await self._conclude(deletion, Outcome.SUCCESS, done), None
            if left <= 0:
                break
            await asyncio.sleep(min(pause, left))
        return await self._conclude(deletion, Outcome.TIMEOUT, diagnosis), None

    async def _is_gone(self, version: str) -> bool | None:
        """Say whether a package is gone; None where that cannot be read within job_timeout."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._limits.job_timeout_seconds
        for pause in self._pace.look:
            holds = (await read_repository(self._access)).holds(version)
            if holds is not None:
                return not holds
            if clock() >= deadline:
                return None
            await asyncio.sleep(min(pause, max(deadline - clock(), 0.0)))
        return None

    async def _leave(
        self, run_id: int, version: str, deletion: Deletion | None, decision: Decision | None
    ) -> Deletion:
        """End a deletion that is no longer wanted: the package is gone or has become protected."""
        if decision is None:
            outcome, message = Outcome.ALREADY_GONE, "it was gone before DELETE was sent"
        else:
            outcome, message = Outcome.PROTECTED, f"nothing was sent: {decision.detail}"
        if deletion is None:
            return await self._journal.leave(
                run_id, version=version, outcome=outcome, message=message, now=self._wall_clock()
            )
        return await self._end(deletion, outcome, "", message)

    async def _conclude_by_look(
        self, deletion: Deletion, diagnosis: Diagnosis, *, when_gone: Outcome
    ) -> Deletion:
        gone = await self._is_gone(deletion.version)
        outcome = when_gone if gone else Outcome.TIMEOUT if gone is None else Outcome.FAILURE
        return await self._conclude(deletion, outcome, diagnosis)

    async def _conclude(self, deletion: Deletion, outcome: Outcome, diagnosis: Diagnosis) -> Deletion:
        """End a deletion; where it succeeded after all, the code on the way there is no error."""
        code = "" if outcome is Outcome.SUCCESS else diagnosis.code
        return await self._end(deletion, outcome, code, diagnosis.message)

    async def _end(self, deletion: Deletion, outcome: Outcome, code: str, message: str) -> Deletion:
        return await self._journal.end(
            deletion, outcome=outcome, code=code, message=message, now=self._wall_clock()
        )


def _still_busy(decision: Decision | None, deletion: Deletion) -> Diagnosis | None:
    """Return what a deletion waits for that was refused for a passing reason: an update or a download."""
    if decision is None or decision.reason not in {Reason.UPDATE_UNFINISHED, Reason.DOWNLOAD_RUNNING}:
        return None
    return Diagnosis(meaning=Meaning.TRANSIENT, code=deletion.code, message=decision.detail)
