"""Serves simulated clusters over HTTPS, each on a loopback address of its own, all in one event loop.

```python
async with Simulator([SimulatedCluster("ams-01", packages=["9.13.1"])], directory=tmp_path) as simulator:
    simulator["ams-01"].address  # "127.1.0.1:43210"
    simulator.ca_file            # signs the certificates of all of them
```
"""

import asyncio
import contextlib
import errno
import functools
import itertools
import socket
import ssl
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from aiohttp import web

from exporter.simulator.state.simulated_clock import SimulatedClock
from exporter.simulator.state.simulated_cluster import DEFAULT_KEPT_REQUESTS, SimulatedCluster
from exporter.simulator.wire.loopback_sockets import (
    Listener,
    addresses_from,
    allow_open_files,
    bound,
    bound_together,
)
from exporter.simulator.wire.simulated_certificates import Authority, ClientCertificate
from exporter.simulator.wire.simulated_connection import Connection, serve

FIRST_ADDRESS = "127.1.0.1"
CLOSE_SECONDS = 5.0
BLOCK_SIZE = 25
"""How many neighbouring addresses share a certificate."""


@dataclass(slots=True)
class _Place:
    """Where a cluster is served: it listens, or its address is reserved while it is down.

    Its block is the addresses with which it shares a certificate.
    """

    cluster: SimulatedCluster
    host: str
    port: int
    block: tuple[str, ...]
    sock: socket.socket | None = None
    listener: Listener | None = None


