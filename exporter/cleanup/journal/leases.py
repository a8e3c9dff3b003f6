"""Leases: which process cleans which cluster, by the database's clock alone.

A lease is a row with its owner, an epoch and an expiry. A transaction that writes locks the row for key share
first; renewing does not wait for that, taking over does. So what is written under a lease is written before
anybody else has it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    case,
    delete,
    exists,
    func,
    null,
    or_,
    select,
    text,
    true,
    update,
)

from exporter.background import in_slices
from exporter.cleanup.journal.database import Database, Store, insert_or_update, transaction
from exporter.cleanup.journal.journal_errors import LeaseLostError
from exporter.cleanup.journal.migrations import check_still_newest
from exporter.cleanup.journal.tables import (
    CLUSTERS,
    DATABASE_CLOCK,
    DELETIONS,
    LEASES,
    PACKAGES,
    PROCESSES,
    RUNS,
    UNFINISHED,
)
from exporter.cleanup.kill_switch import boot_time
from exporter.cleanup.records import Heartbeat, Lease

T = TypeVar("T")

CLUSTERS_PER_TRANSACTION = 200
"""How many clusters are handled in one transaction."""
MAX_MARGIN_SECONDS = 2.0
"""How much earlier than the database a process takes its lease for expired: clocks differ in speed."""
PROCESSES_KEPT_SECONDS = 3600.0
"""A process is deleted from the journal when it has not sent a heartbeat for this long."""
FOREVER_SECONDS = 1e10
APPLICATION_NAME = "ontap-packages-exporter"
"""The name of our sessions in PostgreSQL, except for one that updates the tables."""
TRANSACTION_SECONDS = 3.0
"""Far more than one takes in PostgreSQL. With the time to end a connection that hangs, it is below 5 s."""
SESSION_SECONDS = 2.0
"""A session may keep its locks for this much longer than a transaction may take."""
_END_HUNG_SESSIONS = text(
    f"""
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND application_name = '{APPLICATION_NAME}'
    AND pid <> pg_backend_pid() AND clock_timestamp() - xact_start > make_interval(secs => :seconds)
    """  # noqa: S608 - a constant
)
"""Ends transactions of processes that hang, which releases their locks: their time is up.

