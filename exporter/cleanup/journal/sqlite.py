"""The journal in a SQLite file, held by one process through a lock on a file beside it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from exporter.background import Worker
from exporter.cleanup.journal.journal_errors import JournalError

T = TypeVar("T")

BUSY_TIMEOUT_MILLISECONDS = 2000
"""How long to wait for somebody who looks into the file with a tool of his own."""
FILE_MODE = 0o600
_MADE = b"The journal beside this file has been made. Where it is missing, outcomes of deletions are lost.\n"
"""In the lock's file, once the journal has its tables."""


class SqliteConnector:
    """One connection to a file, which stays locked while it is open, unless it is only read.

    File operations cannot be interrupted. So all of them run in a thread for which neither the event loop nor
    the end of the program waits.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._path = path
        self._read_only = read_only
        self._worker = Worker(name="journal")
        self._lock: int | None = None
        self._opened: tuple[tuple[int, int], ...] = ()
        self._engine: Engine | None = None

    async def run(self, work: Callable[[Connection], T], *, timeout_seconds: float | None) -> T:  # noqa: ARG002
        """Do the work in a transaction, after all that were asked for before.

        The first one opens the file; once it is committed, the journal counts as made.
        """
        return await self._worker.begin(partial(self._transact, work))

    async def disconnect(self) -> None:
        """Close the file and its lock, after all that was asked for before."""
        closing = self._worker.begin(self._close)
        self._worker.end()
        await closing

    def _transact(self, work: Callable[[Connection], T]) -> T:
        engine = self._engine or self._open()
        self._check_files()
        with engine.begin() as connection:
            result = work(connection)
        if self._lock is not None and not self._opened:
            self._note_made(self._lock)
        self._check_files()
        return result

    def _open(self) -> Engine:
        if not self._read_only:
            self._lock_file()
        self._engine = _engine(self._path, read_only=self._read_only)
        if not self._read_only:
            self._check_intact(self._engine)
        return self._engine

    def _lock_file(self) -> None:
        """Make the file if there has never been one, and lock it.

        The kernel releases the lock when the process ends, however it ends.

        Raises:
            JournalError: another process holds it, or this one; or it has gone since it was made, so that
                only its lock or its write-ahead log is left.
        """
        path = Path(os.path.realpath(self._path))  # one file has one lock, whatever link leads to it
        if not path.parent.is_dir():
            raise JournalError(f"{self._path}: cannot open it: there is no folder {path.parent}")
        self._lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise JournalError(f"{self._path}: another process holds it") from exc
        # SQLite would drop a write-ahead log whose file is missing, and with it the newest outcomes.
        remains = [name for name in (f"{path}.lock", f"{path}-wal") if _has_content(Path(name))]
        if remains and not _has_content(path):
            raise JournalError(
                f"{self._path}: the journal has gone since it was last used; put it back, or, to begin "
                f"with an empty one, delete {' and '.join(remains)}"
            )
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE))
        self._path = path

    def _check_intact(self, engine: Engine) -> None:
        """Read the whole file, so that damage is found before anything rests on it.

        Raises:
            JournalError: it is damaged; or its tables have gone, with the write-ahead log that they were in.
        """
        with engine.begin() as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
            tables = connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar()
        if found != "ok":
            what = str(found).splitlines()[-1]
            raise JournalError(
                f"{self._path}: the file is damaged, so nothing is deleted; restore a copy of it ({what})"
            )
        lock = f"{self._path}.lock"
        if not tables and _has_content(Path(lock)):
            raise JournalError(
                f"{self._path}: the journal has lost its tables since it was last used; put back a copy of "
                f"it, or, to begin with an empty one, delete {self._path} and {lock}"
            )

    def _note_made(self, lock: int) -> None:
        """Remember which files they are, and that the journal has its tables."""
        self._opened = self._identities()
        if not self._opened:
            raise JournalError(f"{self._path}: the file has gone while it was being opened")
        if not os.fstat(lock).st_size:
            os.write(lock, _MADE)
            os.fsync(lock)

    def _check_files(self) -> None:
        """See that the files are those that were opened."""
        if self._opened and self._identities() != self._opened:
            raise JournalError(
                f"{self._path}: the file was replaced, moved, removed or emptied while it was in use; "
                "nothing is deleted until it is back"
            )

    def _identities(self) -> tuple[tuple[int, int], ...]:
        """Return what identifies the file and its write-ahead log; nothing if one is missing or empty."""
        try:
            found = [self._path.stat(), Path(f"{self._path}-wal").stat()]
        except FileNotFoundError:
            return ()
        return tuple((one.st_dev, one.st_ino) for one in found) if found[0].st_size else ()

    def _close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
        if self._lock is not None:
            os.close(self._lock)


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _engine(path: Path, *, read_only: bool) -> Engine:
    """Return an engine that opens the file, never creates it, and begins transactions itself."""
    url = URL.create(
        "sqlite",
        database=f"file:{quote(str(path))}",
        query={"mode": "ro" if read_only else "rw", "uri": "true"},
    )
    engine = create_engine(url, pool_size=1, max_overflow=0, hide_parameters=True)

    def set_up(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # The driver would begin a transaction only before the first change, never before CREATE TABLE.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MILLISECONDS}")
        if not read_only:
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = FULL")
            cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", set_up)
    event.listen(engine, "begin", begin)
    return engine
