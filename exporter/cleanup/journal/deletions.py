"""Deletions in the database: each step checks, in its own transaction, that it may follow on the last."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, exists, insert, or_, select, true, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from exporter.cleanup.journal.journal_errors import Refused
from exporter.cleanup.journal.runs import new_id, run_going_on
from exporter.cleanup.journal.sanitize import sanitize
from exporter.cleanup.journal.tables import DELETIONS
from exporter.cleanup.records import Deletion, Outcome, Phase, TargetIdentity

SEPARATOR = ","
"""Stands after each of ``earlier_job_uuids``."""

UNENDED = frozenset(Phase) - {Phase.ENDED}

GIVEN_UP = or_(
    DELETIONS.c.outcome == Outcome.TIMEOUT.value,
    and_(DELETIONS.c.outcome == Outcome.DENIED.value, DELETIONS.c.job_uuid.is_not(None)),
)
"""The condition that a deletion has ended while what it began may go on."""


async def insert_deletion(
    connection: AsyncConnection,
    run_id: int,
    *,
    version: str,
    values: Mapping[str, object],
    sent_to: TargetIdentity | None = None,
) -> Deletion:
    """Write a new deletion of a run.

    Raises:
        Refused: the run is over or a dry one, or another deletion of the package is unended.
    """
    run = await run_going_on(connection, run_id)
    if run.dry_run:
        raise Refused(f"run {run_id} is a dry run")
    row = {"code": "", "message": "", **values}
    row |= {"run_id": run_id, "cluster": run.cluster, "policy": run.policy, "version": sanitize(version)}
    if sent_to is not None:
        row |= {"sent_to": sanitize(sent_to.identity), "sent_to_origin": sanitize(sent_to.origin)}
    try:
        # Of two target identities are known, the database checks whether they are the same.
        if row["phase"] != Phase.ENDED.value and await _is_one_unknown(connection, row):
            raise Refused(f"another deletion of {version} on {run.cluster} is unended")
        made = await connection.execute(insert(DELETIONS).values(row))
    except IntegrityError as exc:
        raise Refused(f"another deletion of {version} on {run.cluster} is unended") from exc
    return await _read(connection, new_id(made))


async def _is_one_unknown(connection: AsyncConnection, row: Mapping[str, object]) -> bool:
    """Say whether a deletion of the package is unended that may be on the same cluster for all we know."""
    unended = and_(
        DELETIONS.c.cluster == row["cluster"],
        DELETIONS.c.version == row["version"],
        DELETIONS.c.phase != Phase.ENDED.value,
    )
    unknown = true() if row.get("sent_to") is None else DELETIONS.c.sent_to.is_(None)
    found = await connection.execute(select(DELETIONS.c.id).where(unended, unknown).limit(1))
    return found.first() is not None


async def move_deletion(
    connection: AsyncConnection,
    deletion: Deletion,
    *,
    allowed: Collection[Phase],
    values: Mapping[str, object],
) -> Deletion:
    """Change a deletion that is in one of the allowed phases.

    Raises:
        Refused: it is in another, or there is none.
    """
    in_phase = DELETIONS.c.phase.in_([phase.value for phase in allowed])
    changed = await connection.execute(
        update(DELETIONS).where(DELETIONS.c.id == deletion.id, in_phase).values(**values)
    )
    now = await _read(connection, deletion.id)
    if changed.rowcount != 1:
        raise Refused(f"the deletion of {now.version} on {now.cluster} is {now.phase}")
    return now


async def read_unended(connection: AsyncConnection, cluster: str | None) -> tuple[Deletion, ...]:
    """Return the deletions without an outcome, oldest first."""
    unended = DELETIONS.c.phase != Phase.ENDED.value
    if cluster is None:
        return await read_deletions(connection, unended)
    return await read_deletions(connection, unended, DELETIONS.c.cluster == sanitize(cluster))


async def read_given_up(
    connection: AsyncConnection, cluster: str, target_identity: TargetIdentity | None
) -> tuple[Deletion, ...]:
    """Return the newest deletion of each version that was sent, where it may go on though nobody follows it.

    Where the target identity is known they may also be unended, under this name or another.
    """
    later = DELETIONS.alias()
    is_later = and_(
        later.c.id > DELETIONS.c.id,
        later.c.cluster == DELETIONS.c.cluster,
        later.c.version == DELETIONS.c.version,
        or_(later.c.outcome.is_(None), later.c.outcome != Outcome.PROTECTED.value),
        or_(DELETIONS.c.sent_to.is_(None), later.c.sent_to == DELETIONS.c.sent_to),
    )
    here = DELETIONS.c.cluster == sanitize(cluster)
    if target_identity is None:
        return await read_deletions(connection, here, GIVEN_UP, ~exists().where(is_later))
    may_go_on = or_(GIVEN_UP, DELETIONS.c.phase != Phase.ENDED.value)
    wanted = or_(and_(here, DELETIONS.c.sent_to.is_(None)), _sent_to(target_identity))
    return await read_deletions(connection, wanted, may_go_on, ~exists().where(is_later))


async def read_job_uuids(
    connection: AsyncConnection, cluster: str, version: str, target_identity: TargetIdentity | None
) -> frozenset[str]:
    """Return the jobs of every deletion of a version that is remembered, and of their earlier attempts."""
    here = DELETIONS.c.cluster == sanitize(cluster)
    rows = await connection.execute(
        select(DELETIONS.c.job_uuid, DELETIONS.c.earlier_job_uuids).where(
            here if target_identity is None else or_(here, _sent_to(target_identity)),
            DELETIONS.c.version == sanitize(version),
        )
    )
    uuids = {uuid for row in rows for uuid in (row.job_uuid, *row.earlier_job_uuids.split(SEPARATOR))}
    return frozenset(uuid for uuid in uuids if uuid)


async def read_deletions(
    connection: AsyncConnection, *conditions: ColumnElement[bool]
) -> tuple[Deletion, ...]:
    """Return the deletions that meet all conditions, oldest first."""
    rows = await connection.execute(select(DELETIONS).where(*conditions).order_by(DELETIONS.c.id))
    return tuple(_deletion(row) for row in rows)


def _sent_to(target_identity: TargetIdentity) -> ColumnElement[bool]:
    """Return the condition that a deletion was sent to a cluster, whose uuid was perhaps not known then."""
    return DELETIONS.c.sent_to.in_([sanitize(target_identity.identity), sanitize(target_identity.origin)])


async def _read(connection: AsyncConnection, deletion_id: int) -> Deletion:
    for deletion in await read_deletions(connection, DELETIONS.c.id == deletion_id):
        return deletion
    raise Refused(f"there is no deletion {deletion_id}")


def _deletion(row: Row[Any]) -> Deletion:
    return Deletion(
        id=row.id,
        run_id=row.run_id,
        cluster=row.cluster,
        policy=row.policy,
        version=row.version,
        phase=Phase(row.phase),
        intended_timestamp_seconds=row.intended_timestamp_seconds,
        attempts=row.attempts,
        job_uuid=row.job_uuid,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        ended_timestamp_seconds=row.ended_timestamp_seconds,
        code=row.code,
        message=row.message,
        sent_to=_target_identity(row),
    )


def _target_identity(row: Row[Any]) -> TargetIdentity | None:
    if row.sent_to is None:
        return None
    uuid = None if row.sent_to == row.sent_to_origin else row.sent_to
    return TargetIdentity(uuid=uuid, origin=row.sent_to_origin)
