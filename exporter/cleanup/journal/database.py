"""One connection, one transaction at a time: each is finished or rolled back whatever befalls its caller."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from exporter.cleanup.journal.journal_errors import JournalError, translated

T = TypeVar("T")


class Database:
    """Carries transactions to the database that holds the journal.

    The lock that keeps other processes out belongs to this very connection, or to this process: a transaction
    that is committed was committed under the lock. A connection that is lost is never replaced.

    Args:
        connection: kept until :meth:`close`, which leaves it open.
        place: where the journal is, as it may be shown.
        lost: set when the connection is lost.
        timeout_seconds: how long a transaction may take until the connection counts as lost; None where
            it cannot be.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        *,
        place: object,
        lost: asyncio.Event,
        timeout_seconds: float | None,
    ) -> None:
        self._connection = connection
        self._place = place
        self._lost = lost
        self._timeout_seconds = timeout_seconds
        self._closed = False
        self._turn = asyncio.Lock()

    async def transact(self, doing: str, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Do the work in a transaction; commit it, or roll it back where the work raises.

        A caller that is cancelled while it waits for its turn has done nothing; later, the transaction is
        brought to its end first.

        Args:
            doing: what it is for, to follow "cannot".
            work: what to do; touches nothing but the database.

        Raises:
            JournalError: it failed, or the connection is lost.
        """
        async with self._turn:
            if self._closed:
                raise JournalError(f"{self._place}: cannot {doing}: the journal is closed")
            if self._lost.is_set():
                raise JournalError(f"{self._place}: cannot {doing}: the connection was lost")
            with translated(self._place, doing):
                return await finished(self._transaction(work))

    async def close(self) -> None:
        """Refuse further transactions, and wait until the one under way has ended."""
        self._closed = True
        async with self._turn:
            pass

    async def _transaction(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self._timeout_seconds), self._connection.begin():
                return await work(self._connection)
        except (TimeoutError, asyncio.CancelledError):
            self._lost.set()  # what became of the transaction is known to the database alone
            raise
        finally:
            if self._connection.invalidated:
                self._lost.set()


async def finished(work: Coroutine[Any, Any, T]) -> T:
    """Wait until the work is done, even where this task is cancelled, and only then be cancelled."""
    task = asyncio.create_task(work, name="journal")
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        raise cancelled from (None if task.cancelled() else task.exception())
    return task.result()
