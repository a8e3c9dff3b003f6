"""The `simulate` command, the fleets it serves, and the configuration it writes."""

import argparse
import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from exporter.simulator import SimulatedCluster, Simulator, UpdateState
from exporter.simulator.command import add_arguments, serve
from exporter.simulator.exporter_configuration import exporter_config, write_secret
from exporter.simulator.ready_made_fleets import (
    EMPTY,
    MIXED,
    REFUSING,
    SLOW,
    UNREACHABLE,
    UPDATING,
    demo_fleet,
    generated_fleet,
    released_versions,
)
from support.simulated_api import basic

NOW = datetime(2025, 11, 1, 12, tzinfo=UTC)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments)


@asynccontextmanager
async def simulating(*arguments: str) -> AsyncIterator[Mapping[str, str]]:
    stop = asyncio.Event()
    said: asyncio.Queue[Mapping[str, str]] = asyncio.Queue()
    task = asyncio.create_task(serve(parsed(arguments), stop=stop, say=said.put_nowait))
    saying = asyncio.create_task(said.get())
    async with asyncio.timeout(60):
        await asyncio.wait([task, saying], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            saying.cancel()
            await task
        yield await saying
        stop.set()
        await task


async def test_the_configuration_polls_every_cluster(tmp_path: Path) -> None:
    async with simulating(
        "--clusters=3", "--packages=4", f"--directory={tmp_path}", "--username=jan", "--password=p$a\"'ss"
    ) as said:
        config_file = tmp_path / "config.yaml"
        assert said["poll"] == f"ontap-packages-exporter --config.file={config_file}"
        assert config_file.stat().st_mode & 0o777 == 0o600
        config: Any = yaml.safe_load(config_file.read_text())
        assert config["defaults"] == {
            "poll_interval": "15s",
            "poll_timeout": "15s",
            "basic_auth": {"username": "jan", "password": "p$$a\"'ss"},
            "tls_config": {"ca_file": str(tmp_path / "ca.pem")},
        }
        context = ssl.create_default_context(cafile=config["defaults"]["tls_config"]["ca_file"])
        async with aiohttp.ClientSession() as session:
            for entry in config["clusters"]:
                async with session.get(
                    f"https://{entry['address']}/api/cluster/software/packages",
                    headers={"Authorization": basic("jan", "p$a\"'ss")},
                    ssl=context,
                ) as response:
                    assert len((await response.json())["records"]) == 4
                assert entry["name"].startswith(entry["labels"]["site"])
        assert len(config["clusters"]) == 3


async def test_the_folder_is_temporary_unless_it_is_given() -> None:
    async with simulating("--clusters=0") as said:
        assert said["clusters"] == "0"
        config_file = Path(said["poll"].rpartition("=")[2])
        assert await asyncio.to_thread(config_file.is_file)
    assert not await asyncio.to_thread(config_file.parent.exists)


async def test_the_first_address_is_said() -> None:
    async with simulating("--clusters=1") as said:
        assert said["clusters"].startswith("1, from https://127.1.0.1:")


async def test_the_demo_fleet_is_served_with_its_control() -> None:
    async with (
        simulating("--demo-fleet", "--control-address=localhost:0", "--password=other") as said,
        aiohttp.ClientSession() as session,
    ):
        async with session.get(said["control"]) as response:
            clusters = {one["name"]: one for one in (await response.json())["clusters"]}
        assert len(clusters) == 12
        assert [name for name, one in clusters.items() if not one["listens"]] == [UNREACHABLE]


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ("--clusters=-1", "'-1' is not a whole number"),
        (f"--clusters={'9' * 5000}", "is too many; at most 100000"),
        ("--packages=100001", "'100001' is too many; at most 100000"),
        ("--port=65536", "'65536' is not a port"),
        ("--first-address=10.0.0.1", "'10.0.0.1' is no loopback address"),
        ("--first-address=here", "'here' is no IPv4 address"),
        ("--control-address=8080", "'8080' is not HOST:PORT"),
        ("--control-address=0.0.0.0:80", "'0.0.0.0' is no loopback address"),
    ],
)
def test_bad_flags_are_refused(capsys: pytest.CaptureFixture[str], argument: str, error: str) -> None:
    with pytest.raises(SystemExit):
        parsed([argument])
    assert error in capsys.readouterr().err


