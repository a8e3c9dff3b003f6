"""Deletions in the database: each step checks, in its own transaction, that it may follow on the last."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from exporter.cleanup.journal import totals
from exporter.cleanup.journal.guards import count_failures
from exporter.cleanup.journal.journal_errors import Refusal, StepRefusedError
from exporter.cleanup.journal.runs import MAX_MESSAGE_CHARACTERS, run_going_on, to_run
from exporter.cleanup.journal.tables import DATABASE_CLOCK, DELETIONS, RUNS
from exporter.cleanup.records import Deletion, Outcome, Phase, Run

MAX_CODE_CHARACTERS = 100
"""ONTAP's codes are numbers; a label should not be a novel."""

UNENDED = frozenset(Phase) - {Phase.ENDED}


async def insert_deletion(
    connection: AsyncConnection, cluster_uuid: str, run_id: int, *, version: str, values: Mapping[str, object]
) -> Deletion:
    """Write a new deletion of a run.

    Raises:
        StepRefusedError: the run is over or a dry one, or another deletion on the cluster is unended.
    """
    run = await run_going_on(connection, cluster_uuid, run_id)
    if run.dry_run:
        raise StepRefusedError(f"run {run_id} is a dry run", refusal=Refusal.RUN_OVER)
    row = {
        "run_id": run_id,
        "cluster_uuid": cluster_uuid,
        "cluster": run.cluster,
        "policy": run.policy,
        "policy_digest": "",
        "version": version,
        "intended_database_seconds": DATABASE_CLOCK,
        "earlier_job_uuids": "[]",
        "code": "",
        "message": "",
        **values,
    }
    try:
        made = await connection.execute(insert(DELETIONS).values(row).returning(DELETIONS))
    except IntegrityError as exc:
        raise StepRefusedError(
            f"another deletion on {run.cluster} is unended", refusal=Refusal.OTHER_UNENDED
        ) from exc
    return _deletion(made.one())


async def read_deletion(connection: AsyncConnection, deletion: Deletion) -> Deletion:
    """Return what is recorded of a deletion now.

    Raises:
        StepRefusedError: there is none.
    """
    same = and_(DELETIONS.c.id == deletion.id, DELETIONS.c.cluster_uuid == deletion.cluster_uuid)
    for found in await _read(connection, same):
        return found
    raise StepRefusedError(f"there is no deletion {deletion.id}", refusal=Refusal.WRONG_PHASE)


async def move_deletion(
    connection: AsyncConnection,
    deletion: Deletion,
    *,
    allowed: Collection[Phase],
    values: Mapping[str, object],
) -> Deletion:
    """Change a deletion that is in one of the allowed phases.

    Raises:
        StepRefusedError: it is in another, or there is none.
    """
    recorded = await read_deletion(connection, deletion)
    if recorded.phase not in allowed:
        raise StepRefusedError(
            f"the deletion of {recorded.version} on {recorded.cluster} is {recorded.phase}",
            refusal=Refusal.WRONG_PHASE,
        )
    moving = update(DELETIONS).where(DELETIONS.c.id == deletion.id).values(**values).returning(DELETIONS)
    return _deletion((await connection.execute(moving)).one())


async def end_deletion(
    connection: AsyncConnection,
    deletion: Deletion,
    *,
    outcome: Outcome,
    code: str,
    message: str,
    stop_after_failures: int,
    now: float,
) -> Deletion:
    """Write the outcome of a deletion, and count it.

    Raises:
        StepRefusedError: it has ended, or there is none.
    """
    ended = await move_deletion(
        connection, deletion, allowed=UNENDED, values=ended_as(outcome, code=code, message=message, now=now)
    )
    await totals.count_outcome(connection, ended)
    seconds = max(0.0, now - ended.intended_timestamp_seconds)
    await totals.count_duration(connection, ended.policy, seconds=seconds)
    await count_failures(connection, ended, stop_after_failures=stop_after_failures, now=now)
    return ended


async def read_unended(connection: AsyncConnection, cluster_uuid: str) -> tuple[Deletion, ...]:
    """Return a cluster's deletions without an outcome."""
    return await _read(
        connection, and_(DELETIONS.c.cluster_uuid == cluster_uuid, DELETIONS.c.phase != Phase.ENDED.value)
    )


