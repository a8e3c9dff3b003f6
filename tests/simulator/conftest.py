"""A simulator with one cluster, and a client for it."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from exporter.simulator import SimulatedCluster, Simulator
from support.simulated_api import Client


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    cluster = SimulatedCluster(
        "ams-01",
        packages=[
            ("9.12.1", "2022-02-04T19:00:00+00:00"),
            ("9.13.1", "2023-06-01T10:00:00+02:00"),
            ("9.13.1P4", "2023-09-11T08:30:00+00:00"),
            ("9.14.1", "2024-01-15T12:00:00+00:00"),
            ("9.14.1P2", "2024-03-20T09:15:00+00:00"),
        ],
        job_seconds=0.0,
    )
    async with Simulator([cluster], directory=tmp_path) as simulator:
        yield simulator


@pytest.fixture
def cluster(simulator: Simulator) -> SimulatedCluster:
    return simulator["ams-01"]


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[Client]:
    context = ssl.create_default_context(cafile=str(simulator.ca_file))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield Client(session)