async def test_the_configuration_has_only_what_differs_from_the_defaults(tmp_path: Path) -> None:
    clusters = [
        SimulatedCluster("a", labels={"site": 'a"b'}),
        SimulatedCluster("b", password="other"),
        SimulatedCluster("c", plain_http=True),
    ]
    async with Simulator(clusters, directory=tmp_path) as simulator:
        text = exporter_config(simulator, poll_interval="5s", poll_timeout="3s", extra="cleanup: {}\n")
        assert yaml.safe_load(text) == {
            "defaults": {
                "poll_interval": "5s",
                "poll_timeout": "3s",
                "basic_auth": {"username": "monitor", "password": "simulated"},
                "tls_config": {"ca_file": str(tmp_path / "ca.pem")},
                "allow_http": True,
            },
            "clusters": [
                {"name": "a", "address": clusters[0].address, "labels": {"site": 'a"b'}},
                {
                    "name": "b",
                    "address": clusters[1].address,
                    "basic_auth": {"username": "monitor", "password": "other"},
                },
                {"name": "c", "address": f"http://{clusters[2].address}"},
            ],
            "cleanup": {},
        }


def test_a_secret_file_is_readable_by_its_owner_alone_even_if_it_existed(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("old")
    path.chmod(0o644)
    write_secret(path, "new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_a_generated_fleet_is_the_same_for_a_seed() -> None:
    one, same, other = (generated_fleet(7, 30, seed, NOW) for seed in (1, 1, 2))
    assert [cluster.packages for cluster in one] == [cluster.packages for cluster in same]
    assert [cluster.packages for cluster in one] != [cluster.packages for cluster in other]
    for cluster in one:
        assert len(set(cluster.versions)) == 30
        assert cluster.version in cluster.versions
        times = [datetime.fromisoformat(str(package.record["create_time"])) for package in cluster.packages]
        assert all(time <= NOW for time in times)
    assert len({cluster.name for cluster in one}) == 7


def test_a_repository_may_hold_more_than_there_are_releases() -> None:
    (cluster,) = generated_fleet(1, 2000, 0, NOW)
    assert len(set(cluster.versions)) == 2000


def test_releases_come_in_order_and_none_from_the_future() -> None:
    versions = [version for version, _ in released_versions(NOW)]
    assert versions.index("9.14.1RC1") < versions.index("9.14.1") < versions.index("9.14.1P2")
    assert versions[:2] == ["9.8RC1", "9.8"]
    assert all(day <= NOW for _, day in released_versions(NOW))
    assert len(set(versions)) == len(versions)


def test_the_demo_fleet_shows_each_kind() -> None:
    fleet = {cluster.name: cluster for cluster in demo_fleet(NOW)}
    assert len(fleet) == 12
    assert {cluster.labels["site"] for cluster in fleet.values()} == {"ams", "fra", "nyc", "sin", "syd"}
    assert all(cluster.labels["tier"] for cluster in fleet.values())
    assert all(cluster.version in cluster.versions for cluster in fleet.values() if cluster.versions)
    assert [cluster.name for cluster in fleet.values() if not cluster.versions] == [EMPTY]
    assert not fleet[UNREACHABLE].reachable
    assert fleet[UPDATING].update_state == UpdateState.IN_PROGRESS
    assert fleet[UPDATING].pending_version in fleet[UPDATING].versions
    assert {node.version for node in fleet[MIXED].nodes} == {"9.14.1P2", "9.14.1P6"}
    assert [fault.kind for fault in fleet[SLOW].faults.active] == ["latency"]
    assert [fault.kind for fault in fleet[REFUSING].faults.active] == ["unauthorized"]
    ages = [
        (NOW - datetime.fromisoformat(str(package.record["create_time"]))).days
        for cluster in fleet.values()
        for package in cluster.packages
    ]
    assert min(ages) < 7
    assert max(ages) > 3 * 365


def test_without_trustme_the_error_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; sys.modules['trustme'] = None; from exporter.simulator import Simulator; "
        f"Simulator(directory=pathlib.Path({str(tmp_path)!r}))"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert ended.stderr.endswith("pip install trustme\n")
    assert ended.stderr.splitlines()[-1].startswith("ModuleNotFoundError: ")
