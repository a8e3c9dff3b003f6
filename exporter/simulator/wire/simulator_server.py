"""Serves simulated clusters over HTTPS, each on a loopback address of its own, all in one event loop.

```python
async with Simulator([SimulatedCluster("ams-01", packages=["9.13.1"])], directory=tmp_path) as simulator:
    simulator["ams-01"].address  # "127.1.0.1:43210"
    simulator.ca_file            # signs the certificates of all of them
```
"""

import asyncio
import contextlib
import functools
import ipaddress
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from aiohttp import web

from exporter.simulator.state.simulated_cluster import DEFAULT_KEPT_REQUESTS, SimulatedCluster
from exporter.simulator.wire.loopback_sockets import (
    address_after,
    allow_open_files,
    bound,
    listening_together,
)
from exporter.simulator.wire.simulated_certificates import Authority, ClientCertificate
from exporter.simulator.wire.simulated_connection import Connection, serve

FIRST_ADDRESS = "127.1.0.1"
CLOSE_SECONDS = 5.0
BLOCK_SIZE = 25
"""How many neighbouring addresses share a certificate."""


@dataclass(slots=True, kw_only=True)
class _Served:
    """A cluster and its address."""

    cluster: SimulatedCluster
    number: int
    """How many addresses after the first it has its own."""
    sock: socket.socket
    """Holds its address: listening once the cluster is served, merely bound while it is down."""
    listener: asyncio.Server | None = None
    """Accepts connections; None while it is down."""


