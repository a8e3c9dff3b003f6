"""Transactions: each is completed or rolled back even if its caller is cancelled, and ends in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from exporter.cleanup.journal.journal_errors import JournalError, translated
from exporter.concurrency import is_being_cancelled, wait_uninterrupted

T = TypeVar("T")
P = ParamSpec("P")

STOP_SECONDS = 4.0
"""How long cancelled callers wait for the database, all together. PostgreSQL mostly ends sooner."""


class Connector(Protocol):
    """How transactions get to a database."""

    async def run(self, work: Callable[[Connection], T], *, timeout_seconds: float | None) -> T:
        """Do the work in a transaction: see :meth:`Database.transact`."""

    async def disconnect(self) -> None:
        """End all connections."""


class Database:
    """Carries transactions to the database that holds the journal; connections that break are replaced.

    ``name`` is the database, as it may be displayed. ``answered_at`` is when the last transaction came to its
    end, in the event loop's time.
    """

    def __init__(self, connector: Connector, *, name: object) -> None:
        self._connector = connector
        self._name = name
        self._closed = False
        self._waits_until: float | None = None  # until when cancelled callers wait; None: none does
        self._under_way: set[asyncio.Task[Any]] = set()
        self.answered_at = asyncio.get_running_loop().time()

    async def transact(
        self, doing: str, work: Callable[[Connection], T], *, timeout_seconds: float | None = None
    ) -> T:
        """Do the work in a transaction; commit it, or roll it back if the work raises.

        A caller that is cancelled is cancelled once the transaction has come to its end, or after
        ``STOP_SECONDS`` if a disk hangs. The transaction then ends when the disk answers.

        Args:
            doing: what it is for, to follow "cannot".
            work: may be done in another thread, and touches nothing but the database.
            timeout_seconds: how long this one may take in PostgreSQL; None: as long as any.

        Raises:
            JournalError: it failed. Where no answer came in time, it may have been committed.
        """
        if self._closed:
            raise JournalError(f"{self._name}: cannot {doing}: the journal is closed")
        with translated(self._name, doing):
            return await self._completed(self._connector.run(work, timeout_seconds=timeout_seconds))

    async def aclose(self) -> None:
        """Refuse further transactions, wait for those under way, and disconnect.

        If a disk hangs and this task is cancelled, what is left is done when the disk answers.

        Raises:
            JournalError: it failed, or there was no answer in time.
        """
        self._closed = True
        with translated(self._name, "close it"):
            await self._completed(self._disconnect(frozenset(self._under_way)))

    async def _disconnect(self, under_way: frozenset[asyncio.Task[Any]]) -> None:
        if under_way:
            await asyncio.wait(under_way)
        await self._connector.disconnect()

    async def _completed(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for the work; if this task is cancelled, wait on for ``STOP_SECONDS`` at most, then raise it.

        The time counts from the first cancellation, for all callers together, until the database answers
        again.

        Raises:
            TimeoutError: the time is over; this task had been cancelled before it called.
        """
        task = asyncio.create_task(work, name="journal")
        self._under_way.add(task)
        task.add_done_callback(self._end)
        cancelled: asyncio.CancelledError | None = None
        if not is_being_cancelled():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as exc:
                cancelled = exc
        if not task.done():
            now = asyncio.get_running_loop().time()
            if self._waits_until is None:
                self._waits_until = now + STOP_SECONDS
            timeout_seconds = max(self._waits_until - now, 0.0)
            waiting = asyncio.create_task(asyncio.wait({task}, timeout=timeout_seconds), name="journal")
            cancelled = await wait_uninterrupted(waiting) or cancelled
        if cancelled is not None:
            raise cancelled
        if not task.done():
            raise TimeoutError
        return task.result()

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        self._waits_until = None
        self.answered_at = asyncio.get_running_loop().time()
        if not task.cancelled():
            task.exception()  # nobody may be waiting for it any more, and asyncio would log that


class Store:
    """Some tables of the database, and what may be done with them."""

    def __init__(self, database: Database) -> None:
        self.database = database


S = TypeVar("S", bound=Store)


def transaction(
    doing: str,
) -> Callable[
    [Callable[Concatenate[S, Connection, P], T]], Callable[Concatenate[S, P], Coroutine[Any, Any, T]]
]:
    """Make a method of a store one transaction: see :meth:`Database.transact`.

    The method gets the connection, which its caller leaves out; the caller awaits it.
    """

    def decorate(
        method: Callable[Concatenate[S, Connection, P], T],
    ) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
        @wraps(method)
        async def transact(store: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return await store.database.transact(
                doing, lambda connection: method(store, connection, *args, **kwargs)
            )

        return transact

    return decorate


def insert_or_update(
    connection: Connection, table: Table, changes: Mapping[str, object] | None
) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that, if the table has a row of that primary key already, changes this instead.

    ``changes`` are values by column; None leaves the row as it is.
    """
    # Both databases have it, in classes of their own.
    statement = sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
    key = list(table.primary_key.columns)
    if changes is None:
        return statement.on_conflict_do_nothing(index_elements=key)
    return statement.on_conflict_do_update(index_elements=key, set_=dict(changes))
