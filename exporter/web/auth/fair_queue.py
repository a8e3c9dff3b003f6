"""Checks passwords one at a time, one client after the other.

bcrypt is slow on purpose. A client with many wrong passwords delays only itself: before another client's
password, at most one password of each waiting client is checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

Check = Callable[[], bool]

_MOST_OF_A_CLIENT: Final = 8
_MOST_CLIENTS: Final = 256


class TooManyWaitError(Exception):
    """Too many passwords wait to be checked; the client may try again."""


@dataclass(slots=True)
class _ClientQueue:
    """The waiting checks of one client; only the first is in the worker's queue."""

    waiting: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class FairQueue:
    """Runs checks in one thread."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="password")
        self._queues: dict[str, _ClientQueue] = {}

    async def run(self, client: str, check: Check) -> bool:
        """Wait for this client's turn, then return what ``check`` returns.

        Raises:
            TooManyWaitError: too many checks wait, of this client or of all.
        """
        if client not in self._queues and len(self._queues) >= _MOST_CLIENTS:
            raise TooManyWaitError
        queue = self._queues.setdefault(client, _ClientQueue())
        if queue.waiting >= _MOST_OF_A_CLIENT:
            raise TooManyWaitError
        queue.waiting += 1
        try:
            async with queue.turn:
                return await asyncio.get_running_loop().run_in_executor(self._worker, check)
        finally:
            queue.waiting -= 1
            if not queue.waiting:
                del self._queues[client]

    def close(self) -> None:
        """Start no more checks; do not wait for the running one."""
        self._worker.shutdown(wait=False, cancel_futures=True)
