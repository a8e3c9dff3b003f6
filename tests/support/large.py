"""A large fleet, and threads that count what they are given to do."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from exporter.ontap.requests.inventory import Inventory
from exporter.ontap.requests.listing import Listing, Package
from exporter.polling.board import ClusterStatus, Poll
from support.stub_sources import NOW

Client = TestClient[Request, Application]
P = ParamSpec("P")
T = TypeVar("T")
CLUSTERS = 1500


class CountingExecutor(Executor):
    """Threads that count what they are given to do."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2)
        self.submitted = 0

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Count, and pass on."""
        self.submitted += 1
        return self._threads.submit(fn, *args, **kwargs)


def status(number: int) -> ClusterStatus:
    """Return one cluster of the fleet, with twenty packages."""
    packages = tuple(
        Package(version=f"9.{index}.1", create_timestamp_seconds=NOW - 86_400 * index - number)
        for index in range(20)
    )
    inventory = Inventory(
        listing=Listing(packages=packages, unnamed=0, pages=1), identity=None, versions_in_use=frozenset()
    )
    poll = Poll(ended_timestamp_seconds=NOW, duration_seconds=0.5, failure=None)
    return ClusterStatus(
        name=f"cluster-{number}", address="https://10.20.0.5:443", labels=(), stale_after_seconds=900
    ).after_success(poll, inventory)
