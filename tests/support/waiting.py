"""Waits for another process by asking it repeatedly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSE_SECONDS = 0.05


async def eventually(ask: Callable[[], Awaitable[T]], *, seconds: float, what: str) -> T:
    """Ask until the answer is true, and return it.

    Raises:
        TimeoutError: it never was within the seconds; names what was waited for.
    """
    try:
        async with asyncio.timeout(seconds):
            while not (answer := await ask()):  # noqa: ASYNC110 - no event crosses a process
                await asyncio.sleep(_PAUSE_SECONDS)
            return answer
    except TimeoutError as exc:
        raise TimeoutError(f"waited {seconds} s for {what}") from exc


async def let_others_run() -> None:
    """Give every other task some turns."""
    for _ in range(10):
        await asyncio.sleep(0)
