"""Runs in the database: each begins, ends once, and is pruned when it is old."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, and_, delete, exists, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from exporter.cleanup.journal import totals
from exporter.cleanup.journal.guards import SENT_IN_LAST_DAY
from exporter.cleanup.journal.journal_errors import Refusal, StepRefusedError
from exporter.cleanup.journal.tables import DELETIONS, RUNS
from exporter.cleanup.records import Deletion, Phase, Run

MAX_MESSAGE_CHARACTERS = 1000
MAX_PLAN_CHARACTERS = 1_000_000
INTERRUPTED = "interrupted"
"""The failure of a run in whose midst the program ended, or its cluster was given up."""


async def insert_run(
    connection: AsyncConnection,
    *,
    cluster_uuid: str,
    cluster: str,
    policy: str,
    dry_run: bool,
    plan: str,
    candidates: int,
    now: float,
) -> int:
    """Write a new run and return its id; of dry runs only the last keeps its plan."""
    if dry_run:
        earlier = and_(
            RUNS.c.cluster_uuid == cluster_uuid, RUNS.c.policy == policy, RUNS.c.dry_run, RUNS.c.plan != ""
        )
        await connection.execute(update(RUNS).where(earlier).values(plan=""))
    made = await connection.execute(
        insert(RUNS).values(
            cluster_uuid=cluster_uuid,
            cluster=cluster,
            policy=policy,
            dry_run=dry_run,
            started_timestamp_seconds=now,
            failure="",
            error="",
            plan=plan if len(plan) <= MAX_PLAN_CHARACTERS else "",
        )
    )
    await totals.note_start(connection, cluster, policy, candidates=candidates, now=now)
    key = made.inserted_primary_key
    assert key is not None  # noqa: S101 - both databases return it
    return int(key[0])


async def end_run(
    connection: AsyncConnection,
    cluster_uuid: str,
    run_id: int,
    *,
    success: bool,
    failure: str,
    error: str,
    now: float,
) -> None:
    """End a run.

    Raises:
        StepRefusedError: it has ended, or there is none.
    """
    run = await run_going_on(connection, cluster_uuid, run_id)
    failure, error = failure[:MAX_MESSAGE_CHARACTERS], error[:MAX_MESSAGE_CHARACTERS]
    values = {"ended_timestamp_seconds": now, "success": success, "failure": failure, "error": error}
    await connection.execute(update(RUNS).where(RUNS.c.id == run_id).values(values))
    await totals.note_end(connection, run.cluster, run.policy, success=success, failure=failure, now=now)


async def run_going_on(connection: AsyncConnection, cluster_uuid: str, run_id: int) -> Row[Any]:
    """Return the row of a run that has not ended.

    Raises:
        StepRefusedError: it has ended, or the cluster has none of that id.
    """
    found = await connection.execute(
        select(RUNS).where(RUNS.c.id == run_id, RUNS.c.cluster_uuid == cluster_uuid)
    )
    row = found.one_or_none()
    if row is None:
        raise StepRefusedError(f"there is no run {run_id}", refusal=Refusal.RUN_OVER)
    if row.ended_timestamp_seconds is not None:
        raise StepRefusedError(f"run {run_id} has ended", refusal=Refusal.RUN_OVER)
    return row


async def end_interrupted_runs(connection: AsyncConnection, cluster_uuid: str, *, now: float) -> int:
    """End a cluster's runs that are going on without an unended deletion; return how many they were."""
    unended = exists().where(DELETIONS.c.run_id == RUNS.c.id, DELETIONS.c.phase != Phase.ENDED.value)
    going_on = and_(RUNS.c.cluster_uuid == cluster_uuid, RUNS.c.ended_timestamp_seconds.is_(None))
    found = await connection.execute(select(RUNS.c.id).where(going_on, ~unended).order_by(RUNS.c.id))
    run_ids = list(found.scalars())
    for run_id in run_ids:
        await end_run(
            connection,
            cluster_uuid,
            run_id,
            success=False,
            failure=INTERRUPTED,
            error="the program ended, or gave the cluster up, during this run",
            now=now,
        )
    return len(run_ids)


async def prune(connection: AsyncConnection, cluster_uuid: str, *, keep_runs: int) -> int:
    """Delete a cluster's older ended runs, besides those with a deletion that is unended or counts today."""
    place = func.row_number().over(partition_by=RUNS.c.policy, order_by=RUNS.c.id.desc()).label("place")
    ended = (
        select(RUNS.c.id, place)
        .where(RUNS.c.cluster_uuid == cluster_uuid, RUNS.c.ended_timestamp_seconds.is_not(None))
        .subquery()
    )
    needed = exists().where(
        DELETIONS.c.run_id == ended.c.id, or_(DELETIONS.c.phase != Phase.ENDED.value, SENT_IN_LAST_DAY)
    )
    found = await connection.execute(select(ended.c.id).where(ended.c.place > keep_runs, ~needed))
    run_ids = list(found.scalars())
    for run_id in run_ids:
        await connection.execute(delete(DELETIONS).where(DELETIONS.c.run_id == run_id))
        await connection.execute(delete(RUNS).where(RUNS.c.id == run_id))
    return len(run_ids)


async def last_started(connection: AsyncConnection, cluster_uuid: str) -> Mapping[str, float]:
    """Return when the newest run of every policy began, by policy."""
    newest = select(func.max(RUNS.c.id)).where(RUNS.c.cluster_uuid == cluster_uuid).group_by(RUNS.c.policy)
    rows = await connection.execute(
        select(RUNS.c.policy, RUNS.c.started_timestamp_seconds).where(RUNS.c.id.in_(newest))
    )
    return {row.policy: row.started_timestamp_seconds for row in rows}


def to_run(row: Row[Any], deletions: tuple[Deletion, ...]) -> Run:
    """Return a row as a value."""
    return Run(
        id=row.id,
        cluster_uuid=row.cluster_uuid,
        cluster=row.cluster,
        policy=row.policy,
        dry_run=row.dry_run,
        started_timestamp_seconds=row.started_timestamp_seconds,
        ended_timestamp_seconds=row.ended_timestamp_seconds,
        success=row.success,
        failure=row.failure,
        error=row.error,
        plan=row.plan,
        deletions=deletions,
    )
