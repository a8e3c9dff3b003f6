"""From a database URL to a journal."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from functools import partial

from sqlalchemy import true

from exporter.cleanup.journal.database import Database
from exporter.cleanup.journal.journal import Journal
from exporter.cleanup.journal.journal_errors import JournalError
from exporter.cleanup.journal.leases import LeaseHolder, delete_expired, release_leases
from exporter.cleanup.journal.migrations import check_newest, migrate
from exporter.cleanup.journal.sqlite import SqliteConnector, check_intact
from exporter.config import DatabaseUrl, PostgresqlUrl, SqliteUrl

MIGRATION_SECONDS = 60.0
TRANSACTION_SECONDS = 3.0
"""Far more than one takes in PostgreSQL. With the time to end a connection that hangs, it is below 5 s."""
CONNECTIONS = 4
"""This many transactions go on at a time in PostgreSQL, besides those on leases, which have a connection."""


def boot_time() -> float:
    """Return the seconds since this machine started, suspends included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@asynccontextmanager
async def open_journal(
    url: DatabaseUrl,
    *,
    owner: str,
    shard: str = "",
    takeover_after_seconds: float,
    transaction_seconds: float = TRANSACTION_SECONDS,
    boot_clock: Callable[[], float] = boot_time,
) -> AsyncIterator[Journal]:
    """Open the journal, and make its tables or bring them up to date; release all leases in the end.

    A SQLite journal is opened by one process alone. Leases of earlier processes, which have ended for
    certain, are free at once there.

    Args:
        url: a file, whose folder must exist, or a database of PostgreSQL.
        owner: identifies this process; random.
        shard: identifies the share of the clusters that this process may clean.
        takeover_after_seconds: how long leases last without a heartbeat.
        transaction_seconds: how long a transaction may take in PostgreSQL.
        boot_clock: gives seconds of CLOCK_BOOTTIME.

    Raises:
        JournalError: it cannot be opened; the SQLite file, because another process holds it, for example.
    """
    async with AsyncExitStack() as stack:
        sqlite: SqliteConnector | None = None
        if isinstance(url, SqliteUrl):
            sqlite = SqliteConnector(url.path)
            database = leases = await stack.enter_async_context(aclosing(Database(sqlite, name=url)))
            await database.transact("open it", partial(check_intact, path=url.path))
        else:
            connecting = partial(_postgresql, url, timeout_seconds=transaction_seconds)
            database = await stack.enter_async_context(aclosing(connecting(connections=CONNECTIONS)))
            leases = await stack.enter_async_context(aclosing(connecting(connections=1)))
        await database.transact("open it", migrate, timeout_seconds=MIGRATION_SECONDS)
        if sqlite is not None:
            releasing = partial(release_leases, condition=true())
            await database.transact("release the leases of earlier processes", releasing)
            await database.transact("open it", sqlite.note_made)
        await database.transact("delete what has expired", delete_expired)
        holder = LeaseHolder(
            leases,
            owner=owner,
            shard=shard,
            takeover_after_seconds=takeover_after_seconds,
            transaction_seconds=transaction_seconds,
            alone=sqlite is not None,
            boot_clock=boot_clock,
        )
        try:
            yield Journal(database, holder)
        finally:
            with suppress(JournalError):  # leases that cannot be released expire
                await holder.release()


@asynccontextmanager
async def read_journal(url: DatabaseUrl) -> AsyncIterator[Journal]:
    """Open a journal that another process may be using, to read it; every method that writes fails.

    Nothing is made, locked or changed.

    Raises:
        JournalError: there is none, it cannot be read, or its tables are of another version.
    """
    reading = (
        Database(SqliteConnector(url.path, read_only=True), name=url)
        if isinstance(url, SqliteUrl)
        else _postgresql(url, timeout_seconds=TRANSACTION_SECONDS, connections=1, read_only=True)
    )
    async with aclosing(reading) as database:
        await database.transact("read it", check_newest)
        holder = LeaseHolder(
            database,
            owner="",
            shard="",
            takeover_after_seconds=0.0,
            transaction_seconds=TRANSACTION_SECONDS,
            alone=True,
            boot_clock=boot_time,
        )
        yield Journal(database, holder)


def _postgresql(
    url: PostgresqlUrl, *, timeout_seconds: float, connections: int, read_only: bool = False
) -> Database:
    try:
        from exporter.cleanup.journal.postgresql import PostgresqlConnector  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as exc:
        raise JournalError(
            f"{url}: cannot open it: the library asyncpg is not installed: pip install asyncpg"
        ) from exc
    connector = PostgresqlConnector(
        url.dsn, connections=connections, timeout_seconds=timeout_seconds, read_only=read_only
    )
    return Database(connector, name=url)
