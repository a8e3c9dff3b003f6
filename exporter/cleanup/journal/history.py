"""Runs with their deletions: read for people to see, and pruned when they are old and over."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, exists, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from exporter.cleanup.journal.deletions import GIVEN_UP, read_deletions
from exporter.cleanup.journal.runs import end_run
from exporter.cleanup.journal.sanitize import sanitize
from exporter.cleanup.journal.tables import DELETIONS, RUNS
from exporter.cleanup.records import Deletion, Phase, Run

INTERRUPTED = "the program ended, or its configuration changed, during this run"


async def read_recent_runs(connection: AsyncConnection, limit: int) -> tuple[Run, ...]:
    """Return the newest runs with their deletions, newest first."""
    newest = select(RUNS).order_by(RUNS.c.id.desc()).limit(limit)
    rows = (await connection.execute(newest)).all()
    deletions: dict[int, list[Deletion]] = defaultdict(list)
    if rows:
        # All of them are newer than the oldest run: a range, for a list of ids could grow too long.
        for deletion in await read_deletions(connection, DELETIONS.c.run_id >= rows[-1].id):
            deletions[deletion.run_id].append(deletion)
    return tuple(_run(row, tuple(deletions[row.id])) for row in rows)


async def end_interrupted(
    connection: AsyncConnection, cluster: str | None, run_id: int | None, *, now: float
) -> int:
    """End the runs that are going on without an unended deletion, as failed; return how many they were."""
    unended = exists().where(DELETIONS.c.run_id == RUNS.c.id, DELETIONS.c.phase != Phase.ENDED.value)
    wanted = _on(cluster) if run_id is None else RUNS.c.id == run_id
    going_on = select(RUNS.c.id).where(RUNS.c.ended_timestamp_seconds.is_(None), ~unended, wanted)
    run_ids = list((await connection.execute(going_on.order_by(RUNS.c.id))).scalars())
    for one in run_ids:
        await end_run(connection, one, success=False, error=INTERRUPTED, now=now)
    return len(run_ids)


async def prune(connection: AsyncConnection, cluster: str | None, *, keep_runs: int) -> int:
    """Delete the older of the ended runs without a deletion that may go on; return how many they were."""
    place = func.row_number().over(partition_by=(RUNS.c.cluster, RUNS.c.policy), order_by=RUNS.c.id.desc())
    ended = (
        select(RUNS.c.id, place.label("place"))
        .where(RUNS.c.ended_timestamp_seconds.is_not(None), _on(cluster))
        .subquery()
    )
    may_go_on = or_(DELETIONS.c.phase != Phase.ENDED.value, GIVEN_UP)
    unended = exists().where(DELETIONS.c.run_id == ended.c.id, may_go_on)
    doomed = select(ended.c.id).where(ended.c.place > keep_runs, ~unended)
    run_ids = list((await connection.execute(doomed)).scalars())
    for run_id in run_ids:
        await connection.execute(delete(DELETIONS).where(DELETIONS.c.run_id == run_id))
        await connection.execute(delete(RUNS).where(RUNS.c.id == run_id))
    return len(run_ids)


def _on(cluster: str | None) -> ColumnElement[bool]:
    """Return the condition that a run is on a cluster; None means any."""
    return true() if cluster is None else RUNS.c.cluster == sanitize(cluster)


def _run(row: Row[Any], deletions: tuple[Deletion, ...]) -> Run:
    return Run(
        id=row.id,
        cluster=row.cluster,
        policy=row.policy,
        dry_run=row.dry_run,
        started_timestamp_seconds=row.started_timestamp_seconds,
        ended_timestamp_seconds=row.ended_timestamp_seconds,
        success=row.success,
        error=row.error,
        plan=row.plan,
        deletions=deletions,
    )
