"""The pollers of all clusters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from exporter.access import ClusterAccess
from exporter.polling.board import Board
from exporter.polling.places import Places
from exporter.polling.poller import Poller


class Fleet:
    """Starts a named task for every cluster and stops them.

    Args:
        board: takes the results.
        max_concurrent_polls: how many polls may run at once.
    """

    def __init__(self, *, board: Board, max_concurrent_polls: int) -> None:
        self._board = board
        self._places = Places(max_concurrent_polls)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, group: asyncio.TaskGroup, accesses: Iterable[ClusterAccess]) -> None:
        """Start to poll the clusters; each is polled at once, as far as there are places."""
        for access in accesses:
            poller = Poller(access=access, board=self._board, places=self._places, wall_clock=time.time)
            self._tasks.append(group.create_task(poller.run(), name=f"poll {access.name}"))

    def stop(self) -> None:
        """Cancel every poller; the task group waits for them."""
        for task in self._tasks:
            task.cancel()
