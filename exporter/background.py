"""Work that may wait for something without end, in a thread that nobody has to wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def begin(work: Callable[[], T], *, name: str) -> asyncio.Future[T]:
    """Begin work in a thread of its own; the future gets what it returns or raises.

    Neither the event loop nor the end of the program waits for the thread, as they do for an executor's,
    whose few threads would also soon be taken up by work that hangs.

    Args:
        work: done once.
        name: the thread's.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    future.add_done_callback(_look)

    def deliver(settle: Callable[[], None]) -> None:
        if not future.done():
            settle()

    def run() -> None:
        try:
            result = work()
        except Exception as exc:  # noqa: BLE001 - it is raised again where the future is awaited
            error = exc

            def settle() -> None:
                future.set_exception(error)
        else:

            def settle() -> None:
                future.set_result(result)

        with suppress(RuntimeError):  # the event loop has been closed meanwhile
            loop.call_soon_threadsafe(deliver, settle)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


def _look(future: asyncio.Future[T]) -> None:
    """Look at the error of a future that nobody awaits any more: asyncio would complain of it."""
    if not future.cancelled():
        future.exception()
