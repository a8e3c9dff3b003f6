"""Runs in the database: each begins, ends once, and is pruned when it is old."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, exists, func, insert, or_, select, update

from exporter.cleanup.journal import totals
from exporter.cleanup.journal.database import transaction
from exporter.cleanup.journal.journal_errors import StepRefusedError
from exporter.cleanup.journal.leases import LeasedStore, batches
from exporter.cleanup.journal.stops import INTENDED_IN_LAST_DAY
from exporter.cleanup.journal.tables import DELETIONS, RUNS, UNFINISHED
from exporter.cleanup.outcomes import RunFailure
from exporter.cleanup.records import Deletion, Inherited, Lease, Run

MAX_MESSAGE_CHARACTERS = 1000
MAX_PLAN_CHARACTERS = 1_000_000

DELETION_COLUMNS = tuple(DELETIONS.c[field.name] for field in fields(Deletion))
_RUN_COLUMNS = tuple(RUNS.c[field.name] for field in fields(Run) if field.name != "deletions")


class RunStore(LeasedStore):
    """The runs of every policy on every cluster."""

    @transaction("begin a run")
    def begin(
        self,
        connection: Connection,
        lease: Lease,
        *,
        cluster: str,
        policy: str,
        dry_run: bool,
        plan: str,
        candidates: int,
        planned: Mapping[tuple[str, str], int] | None = None,
        now: float,
    ) -> int:
        """Note that a run of a policy begins on the cluster of this configured name, and return its id.

        The plan is JSON; one of more than a million characters is not kept. ``planned`` counts its packages
        by verdict and reason; None, if it rests on something unknown, keeps the counts from before. When a
        dry run begins, earlier dry runs of the policy on the cluster lose their plans.
        """
        self.leases.confirm(connection, lease)
        if dry_run:
            of_policy = and_(RUNS.c.cluster_uuid == lease.cluster_uuid, RUNS.c.policy == policy)
            forgetting = update(RUNS).where(of_policy, RUNS.c.dry_run, RUNS.c.plan != "")
            connection.execute(forgetting.values(plan=""))
        beginning = insert(RUNS).values(
            cluster_uuid=lease.cluster_uuid,
            cluster=cluster,
            policy=policy,
            dry_run=dry_run,
            started_timestamp_seconds=now,
            failure="",
            error="",
            plan=plan if len(plan) <= MAX_PLAN_CHARACTERS else "",
        )
        run_id: int = connection.execute(beginning.returning(RUNS.c.id)).scalar_one()
        totals.note_start(connection, cluster, policy, candidates=candidates, planned=planned, now=now)
        return run_id

    @transaction("end a run")
    def end(
        self,
        connection: Connection,
        lease: Lease,
        run_id: int,
        *,
        success: bool,
        failure: str = "",
        error: str = "",
        now: float,
    ) -> None:
        """Note that a run has ended, and why it failed: ``failure`` is a word for it, ``error`` for people.

        Raises:
            StepRefusedError: it had ended before, or there is none on this cluster.
        """
        self.leases.confirm(connection, lease)
        run = run_going_on(connection, lease, run_id)
        _end(connection, run, success=success, failure=failure, error=error, now=now)

    async def inherit(self, leases: Iterable[Lease], *, now: float) -> dict[str, Inherited]:
        """Return what earlier processes have left on clusters, and end their interrupted runs, as failed.

        A run with an unfinished deletion stays as it is: once that has ended, this is to be called again. The
        answer is by uuid; clusters whose lease was lost are missing.
        """
        found: dict[str, Inherited] = {}
        for some in batches(tuple(leases)):
            found |= await self._inherit(some, now=now)
        return found

    @transaction("read what was left")
    def _inherit(
        self, connection: Connection, leases: Sequence[Lease], *, now: float
    ) -> dict[str, Inherited]:
        ours = self.leases.confirmed(connection, leases)
        unfinished: dict[str, list[Deletion]] = defaultdict(list)
        for deletion in read_deletions(connection, DELETIONS.c.cluster_uuid.in_(ours), UNFINISHED):
            unfinished[deletion.cluster_uuid].append(deletion)
        goes_on = exists().where(DELETIONS.c.run_id == RUNS.c.id, UNFINISHED)
        begun = and_(RUNS.c.cluster_uuid.in_(ours), RUNS.c.ended_timestamp_seconds.is_(None))
        error = "the program ended, or lost the lease of the cluster, during this run"
        for run in connection.execute(select(RUNS).where(begun, ~goes_on).order_by(RUNS.c.id)).all():
            _end(connection, run, success=False, failure=RunFailure.INTERRUPTED, error=error, now=now)
        last_started: dict[str, dict[str, float]] = defaultdict(dict)
        newest = select(func.max(RUNS.c.id)).where(RUNS.c.cluster_uuid.in_(ours))
        newest = newest.group_by(RUNS.c.cluster_uuid, RUNS.c.policy)
        columns = (RUNS.c.cluster_uuid, RUNS.c.policy, RUNS.c.started_timestamp_seconds)
        for uuid, policy, started in connection.execute(select(*columns).where(RUNS.c.id.in_(newest))):
            last_started[uuid][policy] = started
        return {
            uuid: Inherited(unfinished=tuple(unfinished[uuid]), last_started=last_started[uuid])
            for uuid in ours
        }

    @transaction("prune runs")
    def prune(self, connection: Connection, lease: Lease, *, keep: int) -> int:
        """Delete all but the newest ended runs of every policy on the cluster, and return how many.

        A run that is going on, or has a deletion that is unfinished or for which DELETE may have been sent
        within a day, stays.
        """
        self.leases.confirm(connection, lease)
        place = func.row_number().over(partition_by=RUNS.c.policy, order_by=RUNS.c.id.desc()).label("place")
        ended = (
            select(RUNS.c.id, place)
            .where(RUNS.c.cluster_uuid == lease.cluster_uuid, RUNS.c.ended_timestamp_seconds.is_not(None))
            .subquery()
        )
        needed = exists().where(DELETIONS.c.run_id == ended.c.id, or_(UNFINISHED, INTENDED_IN_LAST_DAY))
        found = connection.execute(select(ended.c.id).where(ended.c.place > keep, ~needed))
        run_ids = found.scalars().all()
        connection.execute(delete(DELETIONS).where(DELETIONS.c.run_id.in_(run_ids)))
        connection.execute(delete(RUNS).where(RUNS.c.id.in_(run_ids)))
        return len(run_ids)

    @transaction("read runs")
    def recent(
        self,
        connection: Connection,
        limit: int,
        *,
        before: int | None = None,
        clusters: Collection[str] = (),
    ) -> tuple[Run, ...]:
        """Return the newest runs with their deletions, newest first.

        ``before`` leaves only those with a smaller id, ``clusters`` only those of these configured names.
        """
        conditions: list[ColumnElement[bool]] = []
        if before is not None:
            conditions.append(RUNS.c.id < before)
        if clusters:
            conditions.append(RUNS.c.cluster.in_(clusters))
        return _read(connection, *conditions, limit=limit)

    @transaction("read a cluster's runs")
    def of_cluster(self, connection: Connection, cluster: str, limit: int) -> tuple[Run, ...]:
        """Return runs on a cluster of this configured name with their deletions, newest first.

        These are its newest runs, the newest run of each policy whose plan is kept, and the runs that have
        its newest deletions; ``limit`` is the number of runs and of deletions.
        """
        of_it = RUNS.c.cluster == cluster
        newest = select(RUNS.c.id).where(of_it).order_by(RUNS.c.id.desc()).limit(limit)
        planned = select(func.max(RUNS.c.id)).where(of_it, RUNS.c.plan != "").group_by(RUNS.c.policy)
        deleted = select(DELETIONS.c.run_id).join(RUNS).where(of_it).order_by(DELETIONS.c.id.desc())
        chosen = (newest, planned, deleted.limit(limit))
        run_ids = {run_id for one in chosen for run_id in connection.execute(one).scalars()}
        return _read(connection, RUNS.c.id.in_(run_ids), limit=len(run_ids))

    @transaction("read a run")
    def get(self, connection: Connection, run_id: int) -> Run | None:
        """Return a run with its deletions; None if there is none."""
        return next(iter(_read(connection, RUNS.c.id == run_id, limit=1)), None)


def run_going_on(connection: Connection, lease: Lease, run_id: int) -> Row[Any]:
    """Return the row of a run that has not ended.

    Raises:
        StepRefusedError: it has ended, or the cluster has none of that id.
    """
    of_cluster = and_(RUNS.c.id == run_id, RUNS.c.cluster_uuid == lease.cluster_uuid)
    row = connection.execute(select(RUNS).where(of_cluster)).one_or_none()
    if row is None:
        raise StepRefusedError(f"there is no run {run_id}")
    if row.ended_timestamp_seconds is not None:
        raise StepRefusedError(f"run {run_id} has ended")
    return row


def _end(
    connection: Connection, run: Row[Any], *, success: bool, failure: str, error: str, now: float
) -> None:
    failure, error = failure[:MAX_MESSAGE_CHARACTERS], error[:MAX_MESSAGE_CHARACTERS]
    values = {"ended_timestamp_seconds": now, "success": success, "failure": failure, "error": error}
    connection.execute(update(RUNS).where(RUNS.c.id == run.id).values(values))
    totals.note_end(connection, run.cluster, run.policy, success=success, failure=failure, now=now)


def _read(connection: Connection, *conditions: ColumnElement[bool], limit: int) -> tuple[Run, ...]:
    """Return the newest runs that meet all conditions with their deletions, newest first."""
    newest = select(*_RUN_COLUMNS).where(*conditions).order_by(RUNS.c.id.desc()).limit(limit)
    rows = connection.execute(newest).all()
    of_runs = DELETIONS.c.run_id.in_([row.id for row in rows])
    deletions: dict[int, list[Deletion]] = defaultdict(list)
    for deletion in read_deletions(connection, of_runs):
        deletions[deletion.run_id].append(deletion)
    return tuple(Run(**row._asdict(), deletions=tuple(deletions[row.id])) for row in rows)


def read_deletions(connection: Connection, *conditions: ColumnElement[bool]) -> tuple[Deletion, ...]:
    """Return the deletions that meet all conditions, oldest first."""
    rows = connection.execute(select(*DELETION_COLUMNS).where(*conditions).order_by(DELETIONS.c.id))
    return tuple(Deletion(**row._asdict()) for row in rows)
