"""Serving simulated clusters: addresses, connections, coming and going."""

import asyncio
import errno
import ssl
from pathlib import Path

import aiohttp
import pytest

from exporter.simulator import SimulatedClock, SimulatedCluster, Simulator
from support.simulated_api import Client


async def test_every_cluster_has_its_own_address_and_the_same_port(tmp_path: Path) -> None:
    clusters = [SimulatedCluster(f"c{number}") for number in range(3)]
    async with Simulator(clusters, directory=tmp_path, first_address="127.7.0.255") as simulator:
        hosts, ports = zip(*(cluster.address.split(":") for cluster in simulator.clusters), strict=True)
        assert hosts == ("127.7.0.255", "127.7.1.0", "127.7.1.1")
        assert len(set(ports)) == 1
        assert len(simulator.clusters) == 3
        assert simulator.clusters == tuple(clusters)


async def test_a_port_can_be_asked_for(tmp_path: Path) -> None:
    async with Simulator([SimulatedCluster("a")], directory=tmp_path / "a") as simulator:
        port = int(simulator["a"].address.split(":")[1])
        other = Simulator(
            [SimulatedCluster("b")], directory=tmp_path / "b", port=port, first_address="127.8.0.1"
        )
        async with other:
            assert other["b"].address == f"127.8.0.1:{port}"
        taken = Simulator([SimulatedCluster("c")], directory=tmp_path / "c", port=port)
        with pytest.raises(OSError, match="in use"):
            await taken.__aenter__()


async def test_a_thousand_clusters_are_served_at_once(tmp_path: Path) -> None:
    clusters = [SimulatedCluster(f"c{number}", packages=["9.1"]) for number in range(1000)]
    async with Simulator(clusters, directory=tmp_path) as simulator:
        context = ssl.create_default_context(cafile=str(simulator.ca_file))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
            client = Client(session)
            for cluster in (clusters[0], clusters[499], clusters[-1]):
                assert (await client.ask(cluster, "/api/cluster")).json["name"] == cluster.name


async def test_connections_are_kept_and_numbered(client: Client, cluster: SimulatedCluster) -> None:
    got = [await client.ask(cluster, "/api/cluster") for _ in range(3)]
    assert got[-1].headers["Keep-Alive"] == "timeout=5, max=97"
    assert (cluster.connections_opened, cluster.open_connections) == (1, 1)


async def test_a_connection_is_closed_after_so_many_requests(
    client: Client, cluster: SimulatedCluster
) -> None:
    cluster.keepalive_requests = 1
    for _ in range(2):
        got = await client.ask(cluster, "/api/cluster")
        assert got.headers["Connection"] == "close"
    assert [request.connection for request in cluster.requests] == [1, 2]


async def test_an_idle_connection_is_dropped(cluster: SimulatedCluster, simulator: Simulator) -> None:
    cluster.keepalive_seconds = 0.05
    host, port = cluster.address.split(":")
    context = ssl.create_default_context(cafile=str(simulator.ca_file))
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_a_stopped_cluster_refuses_until_it_is_started(
    client: Client, cluster: SimulatedCluster, simulator: Simulator
) -> None:
    address = cluster.address
    assert (await client.ask(cluster, "/api/cluster")).status == 200
    await simulator.stop("ams-01")
    assert cluster.open_connections == 0
    assert not simulator.listens("ams-01")
    with pytest.raises(aiohttp.ClientConnectorError) as refused:
        await client.ask(cluster, "/api/cluster")
    assert refused.value.errno == errno.ECONNREFUSED
    await simulator.start("ams-01")
    assert cluster.address == address
    assert (await client.ask(cluster, "/api/cluster")).status == 200


async def test_a_cluster_may_be_unreachable_from_the_beginning(tmp_path: Path) -> None:
    async with Simulator([SimulatedCluster("a", reachable=False)], directory=tmp_path) as simulator:
        assert not simulator.listens("a")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*simulator["a"].address.split(":"))


async def test_a_cluster_can_be_added(client: Client, simulator: Simulator) -> None:
    added = await simulator.add(SimulatedCluster("ams-02"))
    assert (await client.ask(added, "/api/cluster")).json["name"] == "ams-02"
    assert simulator["ams-02"] is added
    with pytest.raises(ValueError, match="ams-02"):
        await simulator.add(SimulatedCluster("ams-02"))


async def test_connections_can_be_dropped_while_the_cluster_listens(
    client: Client, cluster: SimulatedCluster, simulator: Simulator
) -> None:
    await client.ask(cluster, "/api/cluster")
    await simulator.drop_connections("ams-01")
    assert cluster.open_connections == 0
    assert (await client.ask(cluster, "/api/cluster")).status == 200
    assert cluster.connections_opened == 2


async def test_requests_can_be_waited_for(client: Client, cluster: SimulatedCluster) -> None:
    waiting = asyncio.create_task(cluster.wait_for_requests(2, path="/api/cluster/n"))
    for path in ("/api/cluster", "/api/cluster/nodes", "/api/cluster/software", "/api/cluster/nodes"):
        await client.ask(cluster, path)
    assert [request.path for request in await waiting] == ["/api/cluster/nodes"] * 2
    assert len(cluster.requests_to("/api/cluster/nodes", method="GET")) == 2
    with pytest.raises(TimeoutError, match="9 requests"):
        await cluster.wait_for_requests(9, timeout_seconds=0.01)
    with pytest.raises(TimeoutError, match="1 deletions on ams-01"):
        await cluster.wait_for_deletions(timeout_seconds=0.01)


async def test_the_log_keeps_the_newest_requests(tmp_path: Path) -> None:
    cluster = SimulatedCluster("a", plain_http=True)
    async with (
        Simulator([cluster], directory=tmp_path, kept_requests=2),
        aiohttp.ClientSession() as session,
    ):
        for number in range(3):
            await Client(session).ask(cluster, f"/{number}")
        assert [request.path for request in cluster.requests] == ["/1", "/2"]
        assert cluster.requests_received == 3


async def test_names_are_unique(tmp_path: Path) -> None:
    simulator = Simulator([SimulatedCluster("a"), SimulatedCluster("a")], directory=tmp_path)
    with pytest.raises(ValueError, match="'a' already"):
        await simulator.__aenter__()


async def test_addresses_are_of_loopback(tmp_path: Path) -> None:
    clusters = [SimulatedCluster("a")]
    with pytest.raises(OSError, match="no loopback"):
        await Simulator(clusters, directory=tmp_path, first_address="10.0.0.1").__aenter__()
    async with Simulator(clusters, directory=tmp_path, first_address="127.255.255.254") as simulator:
        with pytest.raises(OSError, match="no loopback"):
            await simulator.add(SimulatedCluster("b"))


async def test_a_clock_sleeps_as_fast_as_it_runs() -> None:
    fast = SimulatedClock(speed=10_000)
    await fast.sleep(100)
    assert fast.seconds() >= 100
    still = SimulatedClock(speed=0)
    sleeping = asyncio.create_task(still.sleep(60))
    async with asyncio.timeout(60):
        while not sleeping.done():
            still.advance(1)
            await asyncio.wait([sleeping], timeout=0.001)
    assert still.seconds() >= 60
