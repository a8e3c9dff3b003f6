"""Limits how many polls run at once, and more strictly those of clusters that did not answer last time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from exporter.concurrency import ConcurrencyLimit

FIRST_POLL_SECONDS = 0.005
"""The pause between the first polls of two clusters, so that they do not all start at once."""


class PollLimiter:
    """Limits how many polls run at once.

    A cluster that does not answer holds its slot until poll_timeout. All clusters that did not answer last
    time share half of the slots, so that the other clusters never wait for them.
    """

    def __init__(self, count: int) -> None:
        self._next_first_poll = float("-inf")
        self._all = ConcurrencyLimit(count)
        self._for_silent = ConcurrencyLimit(max(count // 2, 1))

    def limit(self, count: int) -> None:
        """Change how many polls may run at once."""
        self._all.change(count)
        self._for_silent.change(max(count // 2, 1))

    def first_poll_due(self, now: float) -> float:
        """Return when the next new cluster may be polled for the first time."""
        due = max(self._next_first_poll, now)
        self._next_first_poll = due + FIRST_POLL_SECONDS
        return due

    @asynccontextmanager
    async def slot(self, *, silent: bool) -> AsyncIterator[None]:
        """Hold a slot for as long as the context lasts.

        A cluster is silent if its last poll ended at its deadline.
        """
        async with self._for_silent if silent else nullcontext(), self._all:
            yield