The server's own timeouts miss a process that hangs between the two messages of one statement.
"""
CLUSTERS_KEPT_SECONDS = 400 * 86_400.0
"""A cluster, but not its totals, is deleted when nobody has held its lease for this long."""


class LeaseHolder(Store):
    """The leases of this process; in PostgreSQL, nothing else waits for their connection.

    Args:
        database: holds the leases.
        owner: identifies this process; every start of a process has a new one.
        shard: identifies the share of the clusters that this process may clean.
        takeover_after_seconds: how long a lease lasts without a heartbeat; a change applies from
            the next heartbeat on.
        transaction_seconds: how long a transaction of any process may take in PostgreSQL.
        alone: whether no other process can have the database open: leases are then not renewed in it.
        boot_clock: gives seconds of CLOCK_BOOTTIME.
    """

    def __init__(
        self,
        database: Database,
        *,
        owner: str,
        shard: str = "",
        takeover_after_seconds: float,
        transaction_seconds: float = TRANSACTION_SECONDS,
        alone: bool,
        boot_clock: Callable[[], float] = boot_time,
    ) -> None:
        super().__init__(database)
        self._owner = owner
        self._shard = shard
        self._session_seconds = transaction_seconds + SESSION_SECONDS
        self._alone = alone
        self.takeover_after_seconds = takeover_after_seconds
        self.boot_clock = boot_clock

    def _relied_on_until(self) -> float:
        """Return until when a lease that is renewed now may be used, by ``boot_clock``."""
        seconds = self.takeover_after_seconds
        return self.boot_clock() + seconds - min(MAX_MARGIN_SECONDS, seconds / 5)

    async def heartbeat(self) -> Heartbeat:
        """Record that this process is alive, and renew all its leases; see ``heartbeat_pause_seconds``.

        Raises:
            SchemaChangedError: another version of this program has changed the tables; nothing is renewed.
        """
        valid_until = self._relied_on_until()
        rows, living_owners = await self._renew()
        leases = {row.cluster_uuid: _lease(row, valid_until) async for row in in_slices(rows)}
        return Heartbeat(leases=leases, living_owners=living_owners)

    async def acquire(self, uuids: Collection[str], *, at_most: int | None = None) -> dict[str, Lease]:
        """Acquire the leases of these clusters that are free, expired or held by this process already.

        Returns:
            The leases acquired, by uuid, no more than ``at_most``; those that others hold are missing.
        """
        acquired: dict[str, Lease] = {}
        for some in batches(sorted(set(uuids))):
            limit = None if at_most is None else at_most - len(acquired)
            if limit is not None and limit <= 0:
                break
            valid_until = self._relied_on_until()
            rows, vanished = await self._acquire(some, limit)
            acquired |= {row.cluster_uuid: _lease(row, valid_until, vanished=vanished) for row in rows}
        return acquired

    async def release(self, uuids: Collection[str]) -> None:
        """Give the leases of some clusters up, so that another process may acquire them at once."""
        for some in batches(sorted(set(uuids))):
            await self._release(some)

    @transaction("release the leases")
    def release_all(self, connection: Connection) -> None:
        """Give all leases up, and stop counting as living; if alone, those of earlier processes too."""
        ours = true() if self._alone else LEASES.c.owner == self._owner
        connection.execute(update(LEASES).where(ours).values(_released()))
        connection.execute(delete(PROCESSES).where(PROCESSES.c.owner == self._owner))

    def confirm(self, connection: Connection, lease: Lease, *, unexpired: bool = False) -> None:
        """Let no other process take a lease over until the transaction has ended.

        Raises:
            LeaseLostError: it was taken over or given up; with ``unexpired``, also if it has expired.
        """
        if lease.cluster_uuid not in self.confirmed(connection, [lease]):
            raise LeaseLostError(f"the lease of cluster {lease.cluster_uuid} was taken over or given up")
        if unexpired:
            valid = select(LEASES.c.expires_seconds > DATABASE_CLOCK)
            of_cluster = valid.where(LEASES.c.cluster_uuid == lease.cluster_uuid)
            if not connection.execute(of_cluster).scalar():
                raise LeaseLostError(f"the lease of cluster {lease.cluster_uuid} has expired")

    def confirmed(self, connection: Connection, leases: Collection[Lease]) -> frozenset[str]:
        """As :meth:`confirm` for many leases, but return the clusters whose lease this process still has."""
        found = connection.execute(
            select(LEASES.c.cluster_uuid, LEASES.c.epoch)
            .where(
                LEASES.c.owner == self._owner,
                LEASES.c.cluster_uuid.in_([lease.cluster_uuid for lease in leases]),
            )
            .with_for_update(read=True, key_share=True)
        )
        epochs = {row.cluster_uuid: row.epoch for row in found}
        return frozenset(
            lease.cluster_uuid for lease in leases if epochs.get(lease.cluster_uuid) == lease.epoch
        )

    @transaction("renew the leases")
    def _renew(self, connection: Connection) -> tuple[Sequence[Row[Any]], int]:
        """Renew all leases in one statement; return them, and how many processes of the shard live."""
        check_still_newest(connection)
        mine = LEASES.c.owner == self._owner
        if self._alone:
            return connection.execute(select(LEASES).where(mine)).all(), 1
        connection.execute(_END_HUNG_SESSIONS, {"seconds": self._session_seconds})
        expires = DATABASE_CLOCK + self.takeover_after_seconds
        renewing = update(LEASES).where(mine).values(expires_seconds=expires).returning(LEASES)
        held = connection.execute(renewing).all()
        living = insert_or_update(connection, PROCESSES, {"expires_seconds": expires})
        connection.execute(living.values(owner=self._owner, shard=self._shard, expires_seconds=expires))
        of_shard = and_(PROCESSES.c.shard == self._shard, PROCESSES.c.expires_seconds > DATABASE_CLOCK)
        count = select(func.count()).where(of_shard)
        return held, connection.execute(count).scalar_one()

    @transaction("acquire leases")
    def _acquire(
        self, connection: Connection, uuids: Sequence[str], limit: int | None
    ) -> tuple[Sequence[Row[Any]], frozenset[str]]:
        """Return the rows that are ours now, and the clusters whose former owner had vanished."""
        wanted = LEASES.c.cluster_uuid.in_(uuids)
        free = or_(
            LEASES.c.owner.in_(["", self._owner]),
            LEASES.c.expires_seconds.is_(None),
            LEASES.c.expires_seconds <= DATABASE_CLOCK,
        )
        known = {row.cluster_uuid for row in connection.execute(select(LEASES.c.cluster_uuid).where(wanted))}
        if missing := [
            {"cluster_uuid": uuid, "owner": "", "epoch": 0} for uuid in uuids if uuid not in known
        ]:
            connection.execute(insert_or_update(connection, LEASES, None), missing)
        # What others have locked is being acquired, or written under, right now.
        locking = select(LEASES).where(wanted, free).order_by(LEASES.c.cluster_uuid).limit(limit)
        locked = connection.execute(locking.with_for_update(skip_locked=True)).all()
        acquiring = (
            update(LEASES)
            .where(LEASES.c.cluster_uuid.in_([row.cluster_uuid for row in locked]))
            .values(
                owner=self._owner,
                epoch=LEASES.c.epoch + 1,
                expires_seconds=DATABASE_CLOCK
                + (FOREVER_SECONDS if self._alone else self.takeover_after_seconds),
                # What comes due while the one process of a SQLite journal is down is not made up.
                held_before_until_seconds=null() if self._alone else _held_until(),
            )
            .returning(LEASES)
        )
        rows = connection.execute(acquiring).all()
        vanished = frozenset(row.cluster_uuid for row in locked if row.owner not in {"", self._owner})
        return rows, vanished

    @transaction("release leases")
    def _release(self, connection: Connection, uuids: Sequence[str]) -> None:
        ours = and_(LEASES.c.owner == self._owner, LEASES.c.cluster_uuid.in_(uuids))
        connection.execute(update(LEASES).where(ours).values(_released()))


class LeasedStore(Store):
    """Tables that are written under leases: whatever writes confirms the lease first."""

    def __init__(self, database: Database, leases: LeaseHolder) -> None:
        super().__init__(database)
        self.leases = leases


def delete_expired(connection: Connection) -> None:
    """Delete processes without a heartbeat for an hour, and clusters that nobody has cleaned for 400 days."""
    vanished = PROCESSES.c.expires_seconds < DATABASE_CLOCK - PROCESSES_KEPT_SECONDS
    connection.execute(delete(PROCESSES).where(vanished))
    unfinished = exists().where(DELETIONS.c.cluster_uuid == LEASES.c.cluster_uuid, UNFINISHED)
    old = LEASES.c.expires_seconds < DATABASE_CLOCK - CLUSTERS_KEPT_SECONDS
    locking = select(LEASES.c.cluster_uuid).where(old, ~unfinished).limit(CLUSTERS_PER_TRANSACTION)
    uuids = connection.execute(locking.with_for_update(skip_locked=True)).scalars().all()
    for table in (DELETIONS, RUNS, PACKAGES, CLUSTERS, LEASES):
        connection.execute(delete(table).where(table.c.cluster_uuid.in_(uuids)))


def _released() -> dict[str, object]:
    """Return the values of a lease that nobody holds; it keeps its epoch, and until when it was held."""
    return {"owner": "", "expires_seconds": _held_until()}


def _held_until() -> ColumnElement[float | None]:
    """Return until when a lease was held that ends now or has expired; NULL if it never was."""
    expires = LEASES.c.expires_seconds
    return case((or_(expires.is_(None), expires < DATABASE_CLOCK), expires), else_=DATABASE_CLOCK)


def _lease(row: Row[Any], valid_until_seconds: float, *, vanished: Collection[str] = ()) -> Lease:
    return Lease(
        cluster_uuid=row.cluster_uuid,
        epoch=row.epoch,
        valid_until_seconds=valid_until_seconds,
        held_before_until=row.held_before_until_seconds,
        taken_over=row.cluster_uuid in vanished,
    )


def batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield some items at a time, few enough for one transaction."""
    for start in range(0, len(items), CLUSTERS_PER_TRANSACTION):
        yield items[start : start + CLUSTERS_PER_TRANSACTION]
