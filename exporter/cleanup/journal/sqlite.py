"""The journal in a SQLite file, held by one process through a lock on a file beside it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from exporter.background import Worker
from exporter.cleanup.journal.journal_errors import JournalError, translated

T = TypeVar("T")

BUSY_TIMEOUT_MILLISECONDS = 2000
"""How long to wait for somebody who looks into the file with a tool of his own."""
FILE_MODE = 0o600
_MADE = b"The journal beside this file has been made. Where it is missing, outcomes of deletions are lost.\n"
"""In the lock's file, once the journal has its tables."""


class SqliteFile:
    """A journal's file, which this process has locked.

    Args:
        path: the file, without symbolic links.
        lock: the open file of the lock.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock
        self._opened: tuple[tuple[int, int], ...] = ()

    def note_made(self) -> None:
        """Remember which files they are, and that the journal has its tables.

        Raises:
            JournalError: they have gone, or the disk is full, for example.
        """
        with translated(self.path, "open it"):
            self._opened = self._identities()
            if not self._opened:
                raise JournalError(f"{self.path}: the file has gone while it was being opened")
            if not os.fstat(self._lock).st_size:
                os.write(self._lock, _MADE)
                os.fsync(self._lock)

    def check(self) -> None:
        """See that the files are those that were opened.

        Raises:
            JournalError: they are not.
        """
        if self._opened and self._identities() != self._opened:
            raise JournalError(
                f"{self.path}: the file was replaced, moved, removed or emptied while it was in use; "
                "nothing is deleted until it is back"
            )

    def unlock(self) -> None:
        """Let another process have the file."""
        os.close(self._lock)

    def _identities(self) -> tuple[tuple[int, int], ...]:
        """Return what identifies the file and its write-ahead log; nothing if one is missing or empty."""
        try:
            found = [self.path.stat(), Path(f"{self.path}-wal").stat()]
        except FileNotFoundError:
            return ()
        return tuple((one.st_dev, one.st_ino) for one in found) if found[0].st_size else ()


def locked_file(path: Path) -> SqliteFile:
    """Make the file if there has never been one, and lock it.

    The kernel releases the lock when the process ends, however it ends.

    Raises:
        JournalError: another process holds it, or this one; it cannot be opened; or it has gone since it was
            made, so that only its lock or its write-ahead log is left.
    """
    with translated(path, "open it"):
        real = Path(os.path.realpath(path))  # one file has one lock, whatever link leads to it
        if not real.parent.is_dir():
            raise JournalError(f"{path}: cannot open it: there is no folder {real.parent}")
        lock = os.open(f"{real}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
    with ExitStack() as undo:
        undo.callback(os.close, lock)
        with translated(path, "lock it"):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise JournalError(f"{path}: another process holds it") from exc
        with translated(path, "open it"):
            # SQLite would drop a write-ahead log whose file is missing, and with it the newest outcomes.
            remains = [name for name in (f"{real}.lock", f"{real}-wal") if _has_content(Path(name))]
            if remains and not _has_content(real):
                raise JournalError(
                    f"{path}: the journal has gone since it was last used; put it back, or, to begin "
                    f"with an empty one, delete {' and '.join(remains)}"
                )
            os.close(os.open(real, os.O_RDWR | os.O_CREAT, FILE_MODE))
        undo.pop_all()
    return SqliteFile(real, lock)


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def check_intact(connection: Connection, *, path: Path) -> None:
    """Read the whole file, so that damage is found before anything rests on it.

    Raises:
        JournalError: it is damaged.
    """
    found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if found != "ok":
        what = str(found).splitlines()[-1]
        raise JournalError(
            f"{path}: the file is damaged, so nothing is deleted; restore a copy of it ({what})"
        )


class SqliteConnector:
    """One connection to a file, which stays locked while it is open, unless it is only read.

    File operations cannot be interrupted. So all of them run in a thread for which neither the event loop nor
    the end of the program waits.

    Args:
        path: the file.
        read_only: whether the file is only read, and neither locked nor created.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._path = path
        self._read_only = read_only
        self._worker = Worker(name="journal")
        self._file: SqliteFile | None = None
        self._engine: Engine | None = None

    async def run(self, work: Callable[[Connection], T], *, timeout_seconds: float | None) -> T:  # noqa: ARG002
        """Do the work in a transaction, after all that were asked for before; the first locks the file."""
        return await self._worker.begin(partial(self._transact, work))

    async def disconnect(self) -> None:
        """Close the file and its lock, after all that was asked for before."""
        closing = self._worker.begin(self._close)
        self._worker.end()
        await closing

    def note_made(self, _: Connection) -> None:
        """Remember, in a transaction, that the journal has its tables: see :meth:`SqliteFile.note_made`."""
        if self._file is not None:
            self._file.note_made()

    def _transact(self, work: Callable[[Connection], T]) -> T:
        engine = self._engine or self._open()
        self._check()
        with engine.begin() as connection:
            result = work(connection)
        self._check()
        return result

    def _open(self) -> Engine:
        if not self._read_only:
            self._file = locked_file(self._path)
        path = self._path if self._file is None else self._file.path
        self._engine = _engine(path, read_only=self._read_only)
        return self._engine

    def _check(self) -> None:
        if self._file is not None:
            self._file.check()

    def _close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
        if self._file is not None:
            self._file.unlock()


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
