"""The journal's API: every call is one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from types import MappingProxyType
from typing import TypeVar

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection

from exporter.cleanup.journal import deletions, guards, runs, seen, totals
from exporter.cleanup.journal.database import Database
from exporter.cleanup.journal.journal_errors import LeaseLostError
from exporter.cleanup.journal.leases import LeaseHolder
from exporter.cleanup.journal.tables import RUNS
from exporter.cleanup.records import (
    Deletion,
    Durations,
    Guards,
    Heartbeat,
    Lease,
    Outcome,
    Phase,
    PolicyTotals,
    Run,
    SeenPackage,
    Totals,
)

T = TypeVar("T")


class Journal:
    """Remembers leases, runs, deletions and packages; :func:`open_journal` opens one.

    What a method has written is on disk when it returns. Each raises JournalError where the database fails;
    then the step was not taken, or the database alone knows (it had not answered in time). Later calls work
    again by themselves once the database does. A call that has begun is brought to its end even where the
    caller is cancelled.

    What needs a lease checks it within the transaction: LeaseLostError means that another process has taken
    the cluster over and that nothing was written. StepRefusedError means that what is recorded does not allow
    the step; its ``refusal`` says why, and nothing was written.

    Times are Unix seconds that the caller gives, besides those of leases and of the daily limit, which are
    the database's. A text may hold any character; NUL and lone surrogates come back as U+FFFD, and messages
    are cut at 1,000 characters.
    """

    def __init__(self, database: Database, holder: LeaseHolder) -> None:
        self._database = database
        self._holder = holder

    # Leases

    async def heartbeat(self) -> Heartbeat:
        """Say that this process lives, and renew all its leases. Call it three times per takeover_after.

        A lease that another process has taken over is named once, in ``lost``.
        """
        return await self._holder.heartbeat()

    async def acquire(self, uuids: Collection[str], *, at_most: int | None = None) -> Mapping[str, Lease]:
        """Acquire the leases of these clusters where they are free, have expired, or are held already.

        Args:
            uuids: the clusters.
            at_most: so many leases; None: all that can be had.

        Returns:
            The leases acquired, by uuid. What another process holds is missing.
        """
        return await self._holder.acquire(uuids, at_most=at_most)

    async def release(self, uuids: Collection[str] | None = None) -> None:
        """Give leases up, so that another process may acquire them at once.

        Args:
            uuids: the clusters; None: all, and this process no longer counts as living.
        """
        await self._holder.release(uuids)

    # What stops deleting

    async def guards(self) -> Guards:
        """Return what the journal says against deleting; needs no lease."""
        return await self._database.transact("read what stops deleting", guards.read_guards)

    async def set_kill_switch(self, *, engaged: bool) -> None:
        """Engage or release the kill switch. Once this returns, no process stores another intent."""
        await self._database.transact(
            "set the kill switch", lambda connection: guards.set_kill_switch(connection, engaged=engaged)
        )

    async def resume_policy(self, policy: str) -> None:
        """End the pause of a policy, and count its failures from zero."""
        await self._database.transact(
            "resume a policy", lambda connection: guards.resume_policy(connection, policy)
        )

    # What was seen

    async def see(self, listings: Mapping[Lease, Collection[SeenPackage]], *, now: float) -> frozenset[str]:
        """Note whole listings, of many clusters in one transaction.

        A package is seen from now on where it was not in the cluster's listing before, has another
        create_time, or where nobody had noted a listing of the cluster for more than a day.

        Returns:
            The clusters whose lease was lost: nothing was noted of them.
        """

        async def work(connection: AsyncConnection) -> frozenset[str]:
            ours = await self._holder.confirmed(connection, listings)
            noted = {lease.cluster_uuid: packages for lease, packages in listings.items()}
            await seen.note_listings(connection, {uuid: noted[uuid] for uuid in ours}, now=now)
            return frozenset(noted) - ours

        return await self._database.transact("note listings", work)

    async def first_seen(self, cluster_uuid: str, *, now: float) -> Mapping[str, float]:
        """Return since when every package of the last listing has been seen, by version, Unix seconds.

        It is empty where that listing is more than a day away from now; needs no lease.
        """
        return await self._database.transact(
            "read what was seen",
            lambda connection: seen.read_first_seen(connection, cluster_uuid, now=now),
        )

    # Runs

    async def begin_run(
        self,
        lease: Lease,
        *,
        cluster: str,
        policy: str,
        dry_run: bool,
        plan: str,
        candidates: int,
        now: float,
    ) -> int:
        """Note that a run begins, and return its id.

        Args:
            lease: of the cluster.
            cluster: the cluster's configured name.
            policy: the policy's name.
            dry_run: whether it only plans. Earlier dry runs of the policy on the cluster lose their plans.
            plan: the plan as JSON; one of more than a million characters is not kept.
            candidates: packages that the plan chose.
            now: when it begins.
        """
        return await self._under(
            lease,
            "begin a run",
            lambda connection: runs.insert_run(
                connection,
                cluster_uuid=lease.cluster_uuid,
                cluster=cluster,
                policy=policy,
                dry_run=dry_run,
                plan=plan,
                candidates=candidates,
                now=now,
            ),
        )

    async def end_run(
        self, lease: Lease, run_id: int, *, success: bool, failure: str = "", error: str = "", now: float
    ) -> None:
        """Note that a run has ended.

        Args:
            lease: of the cluster.
            run_id: the run.
            success: whether every deletion succeeded or there was none to make.
            failure: a word for why it failed, "" where it did not.
            error: the same for people.
            now: Unix seconds.

        Raises:
            StepRefusedError: it had ended before, or there is none on this cluster.
        """
        await self._under(
            lease,
            "end a run",
            lambda connection: runs.end_run(
                connection,
                lease.cluster_uuid,
                run_id,
                success=success,
                failure=failure,
                error=error,
                now=now,
            ),
        )

    async def end_interrupted_runs(self, lease: Lease, *, now: float) -> int:
        """End, as failed (``interrupted``), the cluster's runs that are going on; return how many.

        A run with an unended deletion stays as it is until that has ended.
        """
        return await self._under(
            lease,
            "end interrupted runs",
            lambda connection: runs.end_interrupted_runs(connection, lease.cluster_uuid, now=now),
        )

    async def prune(self, lease: Lease, *, keep_runs: int = 50) -> int:
        """Delete all but the newest ended runs of every policy on the cluster, and return how many.

        A run that is going on, or has a deletion that is unended or younger than a day, stays.
        """
        return await self._under(
            lease,
            "prune runs",
            lambda connection: runs.prune(connection, lease.cluster_uuid, keep_runs=keep_runs),
        )

    async def last_started(self, cluster_uuid: str) -> Mapping[str, float]:
        """Return when the last run of every policy on a cluster began, by policy, Unix seconds."""
        return await self._database.transact(
            "read runs", lambda connection: runs.last_started(connection, cluster_uuid)
        )

    async def recent_runs(
        self, limit: int, *, before: int | None = None, cluster: str | None = None
    ) -> tuple[Run, ...]:
        """Return the newest runs with their deletions, newest first.

        Args:
            limit: so many at most.
            before: only runs with a smaller id.
            cluster: only runs of this configured name.
        """
        conditions: list[ColumnElement[bool]] = []
        if before is not None:
            conditions.append(RUNS.c.id < before)
        if cluster is not None:
            conditions.append(RUNS.c.cluster == cluster)
        return await self._database.transact(
            "read runs", lambda connection: deletions.read_runs(connection, *conditions, limit=limit)
        )

    async def run(self, run_id: int) -> Run | None:
        """Return a run with its deletions; None where there is none."""
        found = await self._database.transact(
            "read a run", lambda connection: deletions.read_runs(connection, RUNS.c.id == run_id, limit=1)
        )
        return found[0] if found else None

    # Deletions

    async def intend(
        self,
        lease: Lease,
        run_id: int,
        *,
        version: str,
        create_timestamp_seconds: float | None,
        earlier_job_uuids: Collection[str],
        max_deletes_per_day: int | None,
        policy_digest: str,
        now: float,
    ) -> Deletion:
        """Note that DELETE is about to be sent for the first time.

        Args:
            lease: of the cluster; it must not have expired.
            run_id: the run that decided on it.
            version: the package's version.
            create_timestamp_seconds: the package's create_time; None where it is not known.
            earlier_job_uuids: jobs that the cluster lists already.
            max_deletes_per_day: so many are sent at most in 24 hours, on all clusters together; None: no
                limit.
            policy_digest: identifies the policy's rules.
            now: Unix seconds.

        Raises:
            LeaseLostError: the lease has been taken over, or has expired.
            StepRefusedError: the kill switch is engaged, the policy is paused, the limit is reached, the run
                has ended or is a dry one, or another deletion on the cluster is unended.
        """

        async def work(connection: AsyncConnection) -> Deletion:
            run = await runs.run_going_on(connection, lease.cluster_uuid, run_id)
            await guards.expect_none(
                connection, run.policy, policy_digest, max_deletes_per_day=max_deletes_per_day
            )
            values = {
                "policy_digest": policy_digest,
                "create_timestamp_seconds": create_timestamp_seconds,
                "phase": Phase.INTENDED.value,
                "intended_timestamp_seconds": now,
                "attempted_timestamp_seconds": now,
                "attempts": 1,
                "earlier_job_uuids": deletions.as_list(earlier_job_uuids),
            }
            return await deletions.insert_deletion(
                connection, lease.cluster_uuid, run_id, version=version, values=values
            )

        return await self._under(lease, "note an intent", work, unexpired=True)

    async def intend_again(
        self, lease: Lease, deletion: Deletion, *, earlier_job_uuids: Collection[str] = (), now: float
    ) -> Deletion:
        """Note that DELETE is about to be sent once more; a job of an earlier attempt is not this one's.

        Raises:
            LeaseLostError: the lease has been taken over, or has expired.
            StepRefusedError: the deletion is not WAITING, the kill switch is engaged, or the policy is
                paused.
        """

        async def work(connection: AsyncConnection) -> Deletion:
            recorded = await deletions.read_deletion(connection, deletion)
            await guards.expect_none(
                connection, recorded.policy, recorded.policy_digest, max_deletes_per_day=None
            )
            values = {
                "phase": Phase.INTENDED.value,
                "attempted_timestamp_seconds": now,
                "attempts": recorded.attempts + 1,
                "job_uuid": None,
                "earlier_job_uuids": deletions.as_list(deletions.jobs_of(recorded) | set(earlier_job_uuids)),
                "code": "",
                "message": "",
            }
            return await deletions.move_deletion(connection, recorded, allowed={Phase.WAITING}, values=values)

        return await self._under(lease, "note another intent", work, unexpired=True, deletion=deletion)

    async def wait(self, lease: Lease, deletion: Deletion, *, code: str, message: str) -> Deletion:
        """Note that ONTAP refused for a passing reason.

        Raises:
            StepRefusedError: the deletion is neither INTENDED nor FOLLOWED (its job has failed).
        """
        values = {"phase": Phase.WAITING.value, **deletions.answered(code, message)}
        return await self._move(lease, "note a refusal", deletion, {Phase.INTENDED, Phase.FOLLOWED}, values)

    async def follow(self, lease: Lease, deletion: Deletion, *, job_uuid: str | None) -> Deletion:
        """Note that ONTAP accepted, and the job that it named, if any.

        Raises:
            StepRefusedError: the deletion is not INTENDED.
        """
        values = {"phase": Phase.FOLLOWED.value, "job_uuid": job_uuid}
        return await self._move(lease, "note a job", deletion, {Phase.INTENDED}, values)

    async def end(
        self,
        lease: Lease,
        deletion: Deletion,
        *,
        outcome: Outcome,
        code: str,
        message: str,
        stop_after_failures: int = 0,
        now: float,
    ) -> Deletion:
        """Note the outcome and count it.

        FAILURE and TIMEOUT count as failures in a row of the policy (by name and digest) over all clusters;
        SUCCESS and ALREADY_GONE end the row.

        Args:
            lease: of the cluster.
            deletion: what has ended.
            outcome: how.
            code: ONTAP's error code, "" where there is none.
            message: for people.
            stop_after_failures: so many failures in a row pause the policy; 0: never.
            now: Unix seconds.

        Raises:
            StepRefusedError: the deletion had ended before.
        """
        return await self._under(
            lease,
            "note an outcome",
            lambda connection: deletions.end_deletion(
                connection,
                deletion,
                outcome=outcome,
                code=code,
                message=message,
                stop_after_failures=stop_after_failures,
                now=now,
            ),
            deletion=deletion,
        )

    async def leave(
        self, lease: Lease, run_id: int, *, version: str, outcome: Outcome, message: str, now: float
    ) -> Deletion:
        """Note that DELETE was never sent for a package that the plan chose: ended at once, and counted.

        The durations leave it out, for they run from DELETE to outcome.

        Raises:
            StepRefusedError: the run has ended or is a dry one.
        """
        values = {
            **deletions.ended_as(outcome, code="", message=message, now=now),
            "intended_timestamp_seconds": now,
            "attempted_timestamp_seconds": now,
            "attempts": 0,
        }

        async def work(connection: AsyncConnection) -> Deletion:
            deletion = await deletions.insert_deletion(
                connection, lease.cluster_uuid, run_id, version=version, values=values
            )
            await totals.count_outcome(connection, deletion)
            return deletion

        return await self._under(lease, "note a package that was left", work)

    async def unended(self, cluster_uuid: str) -> tuple[Deletion, ...]:
        """Return the deletions of a cluster without an outcome: one, or none."""
        return await self._database.transact(
            "read deletions", lambda connection: deletions.read_unended(connection, cluster_uuid)
        )

    async def unended_clusters(self) -> Mapping[str, str]:
        """Return the clusters with a deletion without an outcome: the name of each then, by its uuid."""
        return await self._database.transact("read deletions", deletions.read_unended_clusters)

    async def given_up(self, cluster_uuid: str) -> tuple[Deletion, ...]:
        """Return the deletions of a cluster that may be going on though they have ended, oldest first.

        They are the newest deletion of each version, leaving out those that ended as PROTECTED, where its
        outcome is TIMEOUT, or DENIED after a job was known.
        """
        return await self._database.transact(
            "read deletions", lambda connection: deletions.read_given_up(connection, cluster_uuid)
        )

    async def job_uuids(self, cluster_uuid: str, version: str) -> frozenset[str]:
        """Return the jobs of every deletion of a version that is remembered: no later one has them."""
        return await self._database.transact(
            "read jobs", lambda connection: deletions.read_job_uuids(connection, cluster_uuid, version)
        )

    # Totals

    async def totals(
        self, *, changed_since: float | None = None, read_together: int = totals.READ_TOGETHER
    ) -> Totals:
        """Return what has happened since the journal began, by cluster name and policy.

        Args:
            changed_since: ``read_until`` of an earlier answer, to leave out what has not changed since; None:
                all of them.
            read_together: so many are read by one query; in between, other work goes on.
        """
        read_until = await self._database.transact("read the totals", totals.read_clock)
        found: dict[tuple[str, str], PolicyTotals] = {}
        while True:
            after = next(reversed(found), None)
            reading = partial(
                totals.read_totals, after=after, changed_since=changed_since or 0.0, limit=read_together
            )
            some = await self._database.transact("read the totals", reading)
            if not some:
                return Totals(policies=MappingProxyType(found), read_until=read_until)
            found |= some

    async def durations(self) -> Mapping[str, Durations]:
        """Return how long deletions took since the journal began, by policy."""
        return await self._database.transact("read the durations", totals.read_durations)

    async def _under(
        self,
        lease: Lease,
        doing: str,
        work: Callable[[AsyncConnection], Awaitable[T]],
        *,
        unexpired: bool = False,
        deletion: Deletion | None = None,
    ) -> T:
        """Do the work in a transaction that has confirmed the lease, which must be that of the deletion."""

        async def confirmed(connection: AsyncConnection) -> T:
            await self._holder.confirm(connection, lease, unexpired=unexpired)
            return await work(connection)

        if deletion is not None and deletion.cluster_uuid != lease.cluster_uuid:
            raise LeaseLostError(f"the lease is none of cluster {deletion.cluster_uuid}")
        return await self._database.transact(doing, confirmed)

    async def _move(
        self,
        lease: Lease,
        doing: str,
        deletion: Deletion,
        allowed: Collection[Phase],
        values: Mapping[str, object],
    ) -> Deletion:
        return await self._under(
            lease,
            doing,
            lambda connection: deletions.move_deletion(connection, deletion, allowed=allowed, values=values),
            deletion=deletion,
        )