class Simulator:
    """Simulated clusters, served while the context is entered.

    Args:
        clusters: The clusters, served on addresses in their order.
        directory: Where certificates are written.
        first_address: The address of the first cluster; the others follow it.
        port: The port of all of them; 0 finds a free one.
        clock: What they run on; real time by default.
        kept_requests: How many requests the log of every cluster keeps.

    Raises:
        ModuleNotFoundError: trustme is not installed.
        ValueError: Two clusters have the same name, or the first address is none of 127.0.0.0/8.
    """

    def __init__(
        self,
        clusters: Iterable[SimulatedCluster] = (),
        *,
        directory: Path,
        first_address: str = FIRST_ADDRESS,
        port: int = 0,
        clock: SimulatedClock | None = None,
        kept_requests: int = DEFAULT_KEPT_REQUESTS,
    ) -> None:
        self.clock = clock or SimulatedClock()
        self._first_clusters = tuple(clusters)
        self._authority = Authority(directory)
        self._hosts = addresses_from(first_address)
        self._port = port
        self._block: tuple[str, ...] = ()
        self._free_hosts: deque[str] = deque()
        self._kept_requests = kept_requests
        self._places: dict[str, _Place] = {}
        self._certificates: dict[tuple[str, ...], Path] = {}
        self._contexts: dict[tuple[object, ...], ssl.SSLContext] = {}
        self._handling: set[asyncio.Task[object]] = set()
        self._server: web.Server | None = None
        names = [cluster.name for cluster in self._first_clusters]
        if len(set(names)) < len(names):
            raise ValueError("two simulated clusters have the same name")

    async def __aenter__(self) -> Self:
        self._server = web.Server(self._handle)
        allow_open_files(len(self._first_clusters))
        hosts = [self._next_host() for _ in self._first_clusters]
        sockets = bound_together((host for host, _ in hosts), self._port)
        for cluster, (host, block), sock in zip(self._first_clusters, hosts, sockets, strict=True):
            self._place(cluster, host, block, sock)
        try:
            for place in tuple(self._places.values()):
                self._open(place)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __getitem__(self, name: str) -> SimulatedCluster:
        return self._places[name].cluster

    def __iter__(self) -> Iterator[SimulatedCluster]:
        return iter(self.clusters)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def clusters(self) -> tuple[SimulatedCluster, ...]:
        """The clusters, in the order in which they came."""
        return tuple(place.cluster for place in self._places.values())

    @property
    def ca_file(self) -> Path:
        """The certificate of the authority that signs all others, in PEM."""
        return self._authority.ca_file

    def issue_client_certificate(self, common_name: str) -> ClientCertificate:
        """Make a client's certificate, in PEM files beside `ca_file`; its common name is the account's."""
        return self._authority.issue_client(common_name)

    def listens(self, name: str) -> bool:
        """Whether a cluster listens.

        Raises:
            KeyError: There is none of that name.
        """
        return self._places[name].listener is not None

    async def add(self, cluster: SimulatedCluster) -> SimulatedCluster:
        """Serve one more cluster.

        Raises:
            ValueError: There is one of that name.
            OSError: No address is free.
        """
        if cluster.name in self._places:
            raise ValueError(f"there is a simulated cluster {cluster.name!r} already")
        allow_open_files(len(self._places) + 1)
        host, block = self._next_host()
        try:
            sock = bound(host, self._port)
        except OSError:
            sock = bound(host, 0)
        self._open(self._place(cluster, host, block, sock))
        return cluster

    async def remove(self, name: str) -> None:
        """Serve a cluster no longer.

        Raises:
            KeyError: There is none of that name.
        """
        place = self._places.pop(name)
        await self._shut([place])

    async def stop(self, name: str) -> None:
        """Take a cluster down: its connections are reset and new ones refused, until it is started.

        Raises:
            KeyError: There is none of that name.
        """
        place = self._places[name]
        place.cluster.reachable = False
        await self._shut([place])
        place.sock = bound(place.host, place.port)

    async def start(self, name: str) -> None:
        """Bring a cluster up again, on the same address.

        Raises:
            KeyError: There is none of that name.
        """
        place = self._places[name]
        place.cluster.reachable = True
        self._open(place)

    async def drop_connections(self, name: str) -> None:
        """Reset every connection to a cluster, which goes on listening.

        Raises:
            KeyError: There is none of that name.
        """
        await self._reset(self._connections([self._places[name].cluster]))

    async def close(self) -> None:
        """Serve no cluster any longer; requests that are being handled are dropped."""
        places = tuple(self._places.values())
        await self._shut(places)
        for task in self._handling:
            task.cancel()
        await asyncio.gather(*self._handling, return_exceptions=True)
        if self._server is not None:
            await self._server.shutdown(CLOSE_SECONDS)

    def _next_host(self) -> tuple[str, tuple[str, ...]]:
        """The next address, and the block that it belongs to."""
        if not self._free_hosts:
            self._block = tuple(itertools.islice(self._hosts, BLOCK_SIZE))
            self._free_hosts.extend(self._block)
        if not self._free_hosts:
            raise OSError(errno.EADDRNOTAVAIL, "the loopback addresses are used up")
        return self._free_hosts.popleft(), self._block

    def _place(
        self, cluster: SimulatedCluster, host: str, block: tuple[str, ...], sock: socket.socket
    ) -> _Place:
        port = sock.getsockname()[1]
        self._port = self._port or port
        cluster.served_on(f"{host}:{port}", clock=self.clock, kept_requests=self._kept_requests)
        place = _Place(cluster, host, port, block, sock)
        self._places[cluster.name] = place
        return place

    def _context(self, place: _Place) -> ssl.SSLContext | None:
        cluster = place.cluster
        if cluster.plain_http:
            return None
        key = (
            place.block,
            cluster.require_client_certificate,
            cluster.minimum_tls,
            cluster.maximum_tls,
        )
        if key not in self._contexts:
            if place.block not in self._certificates:
                self._certificates[place.block] = self._authority.issue_server(place.block)
            self._contexts[key] = self._authority.server_context(
                self._certificates[place.block],
                require_client_certificate=cluster.require_client_certificate,
                minimum_tls=cluster.minimum_tls,
                maximum_tls=cluster.maximum_tls,
            )
        return self._contexts[key]

    def _open(self, place: _Place) -> None:
        if place.listener is not None:
            return
        if not place.cluster.reachable:
            # A socket that listened once goes on accepting: only a new one refuses.
            self._release(place)
            place.sock = bound(place.host, place.port)
            return
        if self._server is None:
            raise RuntimeError("the simulator is not entered")
        loop = asyncio.get_running_loop()
        place.listener = Listener(
            place.sock or bound(place.host, place.port),
            protocol=functools.partial(Connection, self._server, place.cluster, loop),
            context=functools.partial(self._context, place),
        )
        place.sock = None

    async def _shut(self, places: Iterable[_Place]) -> None:
        shut = tuple(places)
        for place in shut:
            if place.listener is not None:
                await place.listener.close()
                place.listener = None
            self._release(place)
        await self._reset(self._connections([place.cluster for place in shut]))

    @staticmethod
    def _release(place: _Place) -> None:
        if place.sock is not None:
            place.sock.close()
            place.sock = None

    def _connections(self, clusters: Iterable[SimulatedCluster]) -> list[Connection]:
        wanted = {id(cluster) for cluster in clusters}
        present = self._server.connections if self._server is not None else []
        return [
            connection
            for connection in present
            if isinstance(connection, Connection) and id(connection.cluster) in wanted
        ]

    @staticmethod
    async def _reset(connections: Iterable[Connection]) -> None:
        doomed = tuple(connections)
        for connection in doomed:
            connection.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                for connection in doomed:
                    await connection.gone.wait()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        if task is not None:
            self._handling.add(task)
        try:
            return await serve(request)
        finally:
            if task is not None:
                self._handling.discard(task)
