"""Runs in the database: each begins, and ends once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CursorResult, Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from exporter.cleanup.journal import totals
from exporter.cleanup.journal.journal_errors import Refused
from exporter.cleanup.journal.sanitize import MAX_MESSAGE_CHARACTERS, sanitize
from exporter.cleanup.journal.tables import RUNS


async def insert_run(
    connection: AsyncConnection,
    *,
    cluster: str,
    policy: str,
    dry_run: bool,
    plan: str,
    candidates: int,
    now: float,
) -> int:
    """Write a new run and return its id."""
    cluster, policy = sanitize(cluster), sanitize(policy)
    row = {
        "cluster": cluster,
        "policy": policy,
        "dry_run": dry_run,
        "started_timestamp_seconds": now,
        "error": "",
        "plan": sanitize(plan),
    }
    made = await connection.execute(insert(RUNS).values(row))
    await totals.note_start(connection, (cluster, policy), candidates=candidates, now=now)
    return new_id(made)


async def end_run(connection: AsyncConnection, run_id: int, *, success: bool, error: str, now: float) -> None:
    """End a run.

    Raises:
        Refused: it has ended, or there is none.
    """
    run = await run_going_on(connection, run_id)
    values = {
        "ended_timestamp_seconds": now,
        "success": success,
        "error": sanitize(error, max_characters=MAX_MESSAGE_CHARACTERS),
    }
    await connection.execute(update(RUNS).where(RUNS.c.id == run_id).values(values))
    await totals.note_end(connection, (run.cluster, run.policy), success=success, now=now)


async def run_going_on(connection: AsyncConnection, run_id: int) -> Row[Any]:
    """Return the row of a run that has not ended.

    Raises:
        Refused: it has ended, or there is none.
    """
    row = (await connection.execute(select(RUNS).where(RUNS.c.id == run_id))).one_or_none()
    if row is None:
        raise Refused(f"there is no run {run_id}")
    if row.ended_timestamp_seconds is not None:
        raise Refused(f"run {run_id} has ended")
    return row


def new_id(made: CursorResult[Any]) -> int:
    """Return the id that the database gave to the row that was inserted."""
    key = made.inserted_primary_key
    assert key is not None  # noqa: S101 - both databases tell
    return int(key[0])
