"""From an address to a journal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection

from exporter.cleanup.journal.database import Database, finished
from exporter.cleanup.journal.journal import Journal
from exporter.cleanup.journal.journal_errors import JournalError
from exporter.cleanup.journal.migrations import migrate
from exporter.cleanup.journal.places import Place, PostgresqlPlace, SqlitePlace, place_of
from exporter.cleanup.journal.sqlite import sqlite_connection


@asynccontextmanager
async def open_journal(url: str) -> AsyncIterator[Journal]:
    """Open the journal, make its tables or bring them up to date, and keep every other process out.

    Args:
        url: ``sqlite:////absolute/path/state.db``, whose folder must exist, or
            ``postgresql://user:password@host/database``, a libpq URI as asyncpg understands it.

    Raises:
        JournalInUseError: another process holds it, or this one.
        JournalError: it cannot be opened.
    """
    place = place_of(url)
    lost = asyncio.Event()
    connecting, timeout_seconds = _connecting(place, lost)
    async with connecting as connection:
        database = Database(connection, place=place, lost=lost, timeout_seconds=timeout_seconds)
        await database.transact(
            "bring its tables up to date", lambda connection: connection.run_sync(migrate)
        )
        try:
            yield Journal(database, lost=lost)
        finally:
            await finished(database.close())


def _connecting(
    place: Place, lost: asyncio.Event
) -> tuple[AbstractAsyncContextManager[AsyncConnection], float | None]:
    """Return how to connect, and how long a transaction may take."""
    match place:
        case SqlitePlace():
            return sqlite_connection(place), None  # what a file system does cannot be cut short
        case PostgresqlPlace():
            try:
                from exporter.cleanup.journal import postgresql  # noqa: PLC0415 - asyncpg is an extra
            except ModuleNotFoundError as exc:
                raise JournalError(
                    f"{place}: cannot open it: install ontap-packages-exporter[postgresql]"
                ) from exc
            return (
                postgresql.postgresql_connection(place, lost=lost),
                postgresql.TRANSACTION_TIMEOUT_SECONDS,
            )
