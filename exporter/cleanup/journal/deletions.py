"""Deletions in the database: each step checks, in its own transaction, that it may follow the last one.

A step that is not allowed raises StepRefusedError.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, insert, or_, update
from sqlalchemy.exc import IntegrityError

from exporter.cleanup.journal import totals
from exporter.cleanup.journal.database import transaction
from exporter.cleanup.journal.journal_errors import StepRefusedError
from exporter.cleanup.journal.leases import LeasedStore
from exporter.cleanup.journal.runs import (
    DELETION_COLUMNS,
    MAX_MESSAGE_CHARACTERS,
    read_deletions,
    run_going_on,
)
from exporter.cleanup.journal.stops import check_nothing_stops, count_failures
from exporter.cleanup.journal.tables import DATABASE_CLOCK, DELETIONS
from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import Deletion, Lease, Phase

MAX_CODE_CHARACTERS = 100
"""ONTAP's codes are numbers; a long text must not become a label."""


class DeletionStore(LeasedStore):
    """The deletions of every run, and the steps that each takes."""

    @transaction("note an intent")
    def intend(
        self,
        connection: Connection,
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
        """Note that DELETE is about to be sent for the first time, for a package that a run decided on.

        ``earlier_job_uuids`` are jobs that the cluster lists already. ``max_deletes_per_day`` counts on all
        clusters together, in any 24 hours; None: no limit.

        Raises:
            StepRefusedError: the kill switch is on, the policy is paused, the limit is reached, the run
                has ended or is a dry one, or another deletion on the cluster is unfinished.
        """
        self.leases.confirm(connection, lease, unexpired=True)
        run = run_going_on(connection, lease, run_id)
        check_nothing_stops(connection, run.policy, policy_digest, max_deletes_per_day=max_deletes_per_day)
        return _insert(
            connection,
            run,
            version=version,
            policy_digest=policy_digest,
            create_timestamp_seconds=create_timestamp_seconds,
            phase=Phase.INTENDED,
            intended_timestamp_seconds=now,
            attempts=1,
            earlier_job_uuids=earlier_job_uuids,
        )

    @transaction("note another intent")
    def intend_again(
        self,
        connection: Connection,
        lease: Lease,
        deletion: Deletion,
        *,
        create_timestamp_seconds: float | None,
        earlier_job_uuids: Collection[str] = (),
    ) -> Deletion:
        """Note that DELETE is about to be sent once more; a job of an earlier attempt is not this one's.

        Raises:
            StepRefusedError: the deletion is not WAITING, the kill switch is on, or the policy is paused.
        """
        recorded = self._recorded(connection, lease, deletion, unexpired=True)
        check_nothing_stops(connection, recorded.policy, recorded.policy_digest, max_deletes_per_day=None)
        return _move(
            connection,
            recorded,
            {Phase.WAITING},
            phase=Phase.INTENDED,
            attempts=recorded.attempts + 1,
            create_timestamp_seconds=create_timestamp_seconds,
            job_uuid=None,
            earlier_job_uuids=_jobs_of(recorded) | set(earlier_job_uuids),
            code="",
            message="",
        )

    @transaction("note a refusal")
    def wait(
        self, connection: Connection, lease: Lease, deletion: Deletion, *, code: str, message: str
    ) -> Deletion:
        """Note that ONTAP refused, or that the job failed, for a passing reason."""
        recorded = self._recorded(connection, lease, deletion)
        allowed = {Phase.INTENDED, Phase.FOLLOWED}
        return _move(connection, recorded, allowed, phase=Phase.WAITING, **_said(code, message))

    @transaction("note a job")
    def follow(
        self, connection: Connection, lease: Lease, deletion: Deletion, *, job_uuid: str | None
    ) -> Deletion:
        """Note that ONTAP accepted, with its job if it named one; or note the job that was found later."""
        recorded = self._recorded(connection, lease, deletion)
        allowed = {Phase.INTENDED} if recorded.job_uuid else {Phase.INTENDED, Phase.FOLLOWED}
        return _move(connection, recorded, allowed, phase=Phase.FOLLOWED, job_uuid=job_uuid)

    @transaction("note an outcome")
    def end(
        self,
        connection: Connection,
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
        SUCCESS and ALREADY_GONE end the row. ``stop_after_failures`` of them pause the policy; 0: never.
        """
        ended = _move(
            connection,
            self._recorded(connection, lease, deletion),
            frozenset(Phase) - {Phase.ENDED},
            phase=Phase.ENDED,
            outcome=outcome,
            ended_timestamp_seconds=now,
            **_said(code, message),
        )
        totals.count_outcome(connection, ended)
        seconds = max(0.0, now - ended.intended_timestamp_seconds)
        totals.count_duration(connection, ended.policy, seconds=seconds)
        count_failures(connection, ended, stop_after_failures=stop_after_failures, now=now)
        return ended

    @transaction("note an outcome without DELETE")
    def end_unsent(
        self,
        connection: Connection,
        lease: Lease,
        run_id: int,
        *,
        version: str,
        outcome: Outcome,
        message: str,
        now: float,
    ) -> Deletion:
        """Note that DELETE was never sent for a package that the plan chose: ended at once, and counted.

        The durations leave it out, for they run from DELETE to outcome.
        """
        self.leases.confirm(connection, lease)
        deletion = _insert(
            connection,
            run_going_on(connection, lease, run_id),
            version=version,
            phase=Phase.ENDED,
            outcome=outcome,
            intended_timestamp_seconds=now,
            ended_timestamp_seconds=now,
            attempts=0,
            **_said("", message),
        )
        totals.count_outcome(connection, deletion)
        return deletion

    @transaction("read deletions")
    def given_up(self, connection: Connection, cluster_uuid: str) -> tuple[Deletion, ...]:
        """Return the given-up deletions of a cluster, oldest first: ONTAP may still carry them out.

        A version's newest deletion, PROTECTED ones aside, was given up if it is TIMEOUT, or DENIED with a
        known job.
        """
        later = DELETIONS.alias()
        is_later = and_(
            later.c.id > DELETIONS.c.id,
            later.c.cluster_uuid == DELETIONS.c.cluster_uuid,
            later.c.version == DELETIONS.c.version,
            or_(later.c.outcome.is_(None), later.c.outcome != Outcome.PROTECTED),
        )
        gave_up = or_(
            DELETIONS.c.outcome == Outcome.TIMEOUT,
            and_(DELETIONS.c.outcome == Outcome.DENIED, DELETIONS.c.job_uuid.is_not(None)),
        )
        of_cluster = DELETIONS.c.cluster_uuid == cluster_uuid
        return read_deletions(connection, of_cluster, gave_up, ~exists().where(is_later))

    @transaction("read jobs")
    def job_uuids(self, connection: Connection, cluster_uuid: str, version: str) -> frozenset[str]:
        """Return the jobs of all remembered deletions of a version: none belongs to a later deletion."""
        of_version = (DELETIONS.c.cluster_uuid == cluster_uuid, DELETIONS.c.version == version)
        return frozenset().union(*map(_jobs_of, read_deletions(connection, *of_version)))

    def _recorded(
        self, connection: Connection, lease: Lease, deletion: Deletion, *, unexpired: bool = False
    ) -> Deletion:
        """Confirm a lease; return what is recorded now of a deletion on its cluster."""
        self.leases.confirm(connection, lease, unexpired=unexpired)
        of_cluster = DELETIONS.c.cluster_uuid == lease.cluster_uuid
        for found in read_deletions(connection, of_cluster, DELETIONS.c.id == deletion.id):
            return found
        raise StepRefusedError(f"there is no deletion {deletion.id} on cluster {lease.cluster_uuid}")


def _insert(connection: Connection, run: Row[Any], **values: object) -> Deletion:
    """Write a new deletion of a run that is going on."""
    if run.dry_run:
        raise StepRefusedError(f"run {run.id} is a dry run")
    row = {
        "run_id": run.id,
        "cluster_uuid": run.cluster_uuid,
        "cluster": run.cluster,
        "policy": run.policy,
        "policy_digest": "",
        "intended_database_seconds": DATABASE_CLOCK,
        "earlier_job_uuids": (),
        "code": "",
        "message": "",
        **values,
    }
    try:
        made = connection.execute(insert(DELETIONS).values(row).returning(*DELETION_COLUMNS))
    except IntegrityError as exc:
        raise StepRefusedError(f"another deletion on {run.cluster} is unfinished") from exc
    return Deletion(**made.one()._asdict())


def _move(
    connection: Connection, recorded: Deletion, allowed: Collection[Phase], **values: object
) -> Deletion:
    if recorded.phase not in allowed:
        raise StepRefusedError(
            f"the deletion of {recorded.version} on {recorded.cluster} is {recorded.phase}"
        )
    moving = update(DELETIONS).where(DELETIONS.c.id == recorded.id).values(values)
    return Deletion(**connection.execute(moving.returning(*DELETION_COLUMNS)).one()._asdict())


def _said(code: str, message: str) -> dict[str, str]:
    return {"code": code[:MAX_CODE_CHARACTERS], "message": message[:MAX_MESSAGE_CHARACTERS]}


def _jobs_of(deletion: Deletion) -> frozenset[str]:
    """Return the job of a deletion, and those that were there before its last attempt."""
    return deletion.earlier_job_uuids | ({deletion.job_uuid} if deletion.job_uuid else set())
