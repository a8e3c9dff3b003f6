"""How many clusters are talked to at once; a reload may change that."""

from __future__ import annotations

import asyncio
from types import TracebackType


class ConcurrencyLimit:
    """A semaphore whose limit can change while some hold it and others wait.

    Args:
        limit: how many may hold it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._owed = 0
        self._semaphore = asyncio.Semaphore(limit)

    def change(self, limit: int) -> None:
        """Let so many hold it from now on; where that is fewer than do, nobody is let in until they are."""
        self._owed -= limit - self._limit
        self._limit = limit
        while self._owed < 0:
            self._owed += 1
            self._semaphore.release()

    async def acquire(self) -> None:
        """Wait until it can be held."""
        await self._semaphore.acquire()

    def release(self) -> None:
        """Let somebody else hold it."""
        if self._owed > 0:
            self._owed -= 1
        else:
            self._semaphore.release()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()
