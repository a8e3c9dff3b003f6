"""Whose password is checked next: one check at a time, and every client has its turn.

bcrypt is slow on purpose. Who sends many wrong passwords waits for them alone: another client's password is
checked after at most one of each client that waits.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

Check = Callable[[], bool]

_MOST_OF_A_CLIENT: Final = 8
_MOST_CLIENTS: Final = 256
_NICENESS: Final = 5
_CLIENT_BITS: Final = 64


class TooManyWaitError(Exception):
    """So many passwords wait to be checked that this one cannot; the client may try again."""


class Turns:
    """Runs checks in a thread of its own, which gives way to the rest of the program."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="password", initializer=_give_way)
        self._waiting: dict[str, deque[tuple[Check, asyncio.Future[bool]]]] = {}
        self._running: asyncio.Future[bool] | None = None

    async def take(self, client: str, check: Check) -> bool:
        """Wait for this client's turn, then return what ``check`` says.

        Raises:
            TooManyWaitError: too many checks wait, of this client or of all.
        """
        if client not in self._waiting and len(self._waiting) >= _MOST_CLIENTS:
            raise TooManyWaitError
        own = self._waiting.get(client, ())
        if len(own) >= _MOST_OF_A_CLIENT:
            raise TooManyWaitError
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append((check, answer))
        self._next()
        return await answer

    def close(self) -> None:
        """Check no more; what is being checked is not waited for."""
        self._waiting.clear()
        if self._running is not None:
            self._running.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _next(self) -> None:
        """Start the oldest check of the client that has waited longest, unless one is going on."""
        while self._waiting and self._running is None:
            client, checks = next(iter(self._waiting.items()))
            check, answer = checks.popleft()
            del self._waiting[client]
            if checks:
                self._waiting[client] = checks  # now behind all the others
            if answer.cancelled():
                continue
            self._running = asyncio.get_running_loop().run_in_executor(self._thread, check)
            self._running.add_done_callback(partial(self._end, answer))

    def _end(self, answer: asyncio.Future[bool], done: asyncio.Future[bool]) -> None:
        self._running = None
        if done.cancelled():
            answer.cancel()
        elif not answer.done():
            if (error := done.exception()) is not None:
                answer.set_exception(error)
            else:
                answer.set_result(done.result())
        self._next()


def client_of(address: str | None) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        parsed = ip_address((address or "").partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(IPv6Network((parsed, _CLIENT_BITS), strict=False))
    return str(parsed)


def _give_way() -> None:
    """Let everything else of the program run first: on Linux, niceness is a thread's own."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
