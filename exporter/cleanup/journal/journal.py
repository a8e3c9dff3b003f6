"""The journal's API: every call is one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from sqlalchemy import func, literal
from sqlalchemy.ext.asyncio import AsyncConnection

from exporter.cleanup.journal import deletions, history, runs, totals
from exporter.cleanup.journal.database import Database
from exporter.cleanup.journal.sanitize import MAX_CODE_CHARACTERS, MAX_MESSAGE_CHARACTERS, sanitize
from exporter.cleanup.journal.tables import DELETIONS
from exporter.cleanup.records import Deletion, Durations, Outcome, Phase, PolicyTotals, Run, TargetIdentity


class Journal:
    """Remembers runs and deletions; :func:`exporter.cleanup.journal.open_journal` opens one.

    What a method has written is on disk when it returns. Each raises JournalError where the database fails or
    what is recorded does not allow the step; then nothing has changed. Only where the connection was lost in
    the midst, what became of the step shows at the next start. A caller that is cancelled is held up until
    the step is done or undone.

    Times are Unix seconds that the caller gives. A text may hold any character; those that a database cannot
    keep come back as U+FFFD, and messages are cut at 1,000 characters.

    Attributes:
        lost: set when the connection to the database, and with it the lock, is gone. Nothing can be read or
            written any more.
    """

    def __init__(self, database: Database, *, lost: asyncio.Event) -> None:
        self.lost = lost
        self._database = database

    async def begin_run(
        self, *, cluster: str, policy: str, dry_run: bool, plan: str, candidates: int, now: float
    ) -> int:
        """Note that a run begins, and return its id.

        Args:
            cluster: the cluster's configured name.
            policy: the policy's name.
            dry_run: whether it only plans.
            plan: the plan as JSON.
            candidates: packages that the plan chose.
            now: when it begins.
        """
        return await self._database.transact(
            "begin a run",
            lambda connection: runs.insert_run(
                connection,
                cluster=cluster,
                policy=policy,
                dry_run=dry_run,
                plan=plan,
                candidates=candidates,
                now=now,
            ),
        )

    async def end_run(self, run_id: int, *, success: bool, error: str = "", now: float) -> None:
        """Note that a run has ended.

        Raises:
            JournalError: it had ended before, or there is none.
        """
        await self._database.transact(
            "end a run",
            lambda connection: runs.end_run(connection, run_id, success=success, error=error, now=now),
        )

    async def intend(
        self, run_id: int, *, version: str, now: float, sent_to: TargetIdentity | None = None
    ) -> Deletion:
        """Note that DELETE is about to be sent for the first time.

        Args:
            run_id: the run that decided on it.
            version: the package's version.
            now: Unix seconds.
            sent_to: the cluster that has the run's name now; None where that is not known.

        Raises:
            JournalError: the run has ended or is a dry one, or another deletion of the package, which was not
                sent to another cluster, is unended.
        """
        values = {"phase": Phase.INTENDED.value, "intended_timestamp_seconds": now, "attempts": 1}
        return await self._database.transact(
            "note an intent",
            lambda connection: deletions.insert_deletion(
                connection, run_id, version=version, values=values, sent_to=sent_to
            ),
        )

    async def leave(
        self, run_id: int, *, version: str, outcome: Outcome, message: str, now: float
    ) -> Deletion:
        """Note that DELETE was never sent for a package that the plan chose: ended at once, and counted.

        The durations leave it out, for they run from DELETE to outcome.

        Args:
            run_id: the run that chose it.
            version: the package's version.
            outcome: PROTECTED where it came into use, ALREADY_GONE where somebody else deleted it.
            message: why.
            now: Unix seconds.

        Raises:
            JournalError: the run has ended or is a dry one.
        """
        values = {
            **_ended(outcome, code="", message=message, now=now),
            "intended_timestamp_seconds": now,
            "attempts": 0,
        }

        async def work(connection: AsyncConnection) -> Deletion:
            deletion = await deletions.insert_deletion(connection, run_id, version=version, values=values)
            await totals.count_outcome(connection, deletion)
            return deletion

        return await self._database.transact("note a package that was left", work)

    async def intend_again(self, deletion: Deletion) -> Deletion:
        """Note that DELETE is about to be sent once more; a job of an earlier attempt is not this one's.

        Raises:
            JournalError: the deletion is not WAITING.
        """
        values = {
            "phase": Phase.INTENDED.value,
            "attempts": DELETIONS.c.attempts + 1,
            "job_uuid": None,
            "earlier_job_uuids": DELETIONS.c.earlier_job_uuids
            + func.coalesce(DELETIONS.c.job_uuid + literal(deletions.SEPARATOR), ""),
            "code": "",
            "message": "",
        }
        return await self._move("note another intent", deletion, {Phase.WAITING}, values)

    async def wait(self, deletion: Deletion, *, code: str, message: str) -> Deletion:
        """Note that ONTAP refused for a passing reason.

        Raises:
            JournalError: the deletion is neither INTENDED nor FOLLOWED (its job has failed).
        """
        values = {"phase": Phase.WAITING.value, **_said(code, message)}
        return await self._move("note a refusal", deletion, {Phase.INTENDED, Phase.FOLLOWED}, values)

    async def follow(self, deletion: Deletion, *, job_uuid: str | None) -> Deletion:
        """Note that ONTAP accepted, and the job that it named, if any.

        Raises:
            JournalError: the deletion is not INTENDED.
        """
        values = {
            "phase": Phase.FOLLOWED.value,
            "job_uuid": None if job_uuid is None else sanitize(job_uuid),
        }
        return await self._move("note a job", deletion, {Phase.INTENDED}, values)

    async def end(
        self, deletion: Deletion, *, outcome: Outcome, code: str, message: str, now: float
    ) -> Deletion:
        """Note the outcome and count it.

        Raises:
            JournalError: the deletion had ended before.
        """
        values = _ended(outcome, code=code, message=message, now=now)

        async def work(connection: AsyncConnection) -> Deletion:
            ended = await deletions.move_deletion(
                connection, deletion, allowed=deletions.UNENDED, values=values
            )
            await totals.count_outcome(connection, ended)
            seconds = max(0.0, now - ended.intended_timestamp_seconds)
            await totals.count_duration(connection, ended.policy, seconds=seconds)
            return ended

        return await self._database.transact("note an outcome", work)

    async def unended(self, cluster: str | None = None) -> tuple[Deletion, ...]:
        """Return the deletions without an outcome, of one cluster or of all, oldest first."""
        return await self._database.transact(
            "read deletions", lambda connection: deletions.read_unended(connection, cluster)
        )

    async def job_uuids(
        self, cluster: str, version: str, *, target_identity: TargetIdentity | None = None
    ) -> frozenset[str]:
        """Return the jobs of every deletion of a version that is remembered: no later one has them.

        Args:
            cluster: the cluster's configured name.
            version: the package's version.
            target_identity: the cluster itself, whose jobs under other names are wanted too.
        """
        return await self._database.transact(
            "read jobs",
            lambda connection: deletions.read_job_uuids(connection, cluster, version, target_identity),
        )

    async def given_up(
        self, cluster: str, *, target_identity: TargetIdentity | None = None
    ) -> tuple[Deletion, ...]:
        """Return the deletions of a cluster that may still be going on though they have ended, oldest first.

        They are the newest deletion of each version, leaving out those that ended as PROTECTED, where its
        outcome is TIMEOUT, or DENIED after a job was known.

        Args:
            cluster: the cluster's configured name.
            target_identity: the cluster itself. Deletions sent elsewhere under this name are left out;
                those sent to this one under another name, and unended ones, are included.
        """
        return await self._database.transact(
            "read deletions", lambda connection: deletions.read_given_up(connection, cluster, target_identity)
        )

    async def totals(self) -> Mapping[tuple[str, str], PolicyTotals]:
        """Return what has happened since the journal began, by cluster and policy."""
        return await self._database.transact("read the totals", totals.read_totals)

    async def durations(self) -> Mapping[str, Durations]:
        """Return how long deletions took since the journal began, by policy."""
        return await self._database.transact("read the durations", totals.read_durations)

    async def recent_runs(self, limit: int) -> tuple[Run, ...]:
        """Return the newest runs with their deletions, newest first."""
        return await self._database.transact(
            "read runs", lambda connection: history.read_recent_runs(connection, limit)
        )

    async def end_interrupted_runs(
        self, *, cluster: str | None = None, run_id: int | None = None, now: float
    ) -> int:
        """End, as failed, the runs that an earlier life of the program left going on; return how many.

        A run with an unended deletion stays as it is until that has ended.

        Args:
            cluster: only runs on this one; none of them may be going on in this life.
            run_id: only this one.
            now: Unix seconds.
        """
        return await self._database.transact(
            "end interrupted runs",
            lambda connection: history.end_interrupted(connection, cluster, run_id, now=now),
        )

    async def prune(self, *, keep_runs: int, cluster: str | None = None) -> int:
        """Delete all but the newest ended runs of each cluster and policy, and return how many.

        A run that has not ended, or with a deletion that may still go on, stays; the totals never shrink.

        Args:
            keep_runs: how many of each stay.
            cluster: only runs on this one.
        """
        return await self._database.transact(
            "prune runs", lambda connection: history.prune(connection, cluster, keep_runs=keep_runs)
        )

    async def _move(
        self, doing: str, deletion: Deletion, allowed: Collection[Phase], values: Mapping[str, object]
    ) -> Deletion:
        return await self._database.transact(
            doing,
            lambda connection: deletions.move_deletion(connection, deletion, allowed=allowed, values=values),
        )


def _ended(outcome: Outcome, *, code: str, message: str, now: float) -> dict[str, object]:
    return {
        "phase": Phase.ENDED.value,
        "outcome": outcome.value,
        "ended_timestamp_seconds": now,
        **_said(code, message),
    }


def _said(code: str, message: str) -> dict[str, object]:
    return {
        "code": sanitize(code, max_characters=MAX_CODE_CHARACTERS),
        "message": sanitize(message, max_characters=MAX_MESSAGE_CHARACTERS),
    }
