"""Performs the actions of the machine in :mod:`exporter.cleanup.delete.lifecycle`, and reports events to it.

A run, a recovery and a takeover bring every deletion to its end in this one loop. All decisions are in the
machine, all I/O is here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import ceil
from typing import assert_never

from exporter.cleanup.delete.lifecycle import Progress, Stage, step, stored
from exporter.cleanup.delete.replies import Meaning, read_reply
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
from exporter.cleanup.journal import Journal, JournalError, StepRefusedError
from exporter.cleanup.outcomes import RunFailure
from exporter.cleanup.preflight import Preflight, usable_uuid
from exporter.cleanup.records import Deletion, Lease
from exporter.concurrency import wait_uninterrupted
from exporter.ontap.access import ClusterAccess
from exporter.ontap.client import NothingSentError, SendGate
from exporter.ontap.errors import ApiError, Forbidden, OntapError, Unauthorized, is_hidden
from exporter.ontap.requests.deletion import delete_package
from exporter.ontap.requests.facts import read_identity
from exporter.ontap.requests.jobs import find_job, read_job
from exporter.ontap.requests.listing import read_listing
from exporter.ontap.session import KEEPALIVE_SECONDS

DELETE_MARGIN_SECONDS = 30.0
"""How much longer than return_timeout an answer to DELETE may take."""
DRAIN_SECONDS = 4.0
"""When the program stops, a DELETE that is being sent has this long to be answered and recorded."""
OLDEST_FACTS_SECONDS = 5.0
"""How old the facts that guard a package may be when DELETE goes out."""
_SLOW_INTENT_SECONDS = KEEPALIVE_SECONDS / 2
"""After this long, the connection on which the facts were read may be closed before DELETE uses it."""
_STOPPING = "nothing was sent: the program is stopping"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChecks:
    """What a run checks again for each DELETE.

    Attributes:
        decide: reads the cluster afresh and decides on the version again; returns the decision and what it
            has read, with times by the driver's clock.
        why_not: says why no DELETE may be sent at this moment; "" if it may. It waits for nothing.
        max_deletes_per_day: of all policies on all clusters; None: no limit.
    """

    decide: Callable[[str], Awaitable[tuple[Decided, Preflight] | Undecided]]
    why_not: Callable[[], str]
    max_deletes_per_day: int | None
    policy_digest: str


@dataclass(slots=True, kw_only=True)
class DeletionDriver:
    """Brings one deletion to its end.

    Attributes:
        create_timestamp_seconds: the package's create_time; None if it is not known.
        stop_after_failures: this many failures in a row pause the policy; 0: never.
        checks: None if DELETE must not be sent: the deletion is only brought to its end.
        sleep: pauses for some seconds; if nothing is under way, another cluster is let in meanwhile.
        clock: seconds that never go back and go on while the machine is suspended.
        wall_clock: Unix seconds.
    """

    run_id: int
    version: str
    create_timestamp_seconds: float | None
    access: ClusterAccess
    journal: Journal
    lease: Lease
    stop_after_failures: int
    checks: RunChecks | None
    sleep: Callable[[Sleep], Awaitable[None]]
    clock: Callable[[], float]
    wall_clock: Callable[[], float]
    _facts_read_at: float = field(default=float("-inf"), init=False)
    _facts_read_until: float = field(default=float("-inf"), init=False)
    _earlier_jobs: frozenset[str] = field(default=frozenset(), init=False)

    async def drive(  # noqa: C901 - one for each action
        self, progress: Progress, action: Action
    ) -> Deletion | Undecided:
        """Perform actions until the deletion has its outcome.

        Returns:
            the deletion; or, if there is no intent yet, why nothing can be decided.

        Raises:
            JournalError: a step could not be stored. No DELETE is sent before its intent is stored.
        """
        event: Event
        while True:
            match action:
                case Do.DECIDE:
                    event = await self._decide(progress)
                case Do.INTEND | Do.SEND:
                    event = await self._perform_in_order(progress, action)
                case ReadJob(job_uuid=job_uuid):
                    event = await self._read_job(job_uuid)
                case Do.READ_LISTING:
                    event = Listed(listed=await self._is_listed())
                case Do.SEARCH:
                    event = await self._search(stored(progress))
                case Sleep():
                    await self.sleep(self._lengthened(action, progress))
                    event = Slept()
                case RecordJob() | RecordWait() | End() | EndUnsent():
                    event = Recorded(deletion=await self._record(action, progress))
                case Finish(deletion=deletion):
                    return deletion
                case AbortRun(why=why):
                    return why
                case _:
                    assert_never(action)
            progress, action = step(progress, event, now=self.clock())

    async def _intend(self, progress: Progress) -> Event:
        """Store the intent, unless the journal says why nothing more may be deleted."""
        checks, deletions = self._required_checks(), self.journal.deletions
        try:
            if progress.deletion is not None:
                intended = await deletions.intend_again(
                    self.lease,
                    progress.deletion,
                    create_timestamp_seconds=self.create_timestamp_seconds,
                    earlier_job_uuids=self._earlier_jobs,
                )
            else:
                intended = await deletions.intend(
                    self.lease,
                    self.run_id,
                    version=self.version,
                    create_timestamp_seconds=self.create_timestamp_seconds,
                    earlier_job_uuids=self._earlier_jobs,
                    max_deletes_per_day=checks.max_deletes_per_day,
                    policy_digest=checks.policy_digest,
                    now=self.wall_clock(),
                )
        except StepRefusedError as exc:
            return Undecided(problem=str(exc), failure=RunFailure.REFUSED)
        return Recorded(deletion=intended)

    async def _record(self, action: RecordJob | RecordWait | End | EndUnsent, progress: Progress) -> Deletion:
        journal, lease, now = self.journal, self.lease, self.wall_clock()
        match action:
            case RecordJob(job_uuid=job_uuid):
                return await journal.deletions.follow(lease, stored(progress), job_uuid=job_uuid)
            case RecordWait(code=code, message=message):
                return await journal.deletions.wait(lease, stored(progress), code=code, message=message)
            case End(outcome=outcome, code=code, message=message):
                return await journal.deletions.end(
                    lease,
                    stored(progress),
                    outcome=outcome,
                    code=code,
                    message=message,
                    stop_after_failures=self.stop_after_failures,
                    now=now,
                )
            case EndUnsent(outcome=outcome, message=message):
                return await journal.deletions.end_unsent(
                    lease,
                    self.run_id,
                    version=self.version,
                    outcome=outcome,
                    message=message,
                    now=now,
                )
            case _:
                assert_never(action)

    async def _perform_in_order(self, progress: Progress, action: Do) -> Event:
        """Store an intent, or send DELETE; if the program stops meanwhile, record what became of it."""
        gate = SendGate(why_not=self._why_not)
        work = self._send(progress, gate) if action is Do.SEND else self._intend(progress)
        task = asyncio.create_task(work, name=f"{action} {self.version}")
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            is_out = action is Do.INTEND or gate.sent
            await wait_uninterrupted(task, seconds=DRAIN_SECONDS if is_out else 0.0)
            await self._record_at_stop(progress, action, task, gate)
            raise

    async def _record_at_stop(
        self, progress: Progress, action: Do, task: asyncio.Task[Event], gate: SendGate
    ) -> None:
        """Record what became of an action that was cut short; the rest is left to the next start."""
        event: Event | None = None
        if not task.cancelled() and task.exception() is None:
            event = task.result()
        elif action is Do.SEND and not gate.sent:
            event = Withheld(why=_STOPPING)
        if event is None:
            return
        progress, following = step(progress, event, now=self.clock())
        if following is Do.SEND:
            progress, following = step(progress, Withheld(why=_STOPPING), now=self.clock())
        if isinstance(following, RecordJob | RecordWait | End):
            with suppress(JournalError):
                await self._record(following, progress)

    async def _decide(self, progress: Progress) -> Event:
        """Make sure that nobody deletes the package yet, then read everything afresh and decide."""
        checks = self._required_checks()
        while (seconds := self._asked_pause_seconds()) > 0:
            if why := checks.why_not():
                return Undecided(problem=why, failure=RunFailure.STOPPED)
            if seconds > progress.busy_until - self.clock():
                return Undecided(problem=f"the cluster asks for a pause of {ceil(seconds)} s (Retry-After)")
            await self.sleep(Sleep(seconds=seconds, idle=True))
            if self.clock() > progress.busy_until + progress.pace.busy.longest_seconds:
                return Undecided(problem="the pause that the cluster asked for took too long")  # a suspend
        listed = await self._listed_jobs()
        if isinstance(listed, Undecided):
            return listed
        decided = await checks.decide(self.version)
        if isinstance(decided, Undecided):
            return decided
        self._earlier_jobs = listed
        event, preflight = decided
        if event.decision is not None:  # the package may have been replaced since the plan
            self.create_timestamp_seconds = event.decision.create_timestamp_seconds
        self._facts_read_at, self._facts_read_until = preflight.facts_read_at, preflight.facts_read_until
        return event

    async def _listed_jobs(self) -> frozenset[str] | Undecided:
        """Return the uuids of all jobs that are listed before DELETE: none of them is its job.

        Undecided if a job is deleting the version, or if the jobs cannot be read though the role allows it.
        """
        try:
            search = await self.access.ask(find_job(self.version, query=self.access.query))
        except OntapError as exc:
            if is_hidden(exc):
                return frozenset()
            return Undecided(problem=f"the cluster's jobs could not be read: {exc}")
        if search.unfinished:
            return Undecided(problem=f"a job is deleting {self.version} already")
        return search.listed_uuids

    async def _send(self, progress: Progress, gate: SendGate) -> Event:
        is_late = self.clock() - self._facts_read_until > _SLOW_INTENT_SECONDS
        if is_late and (why := await self._why_other_cluster()):
            return Withheld(
                why=f"nothing was sent: the intent was stored slowly, and {why}",
                stale=not self._required_checks().why_not(),
            )
        return_timeout_seconds = progress.limits.return_timeout_seconds
        deadline = asyncio.get_running_loop().time() + return_timeout_seconds + DELETE_MARGIN_SECONDS
        request = delete_package(self.version, return_timeout_seconds=return_timeout_seconds)
        try:
            job_uuid = await self.access.ask(request, deadline=deadline, gate=gate)
        except NothingSentError as exc:
            return Withheld(
                why=str(exc), stale=self._are_facts_stale() and not self._required_checks().why_not()
            )
        except OntapError as exc:
            return Answered(diagnosis=read_reply(exc, is_sent=gate.sent))
        return Accepted(job_uuid=job_uuid)

    def _why_not(self) -> str:
        """Say why DELETE may not go out at this moment; called right before its first byte."""
        if why := self._required_checks().why_not():
            return f"nothing was sent: {why}"
        if self._are_facts_stale():
            return f"nothing was sent: the facts that protect it are older than {OLDEST_FACTS_SECONDS:g} s"
        return ""

    def _are_facts_stale(self) -> bool:
        return self.clock() - self._facts_read_at > OLDEST_FACTS_SECONDS

    def _asked_pause_seconds(self) -> float:
        """Return how many seconds of pause the cluster still asks for (Retry-After); 0 or less: none."""
        return self.access.account.deletions_wait_until - asyncio.get_running_loop().time()

    def _lengthened(self, sleep: Sleep, progress: Progress) -> Sleep:
        """Lengthen a pause between two reads of a job if the cluster asks for it, up to job_timeout."""
        if progress.stage is not Stage.FOLLOWING:
            return sleep
        asked_for = min(self._asked_pause_seconds(), progress.deadline - self.clock())
        return replace(sleep, seconds=max(sleep.seconds, asked_for))

    async def _read_job(self, job_uuid: str) -> Event:
        try:
            return JobRead(job=await self.access.ask(read_job(job_uuid)))
        except Unauthorized as exc:
            return Answered(diagnosis=read_reply(exc))
        except Forbidden:
            return JobUnread.HIDDEN
        except OntapError as exc:
            is_gone = isinstance(exc, ApiError) and read_reply(exc).meaning is Meaning.GONE
            return JobUnread.NOT_FOUND if is_gone else JobUnread.FAILED

    async def _search(self, deletion: Deletion) -> Event:
        jobs = None
        if not await self._why_other_cluster():
            known = await self.journal.deletions.job_uuids(self.lease.cluster_uuid, deletion.version)
            earlier = known | deletion.earlier_job_uuids
            with suppress(OntapError):
                jobs = await self.access.ask(
                    find_job(deletion.version, query=self.access.query, earlier=earlier)
                )
        # The listing comes last: a job that was over before it was listed has had its effect by then.
        return Searched(jobs=jobs, listed=await self._is_listed())

    async def _is_listed(self) -> bool | None:
        """Say whether the package is listed; None if that cannot be read.

        With another create_time, it is another package.
        """
        if await self._why_other_cluster():
            return None
        try:
            listing = await self.access.ask(read_listing(self.access.query))
        except OntapError:
            return None
        created = self.create_timestamp_seconds
        return any(
            package.version == self.version
            and (created is None or package.create_timestamp_seconds in {None, created})
            for package in listing.packages
        )

    async def _why_other_cluster(self) -> str:
        """Say why another cluster may answer; "" if the cluster of this deletion does, by its uuid."""
        try:
            identity = await self.access.ask(read_identity(), is_fact=True)
        except OntapError as exc:
            return f"the cluster's uuid could not be read: {exc}"
        is_same = usable_uuid(identity) == self.lease.cluster_uuid
        return "" if is_same else "the cluster did not state the same uuid"

    def _required_checks(self) -> RunChecks:
        if self.checks is None:
            raise ValueError("a deletion that is only brought to its end sends nothing")
        return self.checks
