"""The journal in a SQLite file, held by one process through a lock on a file beside it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, NullPool, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from exporter.cleanup.journal.database import finished
from exporter.cleanup.journal.journal_errors import JournalError, JournalInUseError, translated
from exporter.cleanup.journal.places import SqlitePlace

BUSY_TIMEOUT_MILLISECONDS = 2000
"""How long to wait for somebody who looks into the file with a tool of his own."""
FILE_MODE = 0o600


@asynccontextmanager
async def sqlite_connection(place: SqlitePlace) -> AsyncIterator[AsyncConnection]:
    """Open the file, which is made where it is missing, and hold it.

    Raises:
        JournalInUseError: it is held already.
        JournalError: it cannot be opened.
    """
    with _file_locked(place) as path:
        connection = _engine_for(path).connect()
        try:
            with translated(place, "open it"):
                await finished(connection.start())
            yield connection
        finally:
            if connection.sync_connection is not None:
                with translated(place, "close it"):
                    await finished(connection.close())


@contextmanager
def _file_locked(place: SqlitePlace) -> Iterator[Path]:
    """Make the file where it is missing, and hold its lock.

    The kernel releases the lock when the process ends, however it ends.
    """
    with translated(place, "open it"):
        path = Path(os.path.realpath(place.path))  # one file has one lock, whatever link leads to it
        if not path.parent.is_dir():
            raise JournalError(f"{place}: cannot open it: there is no folder {path.parent}")
    with translated(place, "open its lock"):
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
    try:
        with translated(place, "lock it"):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise JournalInUseError(f"{place}: another process holds it") from exc
        with translated(place, "open it"):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE))
        yield path
    finally:
        os.close(lock)


def _engine_for(path: Path) -> AsyncEngine:
    url = URL.create("sqlite+aiosqlite", database=str(path))
    engine = create_async_engine(url, poolclass=NullPool, hide_parameters=True)
    event.listen(engine.sync_engine, "connect", _set_up)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _set_up(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    try:
        # The driver would begin a transaction only before the first change, and never before CREATE TABLE.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MILLISECONDS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()
    except BaseException:
        connection.close()  # the pool forgets a connection that could not be set up
        raise


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
