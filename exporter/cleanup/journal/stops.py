"""What stops deleting in all processes of a journal: kill switch, paused policies, the daily limit."""

from __future__ import annotations

from sqlalchemy import Connection, and_, delete, func, or_, select, update

from exporter.cleanup.journal.database import Store, insert_or_update, transaction
from exporter.cleanup.journal.journal_errors import StepRefusedError
from exporter.cleanup.journal.tables import CONTROL, DATABASE_CLOCK, DELETIONS, FAILURES, UNFINISHED
from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import Deletion, PolicyPause, Stops

DAY_SECONDS = 86_400.0
KEPT_DIGESTS = 10
"""This many variants of one policy are remembered with their failures."""

INTENDED_IN_LAST_DAY = and_(
    DELETIONS.c.intended_database_seconds > DATABASE_CLOCK - DAY_SECONDS, DELETIONS.c.attempts > 0
)
"""The condition that DELETE may have been sent within a day, even if it was refused or withheld."""
DELETED_IN_LAST_DAY = and_(
    INTENDED_IN_LAST_DAY, or_(DELETIONS.c.outcome.is_(None), DELETIONS.c.outcome != Outcome.PROTECTED)
)
"""The condition that a deletion counts for the daily limit: the package was deleted, or may have been."""

_PAUSED = FAILURES.c.paused_timestamp_seconds.is_not(None)


class StopStore(Store):
    """The kill switch, the paused policies, and deletions that have no outcome yet."""

    @transaction("read what stops deleting")
    def read(self, connection: Connection) -> Stops:
        """Return them."""
        kill_switch = connection.execute(select(CONTROL.c.kill_switch)).scalar_one()
        paused = connection.execute(select(FAILURES).where(_PAUSED))
        columns = (DELETIONS.c.cluster_uuid, DELETIONS.c.cluster)
        unfinished = connection.execute(select(*columns).where(UNFINISHED))
        return Stops(
            kill_switch=kill_switch,
            paused={
                (row.policy, row.digest): PolicyPause(
                    policy=row.policy,
                    digest=row.digest,
                    since_timestamp_seconds=row.paused_timestamp_seconds,
                    reason=row.reason,
                )
                for row in paused
            },
            unfinished={row.cluster_uuid: row.cluster for row in unfinished},
        )

    @transaction("count the deletions of a day")
    def deleted_in_last_day(self, connection: Connection) -> int:
        """Return how many deletions count for ``max_deletes_per_day`` now: begun in the last 24 hours."""
        return _deleted_in_last_day(connection)

    @transaction("set the kill switch")
    def set_kill_switch(self, connection: Connection, *, engaged: bool) -> None:
        """Engage or release the kill switch. Once this returns, no process stores another intent."""
        connection.execute(update(CONTROL).values(kill_switch=engaged))

    @transaction("resume the paused policies")
    def resume(self, connection: Connection) -> None:
        """End the pauses of all policies, and count their failures from zero."""
        paused = select(FAILURES.c.policy).where(_PAUSED)
        connection.execute(delete(FAILURES).where(FAILURES.c.policy.in_(paused)))


def check_nothing_stops(
    connection: Connection, policy: str, digest: str, *, max_deletes_per_day: int | None
) -> None:
    """Lock what all processes share until the transaction ends, and check that nothing stops a deletion.

    Where there is a daily limit, intents are stored one after the other.

    Raises:
        StepRefusedError: something stops it.
    """
    locking = select(CONTROL.c.kill_switch).with_for_update(read=max_deletes_per_day is None)
    if connection.execute(locking).scalar_one():
        raise StepRefusedError("the kill switch is on")
    variant = and_(FAILURES.c.policy == policy, FAILURES.c.digest == digest)
    reason = connection.execute(select(FAILURES.c.reason).where(variant, _PAUSED)).scalar_one_or_none()
    if reason is not None:
        raise StepRefusedError(f"policy {policy} is paused: {reason}")
    if max_deletes_per_day is not None and _deleted_in_last_day(connection) >= max_deletes_per_day:
        raise StepRefusedError(
            f"max_deletes_per_day is used up: {max_deletes_per_day} deletions were begun in the last 24 hours"
        )


def _deleted_in_last_day(connection: Connection) -> int:
    deleted = select(func.count()).select_from(DELETIONS).where(DELETED_IN_LAST_DAY)
    return int(connection.execute(deleted).scalar_one())


def count_failures(
    connection: Connection, deletion: Deletion, *, stop_after_failures: int, now: float
) -> None:
    """Count the failures in a row of an ended deletion's policy, and pause it if they are too many."""
    variant = and_(FAILURES.c.policy == deletion.policy, FAILURES.c.digest == deletion.policy_digest)
    if deletion.outcome in {Outcome.SUCCESS, Outcome.ALREADY_GONE}:
        connection.execute(delete(FAILURES).where(variant, ~_PAUSED))
    elif deletion.outcome in {Outcome.FAILURE, Outcome.TIMEOUT}:
        failures = _add_failure(connection, deletion)
        if 0 < stop_after_failures <= failures:
            reason = (
                f"{failures} deletions in a row ended as failure or timeout; the last one, of "
                f"{deletion.version} on {deletion.cluster}: {deletion.message or deletion.outcome}"
            )
            pausing = {"paused_timestamp_seconds": now, "reason": reason}
            connection.execute(update(FAILURES).where(variant, ~_PAUSED).values(pausing))


def _add_failure(connection: Connection, deletion: Deletion) -> int:
    """Count one more failure in a row and return their number; delete the policy's oldest variants."""
    more = {"failures": FAILURES.c.failures + 1, "changed_seconds": DATABASE_CLOCK}
    adding = insert_or_update(connection, FAILURES, more).values(
        policy=deletion.policy,
        digest=deletion.policy_digest,
        failures=1,
        changed_seconds=DATABASE_CLOCK,
        reason="",
    )
    failures = connection.execute(adding.returning(FAILURES.c.failures)).scalar_one()
    of_policy = FAILURES.c.policy == deletion.policy
    newest = select(FAILURES.c.digest).where(of_policy).order_by(FAILURES.c.changed_seconds.desc())
    old = FAILURES.c.digest.not_in(newest.limit(KEPT_DIGESTS))
    connection.execute(delete(FAILURES).where(of_policy, old))
    return int(failures)
