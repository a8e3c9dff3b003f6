"""From a database URL to a journal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from sqlalchemy import true

from exporter.cleanup.journal.database import Database, completed
from exporter.cleanup.journal.journal import Journal
from exporter.cleanup.journal.journal_errors import JournalError
from exporter.cleanup.journal.leases import LeaseHolder, forget_the_past, release_leases
from exporter.cleanup.journal.migrations import expect_newest, migrate
from exporter.cleanup.journal.sqlite import SqliteFile, locked_file, sqlite_engine
from exporter.config import DatabaseUrl, PostgresqlUrl, SqliteUrl, parse_database_url

MIGRATION_TIMEOUT_SECONDS = 60.0
CONNECTIONS = 4
"""So many transactions go on at a time in PostgreSQL, besides those on leases, which have a connection."""


def boot_time() -> float:
    """Return the seconds since this machine started, suspends included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@asynccontextmanager
async def open_journal(
    url: str, *, owner: str, takeover_after_seconds: float, boot_clock: Callable[[], float] = boot_time
) -> AsyncIterator[Journal]:
    """Open the journal, and make its tables or bring them up to date; give up all leases in the end.

    A SQLite journal is opened by one process alone. Leases of earlier lives, which have ended for certain,
    are free at once there.

    Args:
        url: ``sqlite:////absolute/path/state.db``, whose folder must exist, or
            ``postgresql://user:password@host/database``, a libpq URI as asyncpg understands it.
        owner: identifies this life of the process; random.
        takeover_after_seconds: how long leases last without a heartbeat.
        boot_clock: gives seconds of CLOCK_BOOTTIME.

    Raises:
        JournalError: it cannot be opened; the SQLite file, because another process holds it, for example.
    """
    parsed = _parsed(url)
    async with AsyncExitStack() as stack:
        file: SqliteFile | None = None
        if isinstance(parsed, SqliteUrl):
            file = stack.enter_context(locked_file(parsed.path))
            database = leases = await _entered(stack, _sqlite(parsed, file))
        else:
            database = await _entered(stack, _postgresql(parsed, connections=CONNECTIONS))
            leases = await _entered(stack, _postgresql(parsed, connections=1))
        await database.transact(
            "open it",
            lambda connection: connection.run_sync(migrate),
            timeout_seconds=None if file else MIGRATION_TIMEOUT_SECONDS,
        )
        if file is not None:
            await database.transact(
                "release the leases of earlier lives", partial(release_leases, condition=true())
            )
            await asyncio.to_thread(file.note_made)
        await database.transact("forget the past", forget_the_past)
        holder = LeaseHolder(
            leases,
            owner=owner,
            takeover_after_seconds=takeover_after_seconds,
            alone=file is not None,
            boot_clock=boot_clock,
        )
        try:
            yield Journal(database, holder)
        finally:
            with suppress(JournalError):  # leases that cannot be given up expire
                await completed(holder.release())


@asynccontextmanager
async def read_journal(url: str) -> AsyncIterator[Journal]:
    """Open a journal that another process may be using, to read it; every method that writes fails.

    Nothing is made, locked or changed.

    Raises:
        JournalError: there is none, it cannot be read, or its tables are of another version.
    """
    parsed = _parsed(url)
    async with AsyncExitStack() as stack:
        reading = (
            Database(sqlite_engine(parsed.path, read_only=True), name=parsed, timeout_seconds=None)
            if isinstance(parsed, SqliteUrl)
            else _postgresql(parsed, connections=1, read_only=True)
        )
        database = await _entered(stack, reading)
        await database.transact("read it", lambda connection: connection.run_sync(expect_newest))
        holder = LeaseHolder(database, owner="", takeover_after_seconds=0.0, alone=True, boot_clock=boot_time)
        yield Journal(database, holder)


async def _entered(stack: AsyncExitStack, database: Database) -> Database:
    """Close the database when the stack is left, even where that is cancelled."""

    async def close() -> None:
        await completed(database.close())

    stack.push_async_callback(close)
    return database


def _parsed(url: str) -> DatabaseUrl:
    try:
        return parse_database_url(url, Path())
    except ValueError as exc:
        raise JournalError(f"the journal's URL: {exc}") from None


def _sqlite(url: SqliteUrl, file: SqliteFile) -> Database:
    # What a file system does cannot be cut short.
    engine = sqlite_engine(file.path, read_only=False)
    return Database(engine, name=url, timeout_seconds=None, check=file.check)


def _postgresql(url: PostgresqlUrl, *, connections: int, read_only: bool = False) -> Database:
    try:
        from exporter.cleanup.journal import postgresql  # noqa: PLC0415 - asyncpg is an extra
    except ModuleNotFoundError as exc:
        raise JournalError(f"{url}: cannot open it: install ontap-packages-exporter[postgresql]") from exc
    engine, disconnect = postgresql.postgresql_engine(url.dsn, connections=connections, read_only=read_only)
    return Database(
        engine,
        disconnect=disconnect,
        name=url,
        timeout_seconds=postgresql.TRANSACTION_TIMEOUT_SECONDS,
    )
