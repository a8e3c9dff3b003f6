"""The pollers of all clusters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from exporter.background import in_slices
from exporter.ontap.access import ClusterAccess
from exporter.polling.board import Board
from exporter.polling.limiter import PollLimiter
from exporter.polling.poller import Poller


class Fleet:
    """Keeps a named task for every cluster."""

    def __init__(self, *, group: asyncio.TaskGroup, board: Board) -> None:
        self._group = group
        self._board = board
        self._limiter = PollLimiter(1)
        self._pollers: dict[str, Poller] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._begun = asyncio.Event()

    def begin(self) -> None:
        """Let polls begin; until then, the start of the program has the processor to itself."""
        self._begun.set()

    async def poll(self, accesses: Mapping[str, ClusterAccess], *, max_concurrent_polls: int) -> None:
        """Poll these clusters from now on, and no other.

        A cluster whose access is the same object as before keeps its poller, which then uses the labels and
        times of the new configuration. A cluster with a new access gets a new poller. The new poller starts
        with the status that is known, unless the address has changed, and polls as soon as the limiter
        allows, once polls may :meth:`begin`. In between, other tasks run.
        """
        self._limiter.limit(max_concurrent_polls)
        gone = [name for name in self._pollers if name not in accesses]
        for name in gone:
            self._pollers.pop(name).stop()
        self._board.keep(accesses)
        async for name in in_slices(gone):
            self._tasks.pop(name).cancel()
        async for name, access in in_slices(accesses.items()):
            earlier = self._pollers.get(name)
            if earlier is not None and earlier.access is access:
                earlier.apply_configuration()
                continue
            if earlier is not None:
                earlier.stop()
                self._tasks[name].cancel()
            poller = Poller(access=access, board=self._board, limiter=self._limiter, wall_clock=time.time)
            self._pollers[name] = poller
            self._tasks[name] = self._group.create_task(self._run(poller), name=f"poll {name}")
        self._board.keep(accesses)

    def stop(self) -> None:
        """Cancel every poller; the task group waits for them."""
        for poller in self._pollers.values():
            poller.stop()
        for task in self._tasks.values():
            task.cancel()

    async def _run(self, poller: Poller) -> None:
        await self._begun.wait()
        await poller.run()
