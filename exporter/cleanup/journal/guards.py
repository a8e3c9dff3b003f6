"""What stops deleting in all processes of a journal: kill switch, paused policies, the daily limit."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from sqlalchemy import Row, and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from exporter.cleanup.journal.database import insert_or_update
from exporter.cleanup.journal.journal_errors import Refusal, StepRefusedError
from exporter.cleanup.journal.tables import CONTROL, DATABASE_CLOCK, DELETIONS, FAILURES
from exporter.cleanup.records import Deletion, Guards, Outcome, PolicyPause

DAY_SECONDS = 86_400.0
KEPT_DIGESTS = 10
"""So many variants of one policy are remembered with their failures."""

SENT_IN_LAST_DAY = and_(
    DELETIONS.c.intended_database_seconds > DATABASE_CLOCK - DAY_SECONDS,
    DELETIONS.c.attempts > 0,
    or_(DELETIONS.c.outcome.is_(None), DELETIONS.c.outcome != Outcome.PROTECTED.value),
)
"""The condition that a deletion counts for the daily limit: DELETE was sent, or may have been."""

_COUNT_OF_LAST_DAY = select(func.count()).select_from(DELETIONS).where(SENT_IN_LAST_DAY)


async def read_guards(connection: AsyncConnection) -> Guards:
    """Return what stops deleting."""
    paused = await connection.execute(
        select(FAILURES).where(FAILURES.c.paused_timestamp_seconds.is_not(None))
    )
    return Guards(
        kill_switch=bool((await connection.execute(select(CONTROL.c.kill_switch))).scalar_one()),
        paused=MappingProxyType({(row.policy, row.digest): _pause(row) for row in paused}),
        deletes_in_last_day=(await connection.execute(_COUNT_OF_LAST_DAY)).scalar_one(),
    )


async def set_kill_switch(connection: AsyncConnection, *, engaged: bool) -> None:
    """Engage or release the kill switch; waits for intents that are being stored."""
    await connection.execute(update(CONTROL).values(kill_switch=engaged))


async def resume_policy(connection: AsyncConnection, policy: str) -> None:
    """Forget a policy's pause and its failures."""
    await connection.execute(delete(FAILURES).where(FAILURES.c.policy == policy))


async def expect_none(
    connection: AsyncConnection, policy: str, digest: str, *, max_deletes_per_day: int | None
) -> None:
    """Lock what all processes share until the transaction ends, and see that nothing stops a deletion.

    Where there is a daily limit, intents are stored one after the other.

    Raises:
        StepRefusedError: something stops it.
    """
    locking = select(CONTROL.c.kill_switch).with_for_update(read=max_deletes_per_day is None)
    if (await connection.execute(locking)).scalar_one():
        raise StepRefusedError("the kill switch is engaged", refusal=Refusal.KILL_SWITCH)
    found = await connection.execute(
        select(FAILURES).where(
            FAILURES.c.policy == policy,
            FAILURES.c.digest == digest,
            FAILURES.c.paused_timestamp_seconds.is_not(None),
        )
    )
    if (row := found.one_or_none()) is not None:
        raise StepRefusedError(f"policy {policy} is paused: {row.reason}", refusal=Refusal.POLICY_PAUSED)
    if max_deletes_per_day is None:
        return
    if (await connection.execute(_COUNT_OF_LAST_DAY)).scalar_one() >= max_deletes_per_day:
        raise StepRefusedError(
            f"max_deletes_per_day: {max_deletes_per_day} packages were deleted in the last 24 hours",
            refusal=Refusal.DAILY_LIMIT,
        )


async def count_failures(
    connection: AsyncConnection, deletion: Deletion, *, stop_after_failures: int, now: float
) -> None:
    """Count the failures in a row of an ended deletion's policy, and pause it where they are too many."""
    variant = and_(FAILURES.c.policy == deletion.policy, FAILURES.c.digest == deletion.policy_digest)
    not_paused = FAILURES.c.paused_timestamp_seconds.is_(None)
    match deletion.outcome:
        case Outcome.SUCCESS | Outcome.ALREADY_GONE:
            await connection.execute(delete(FAILURES).where(variant, not_paused))
        case Outcome.FAILURE | Outcome.TIMEOUT:
            failures = await _add_failure(connection, deletion)
            if 0 < stop_after_failures <= failures:
                reason = (
                    f"{failures} deletions in a row ended as failure or timeout; the last one, of "
                    f"{deletion.version} on {deletion.cluster}: {deletion.message or deletion.outcome}"
                )
                pausing = {"paused_timestamp_seconds": now, "reason": reason}
                await connection.execute(update(FAILURES).where(variant, not_paused).values(pausing))
        case _:
            pass


async def _add_failure(connection: AsyncConnection, deletion: Deletion) -> int:
    """Return how many they are now; the variants of the policy that are oldest are forgotten."""
    more = {"failures": FAILURES.c.failures + 1, "changed_seconds": DATABASE_CLOCK}
    adding = insert_or_update(connection, FAILURES, more).values(
        policy=deletion.policy,
        digest=deletion.policy_digest,
        failures=1,
        changed_seconds=DATABASE_CLOCK,
        reason="",
    )
    failures = (await connection.execute(adding.returning(FAILURES.c.failures))).scalar_one()
    of_policy = FAILURES.c.policy == deletion.policy
    newest = select(FAILURES.c.digest).where(of_policy).order_by(FAILURES.c.changed_seconds.desc())
    old = FAILURES.c.digest.not_in(newest.limit(KEPT_DIGESTS))
    await connection.execute(delete(FAILURES).where(of_policy, old))
    return int(failures)


def _pause(row: Row[Any]) -> PolicyPause:
    return PolicyPause(
        policy=row.policy,
        digest=row.digest,
        since_timestamp_seconds=row.paused_timestamp_seconds,
        reason=row.reason,
    )
