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
import ipaddress
import resource
import socket
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from aiohttp import web

from exporter.simulator.state.simulated_cluster import DEFAULT_KEPT_REQUESTS, SimulatedCluster
from exporter.simulator.wire.simulated_certificates import Authority, ClientCertificate
from exporter.simulator.wire.simulated_connection import Connection, serve

FIRST_ADDRESS = "127.1.0.1"
CLOSE_SECONDS = 5.0
LAST_ADDRESS = "127.255.255.255"
"""The broadcast address of loopback, which nobody can listen on."""
BLOCK_SIZE = 25
"""How many neighbouring addresses share a certificate."""


class Simulator:
    """Simulated clusters, served while the context is entered.

    The clusters have addresses from `first_address` on, in their order, and all the same port; 0 finds a free
    one. Certificates are written into `directory`.

    Raises:
        ModuleNotFoundError: trustme is not installed.
    """

    _server: web.Server
    """Handles the connections to all clusters, once the context is entered."""

    def __init__(
        self,
        clusters: Iterable[SimulatedCluster] = (),
        *,
        directory: Path,
        first_address: str = FIRST_ADDRESS,
        port: int = 0,
        kept_requests: int = DEFAULT_KEPT_REQUESTS,
    ) -> None:
        self._first_clusters = tuple(clusters)
        self._authority = Authority(directory)
        self._first_address = first_address
        self._port = port
        self._kept_requests = kept_requests
        self._clusters: dict[str, SimulatedCluster] = {}
        self._listeners: dict[str, asyncio.Server] = {}
        """What accepts connections, by the cluster's name; a cluster that is down has none."""
        self._contexts: dict[tuple[object, ...], ssl.SSLContext] = {}
        self._handling: set[asyncio.Task[object]] = set()

    async def __aenter__(self) -> Self:
        """Serve the clusters.

        Raises:
            OSError: An address is taken, or is not in 127.0.0.0/8.
            ValueError: Two clusters have the same name.
        """
        self._server = web.Server(self._handle)
        _allow_open_files()
        try:
            for cluster in self._first_clusters:
                await self.add(cluster)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __getitem__(self, name: str) -> SimulatedCluster:
        return self._clusters[name]

    @property
    def clusters(self) -> tuple[SimulatedCluster, ...]:
        """The clusters, in the order in which they came."""
        return tuple(self._clusters.values())

    @property
    def ca_file(self) -> Path:
        """The certificate of the authority that signs all others, in PEM."""
        return self._authority.ca_file

    def issue_client_certificate(self, common_name: str) -> ClientCertificate:
        """Make a client's certificate, in PEM files beside `ca_file`; its common name is the account's."""
        return self._authority.issue_client(common_name)

    def listens(self, name: str) -> bool:
        """Say whether a cluster listens."""
        return name in self._listeners

    async def add(self, cluster: SimulatedCluster) -> SimulatedCluster:
        """Serve one more cluster.

        Raises:
            OSError: The address is taken, or is not in 127.0.0.0/8.
            ValueError: There is one of that name.
        """
        if cluster.name in self._clusters:
            raise ValueError(f"there is a simulated cluster {cluster.name!r} already")
        host = _address_after(self._first_address, len(self._clusters))
        self._port = self._port or _free_port(host)
        cluster.served_on(f"{host}:{self._port}", kept_requests=self._kept_requests)
        if cluster.reachable:
            await self._listen(cluster)
        self._clusters[cluster.name] = cluster
        return cluster

    async def stop(self, name: str) -> None:
        """Take a cluster down: its connections are reset and new ones refused, until it is started."""
        self[name].reachable = False
        if name in self._listeners:
            self._listeners.pop(name).close()
        await self.drop_connections(name)

    async def start(self, name: str) -> None:
        """Bring a cluster up again, on the same address.

        Raises:
            OSError: The address was taken meanwhile.
        """
        cluster = self[name]
        cluster.reachable = True
        if name not in self._listeners:
            await self._listen(cluster)

    async def drop_connections(self, name: str) -> None:
        """Reset every connection to a cluster, which goes on listening."""
        await self._reset({self[name]})

    async def close(self) -> None:
        """Serve no cluster any longer; requests that are being handled are dropped."""
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()
        await self._reset(set(self.clusters))
        for task in self._handling:
            task.cancel()
        await asyncio.gather(*self._handling, return_exceptions=True)
        await self._server.shutdown(CLOSE_SECONDS)

    async def _listen(self, cluster: SimulatedCluster) -> None:
        loop = asyncio.get_running_loop()
        host, _, port = cluster.address.partition(":")
        self._listeners[cluster.name] = await loop.create_server(
            functools.partial(Connection, self._server, cluster, loop),
            host,
            int(port),
            ssl=None if cluster.plain_http else self._context(cluster, host),
        )

    def _context(self, cluster: SimulatedCluster, host: str) -> ssl.SSLContext:
        first = ipaddress.IPv4Address(self._first_address)
        block = (int(ipaddress.IPv4Address(host)) - int(first)) // BLOCK_SIZE
        key = (block, cluster.require_client_certificate, cluster.maximum_tls)
        if key not in self._contexts:
            addresses = [str(first + block * BLOCK_SIZE + number) for number in range(BLOCK_SIZE)]
            self._contexts[key] = self._authority.server_context(
                self._authority.issue_server(addresses),
                require_client_certificate=cluster.require_client_certificate,
                maximum_tls=cluster.maximum_tls,
            )
        return self._contexts[key]

    async def _reset(self, clusters: set[SimulatedCluster]) -> None:
        """Reset every connection to some clusters, and wait until the connections are gone."""
        ended = [
            connection
            for connection in self._server.connections
            if isinstance(connection, Connection) and connection.cluster in clusters
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


def _address_after(first: str, number: int) -> str:
    address = ipaddress.IPv4Address(first) + number
    if not address.is_loopback or str(address) == LAST_ADDRESS:
        raise OSError(
            errno.EADDRNOTAVAIL, f"{address} is no loopback address: clusters are served on 127.0.0.0/8 alone"
        )
    return str(address)


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def _allow_open_files() -> None:
    """Raise the process's limit of open files as far as it may: a fleet needs several for each cluster."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
