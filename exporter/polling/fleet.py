"""The pollers of all clusters."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable

import aiohttp

from exporter.config import ClusterConfig
from exporter.ontap.client import OntapClient, RequestCounts
from exporter.ontap.tls import TlsContexts
from exporter.polling.board import Board
from exporter.polling.poller import Poller


class Fleet:
    """Starts a named task for every cluster and stops them.

    Args:
        session: shared by all clusters.
        board: takes the results.
        counts: where requests are counted.
        max_concurrent_polls: how many polls may run at once.
    """

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        board: Board,
        counts: RequestCounts,
        max_concurrent_polls: int,
    ) -> None:
        self._session = session
        self._board = board
        self._counts = counts
        self._contexts = TlsContexts()
        self._places = asyncio.Semaphore(max_concurrent_polls)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, group: asyncio.TaskGroup, clusters: Iterable[ClusterConfig]) -> None:
        """Start to poll the clusters; each is polled at once, as far as there are places."""
        for cluster in clusters:
            client = OntapClient(
                session=self._session,
                contexts=self._contexts,
                endpoint=cluster.endpoint,
                login=cluster.login,
                tls=cluster.tls,
                counts=self._counts,
                jitter=random.random,
            )
            poller = Poller(
                cluster=cluster,
                client=client,
                board=self._board,
                places=self._places,
                wall_clock=time.time,
            )
            self._tasks.append(group.create_task(poller.run(), name=f"poll {cluster.name}"))

    def stop(self) -> None:
        """Cancel every poller; the task group waits for them."""
        for task in self._tasks:
            task.cancel()