async def read_unended_clusters(connection: AsyncConnection) -> Mapping[str, str]:
    """Return the names of the clusters with a deletion without an outcome, by their uuids."""
    unended = DELETIONS.c.phase != Phase.ENDED.value
    rows = await connection.execute(select(DELETIONS.c.cluster_uuid, DELETIONS.c.cluster).where(unended))
    return {row.cluster_uuid: row.cluster for row in rows}


async def read_given_up(connection: AsyncConnection, cluster_uuid: str) -> tuple[Deletion, ...]:
    """Return the newest deletion of each version that was sent, where it may go on though it has ended."""
    later = DELETIONS.alias()
    is_later = and_(
        later.c.id > DELETIONS.c.id,
        later.c.cluster_uuid == DELETIONS.c.cluster_uuid,
        later.c.version == DELETIONS.c.version,
        or_(later.c.outcome.is_(None), later.c.outcome != Outcome.PROTECTED.value),
    )
    gave_up = or_(
        DELETIONS.c.outcome == Outcome.TIMEOUT.value,
        and_(DELETIONS.c.outcome == Outcome.DENIED.value, DELETIONS.c.job_uuid.is_not(None)),
    )
    return await _read(
        connection, and_(DELETIONS.c.cluster_uuid == cluster_uuid, gave_up, ~exists().where(is_later))
    )


async def read_job_uuids(connection: AsyncConnection, cluster_uuid: str, version: str) -> frozenset[str]:
    """Return the jobs of every deletion of a version that is remembered, and those that were there before."""
    of_version = and_(DELETIONS.c.cluster_uuid == cluster_uuid, DELETIONS.c.version == version)
    return frozenset().union(*(jobs_of(deletion) for deletion in await _read(connection, of_version)))


def jobs_of(deletion: Deletion) -> frozenset[str]:
    """Return the job of a deletion, and those that were there before its last attempt."""
    return deletion.earlier_job_uuids | ({deletion.job_uuid} if deletion.job_uuid else set())


async def read_runs(
    connection: AsyncConnection, *conditions: ColumnElement[bool], limit: int
) -> tuple[Run, ...]:
    """Return the newest runs that meet all conditions with their deletions, newest first."""
    newest = select(RUNS).where(*conditions).order_by(RUNS.c.id.desc()).limit(limit)
    rows = (await connection.execute(newest)).all()
    of_runs = DELETIONS.c.run_id.in_(select(newest.subquery().c.id))
    deletions: dict[int, list[Deletion]] = defaultdict(list)
    for deletion in await _read(connection, of_runs) if rows else ():
        deletions[deletion.run_id].append(deletion)
    return tuple(to_run(row, tuple(deletions[row.id])) for row in rows)


def ended_as(outcome: Outcome, *, code: str, message: str, now: float) -> dict[str, object]:
    """Return the values of a deletion that has ended."""
    return {
        "phase": Phase.ENDED.value,
        "outcome": outcome.value,
        "ended_timestamp_seconds": now,
        **answered(code, message),
    }


def answered(code: str, message: str) -> dict[str, object]:
    """Return the values for what ONTAP answered, or the exporter has to say."""
    return {"code": code[:MAX_CODE_CHARACTERS], "message": message[:MAX_MESSAGE_CHARACTERS]}


def as_list(job_uuids: Collection[str]) -> str:
    """Return jobs as they are stored."""
    return json.dumps(sorted(job_uuids))


async def _read(connection: AsyncConnection, condition: ColumnElement[bool]) -> tuple[Deletion, ...]:
    """Return the deletions that meet a condition, oldest first."""
    rows = await connection.execute(select(DELETIONS).where(condition).order_by(DELETIONS.c.id))
    return tuple(_deletion(row) for row in rows)


def _deletion(row: Row[Any]) -> Deletion:
    return Deletion(
        id=row.id,
        run_id=row.run_id,
        cluster_uuid=row.cluster_uuid,
        cluster=row.cluster,
        policy=row.policy,
        policy_digest=row.policy_digest,
        version=row.version,
        create_timestamp_seconds=row.create_timestamp_seconds,
        phase=Phase(row.phase),
        intended_timestamp_seconds=row.intended_timestamp_seconds,
        attempted_timestamp_seconds=row.attempted_timestamp_seconds,
        attempts=row.attempts,
        job_uuid=row.job_uuid,
        earlier_job_uuids=frozenset(json.loads(row.earlier_job_uuids)),
        outcome=None if row.outcome is None else Outcome(row.outcome),
        ended_timestamp_seconds=row.ended_timestamp_seconds,
        code=row.code,
        message=row.message,
    )