class Simulator:
    """Simulated clusters, served while the context is entered.

    Args:
        clusters: The clusters, served on addresses in their order.
        directory: Where certificates are written.
        first_address: The address of the first cluster; the others follow it.
        port: The port of all of them; 0 finds a free one.
        kept_requests: How many requests the log of every cluster keeps.

    Raises:
        ModuleNotFoundError: trustme is not installed.
        ValueError: Two clusters have the same name, or the first address is not in 127.0.0.0/8.
    """

    def __init__(
        self,
        clusters: Iterable[SimulatedCluster] = (),
        *,
        directory: Path,
        first_address: str = FIRST_ADDRESS,
        port: int = 0,
        kept_requests: int = DEFAULT_KEPT_REQUESTS,
    ) -> None:
        if not ipaddress.IPv4Address(first_address).is_loopback:
            raise ValueError(f"{first_address} is no loopback address: clusters are served on those alone")
        self._first_clusters = tuple(clusters)
        if len({cluster.name for cluster in self._first_clusters}) < len(self._first_clusters):
            raise ValueError("two simulated clusters have the same name")
        self._authority = Authority(directory)
        self._first_address = first_address
        self._addresses_given = 0
        self._port = port
        self._kept_requests = kept_requests
        self._served: dict[str, _Served] = {}
        self._contexts: dict[tuple[object, ...], ssl.SSLContext] = {}
        self._handling: set[asyncio.Task[object]] = set()
        self._server: web.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = web.Server(self._handle)
        allow_open_files()
        numbers = range(len(self._first_clusters))
        hosts = (address_after(self._first_address, number) for number in numbers)
        for cluster, sock in zip(self._first_clusters, listening_together(hosts, self._port), strict=True):
            self._register(cluster, sock)
        try:
            for served in self._served.values():
                if served.cluster.reachable:
                    await self._listen(served)
                else:
                    _take_down(served)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __getitem__(self, name: str) -> SimulatedCluster:
        return self._served[name].cluster

    @property
    def clusters(self) -> tuple[SimulatedCluster, ...]:
        """The clusters, in the order in which they came."""
        return tuple(served.cluster for served in self._served.values())

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
        return self._served[name].listener is not None

    async def add(self, cluster: SimulatedCluster) -> SimulatedCluster:
        """Serve one more cluster.

        Raises:
            ValueError: There is one of that name.
            OSError: No address is free.
        """
        if cluster.name in self._served:
            raise ValueError(f"there is a simulated cluster {cluster.name!r} already")
        host = address_after(self._first_address, self._addresses_given)
        try:
            sock = bound(host, self._port)
        except OSError:
            sock = bound(host, 0)
        served = self._register(cluster, sock)
        if cluster.reachable:
            await self._listen(served)
        return cluster

    async def stop(self, name: str) -> None:
        """Take a cluster down: its connections are reset and new ones refused, until it is started.

        Raises:
            KeyError: There is none of that name.
        """
        served = self._served[name]
        served.cluster.reachable = False
        _take_down(served)
        await self.drop_connections(name)

    async def start(self, name: str) -> None:
        """Bring a cluster up again, on the same address.

        Raises:
            KeyError: There is none of that name.
        """
        served = self._served[name]
        served.cluster.reachable = True
        await self._listen(served)

    async def drop_connections(self, name: str) -> None:
        """Reset every connection to a cluster, which goes on listening.

        Raises:
            KeyError: There is none of that name.
        """
        await self._reset((self._served[name].cluster,))

    async def close(self) -> None:
        """Serve no cluster any longer; requests that are being handled are dropped."""
        for served in self._served.values():
            _close(served)
        await self._reset(self.clusters)
        for task in self._handling:
            task.cancel()
        await asyncio.gather(*self._handling, return_exceptions=True)
        if self._server is not None:
            await self._server.shutdown(CLOSE_SECONDS)

    def _register(self, cluster: SimulatedCluster, sock: socket.socket) -> _Served:
        host, port = sock.getsockname()
        self._port = self._port or port
        cluster.served_on(f"{host}:{port}", kept_requests=self._kept_requests)
        served = _Served(cluster=cluster, number=self._addresses_given, sock=sock)
        self._addresses_given += 1
        self._served[cluster.name] = served
        return served

    async def _listen(self, served: _Served) -> None:
        if served.listener is not None:
            return
        loop = asyncio.get_running_loop()
        if self._server is None:
            raise RuntimeError("the simulator is not entered")
        served.listener = await loop.create_server(
            functools.partial(Connection, self._server, served.cluster, loop),
            sock=served.sock,
            ssl=self._context(served),
        )

    def _context(self, served: _Served) -> ssl.SSLContext | None:
        cluster = served.cluster
        if cluster.plain_http:
            return None
        block = served.number // BLOCK_SIZE
        key = (block, cluster.require_client_certificate, cluster.maximum_tls)
        if key not in self._contexts:
            first = ipaddress.IPv4Address(self._first_address) + block * BLOCK_SIZE
            self._contexts[key] = self._authority.server_context(
                self._authority.issue_server([str(first + number) for number in range(BLOCK_SIZE)]),
                require_client_certificate=cluster.require_client_certificate,
                maximum_tls=cluster.maximum_tls,
            )
        return self._contexts[key]

    async def _reset(self, clusters: Iterable[SimulatedCluster]) -> None:
        """Reset every connection to some clusters, and wait until the connections are gone."""
        wanted = {id(cluster) for cluster in clusters}
        present = self._server.connections if self._server is not None else []
        ended = [
            connection
            for connection in present
            if isinstance(connection, Connection) and id(connection.cluster) in wanted
        ]
        for connection in ended:
            connection.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                for connection in ended:
                    await connection.gone.wait()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        if task is not None:
            self._handling.add(task)
            task.add_done_callback(self._handling.discard)
        return await serve(request)


def _take_down(served: _Served) -> None:
    """Let the address of a cluster refuse connections."""
    host, _, port = served.cluster.address.partition(":")
    _close(served)
    # A socket that has listened once goes on accepting: only a new one refuses.
    served.sock = bound(host, int(port))


def _close(served: _Served) -> None:
    if served.listener is not None:
        served.listener.close()
        served.listener = None
    served.sock.close()
