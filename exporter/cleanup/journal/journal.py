"""The journal: a store for each thing that it remembers, opened from a database URL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from functools import partial

from exporter.cleanup.journal.database import Database
from exporter.cleanup.journal.deletions import DeletionStore
from exporter.cleanup.journal.journal_errors import JournalError
from exporter.cleanup.journal.leases import TRANSACTION_SECONDS, LeaseHolder, delete_expired
from exporter.cleanup.journal.migrations import check_newest, migrate
from exporter.cleanup.journal.runs import RunStore
from exporter.cleanup.journal.seen import SeenStore
from exporter.cleanup.journal.sqlite import SqliteConnector
from exporter.cleanup.journal.stops import StopStore
from exporter.cleanup.journal.totals import TotalsStore
from exporter.cleanup.kill_switch import boot_time
from exporter.config import DatabaseUrl, PostgresqlUrl, SqliteUrl

MIGRATION_SECONDS = 60.0
CONNECTIONS = 4
"""This many transactions go on at a time in PostgreSQL, besides those on leases, which have a connection."""


class Journal:
    """Remembers leases, runs, deletions and packages; :func:`open_journal` opens one.

    Every public method of its stores is one transaction. What it has written is on disk when it returns.
    Each raises JournalError if the database fails; then the step was not stored, or, where no answer came in
    time, it is not known whether it was. Later calls work again by themselves once the database does. A call
    that has begun is brought to its end even if the caller is cancelled.

    What takes a lease confirms it within the transaction: LeaseLostError means that another process has taken
    the cluster over and that nothing was written. StepRefusedError means that what is recorded does not allow
    the step, and nothing was written.

    Times are Unix seconds that the caller gives, besides those of leases and of the daily limit, which are
    the database's. A text may hold any character; NUL and lone surrogates come back as U+FFFD, and messages
    are cut at 1,000 characters.
    """

    def __init__(self, database: Database, leases: LeaseHolder) -> None:
        self.leases = leases
        self.stops = StopStore(database)
        self.seen = SeenStore(database, leases)
        self.runs = RunStore(database, leases)
        self.deletions = DeletionStore(database, leases)
        self.totals = TotalsStore(database)
        self._databases = (database, leases.database)

    @property
    def answered_at(self) -> float:
        """When the last transaction came to its end, in the event loop's time."""
        return max(database.answered_at for database in self._databases)


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
    certain, are free at once there. The arguments are those of :class:`LeaseHolder`.

    Raises:
        JournalError: it cannot be opened; the SQLite file, because another process holds it, for example.
    """
    async with AsyncExitStack() as stack:
        if isinstance(url, SqliteUrl):
            of_file = Database(SqliteConnector(url.path), name=url)
            database = leases = await stack.enter_async_context(aclosing(of_file))
        else:
            connecting = partial(_postgresql, url, timeout_seconds=transaction_seconds)
            database = await stack.enter_async_context(aclosing(connecting(connections=CONNECTIONS)))
            leases = await stack.enter_async_context(aclosing(connecting(connections=1)))
        await database.transact("open it", migrate, timeout_seconds=MIGRATION_SECONDS)
        await database.transact("delete what has expired", delete_expired)
        is_alone = isinstance(url, SqliteUrl)
        holder = LeaseHolder(
            leases,
            owner=owner,
            shard=shard,
            takeover_after_seconds=takeover_after_seconds,
            transaction_seconds=transaction_seconds,
            alone=is_alone,
            boot_clock=boot_clock,
        )
        if is_alone:
            await holder.release_all()  # those of earlier processes
        try:
            yield Journal(database, holder)
        finally:
            with suppress(JournalError):  # leases that cannot be released expire
                await holder.release_all()


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
        yield Journal(database, LeaseHolder(database, owner="", takeover_after_seconds=0.0, alone=True))


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
