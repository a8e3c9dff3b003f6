"""A fair queue of password checks: one at a time, one client after the other.

bcrypt is slow on purpose. A client with many wrong passwords delays only itself: before another client's
password, at most one password of each waiting client is checked.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

Check = Callable[[], bool]

_MOST_OF_A_CLIENT: Final = 8
_MOST_CLIENTS: Final = 256


class TooManyWaitError(Exception):
    """Too many passwords wait to be checked; the client may try again."""


class FairQueue:
    """Runs checks in one thread, each client in its turn."""

    def __init__(self) -> None:
        # The end of the program waits for the executor's thread. It would abort if a daemon thread came back
        # from bcrypt, which is no Python code, meanwhile.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="password")
        self._waiting: Counter[str] = Counter()
        """How many checks of each client wait."""
        self._turns: dict[str, asyncio.Lock] = {}
        """Of each waiting client; only its first check is in the worker's queue."""

    async def run(self, client: str, check: Check) -> bool:
        """Wait for this client's turn, then return what ``check`` returns.

        Raises:
            TooManyWaitError: too many checks wait, of this client or of all.
        """
        is_too_many = client not in self._turns and len(self._turns) >= _MOST_CLIENTS
        if is_too_many or self._waiting[client] >= _MOST_OF_A_CLIENT:
            raise TooManyWaitError
        turn = self._turns.setdefault(client, asyncio.Lock())
        self._waiting[client] += 1
        try:
            async with turn:
                return await asyncio.get_running_loop().run_in_executor(self._worker, check)
        finally:
            self._waiting[client] -= 1
            if not self._waiting[client]:
                del self._waiting[client], self._turns[client]

    def close(self) -> None:
        """Start no more checks; do not wait for the running one."""
        self._worker.shutdown(wait=False, cancel_futures=True)
