"""The `simulate` command: serves a fleet, and writes the configuration with which the exporter polls it."""

import argparse
import asyncio
import contextlib
import ipaddress
import shlex
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from exporter.simulator.control_interface import control_served
from exporter.simulator.exporter_configuration import exporter_config, write_secret
from exporter.simulator.ready_made_fleets import demo_fleet, generated_fleet
from exporter.simulator.state.simulated_cluster import SimulatedCluster
from exporter.simulator.wire.simulator_server import FIRST_ADDRESS, Simulator

DEFAULT_CLUSTERS = 12
DEFAULT_PACKAGES = 20
KEPT_REQUESTS = 100
"""How many requests of every cluster are kept: a fleet may run for days."""
MOST = 100_000
"""The largest number of clusters, and of packages of each: more would fill the memory before they fail."""
MOST_PORT = 65535


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument(
        "--clusters",
        type=_count,
        default=DEFAULT_CLUSTERS,
        metavar="N",
        help="how many clusters (default: %(default)s)",
    )
    parser.add_argument(
        "--packages",
        type=_count,
        default=DEFAULT_PACKAGES,
        metavar="N",
        help="packages in every repository (default: %(default)s)",
    )
    parser.add_argument(
        "--demo-fleet",
        action="store_true",
        help="a dozen clusters of different kinds, instead of --clusters with --packages",
    )
    parser.add_argument(
        "--first-address",
        type=_loopback,
        default=FIRST_ADDRESS,
        metavar="ADDRESS",
        help="the first cluster's; the others follow (default: %(default)s)",
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=0,
        help="the port of every cluster; 0 finds a free one (default: %(default)s)",
    )
    parser.add_argument("--username", default="monitor", help="of every cluster (default: %(default)s)")
    parser.add_argument("--password", default="simulated", help="of every cluster (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of what is random (default: %(default)s)")
    parser.add_argument(
        "--directory",
        type=Path,
        metavar="DIR",
        help="where ca.pem and config.yaml are written (default: a temporary folder, removed at the end)",
    )
    parser.add_argument(
        "--control-address",
        type=_control_address,
        metavar="HOST:PORT",
        help="serve the control of the clusters over plain HTTP on this loopback address",
    )


async def serve(
    arguments: argparse.Namespace, *, stop: asyncio.Event, say: Callable[[Mapping[str, str]], object]
) -> None:
    """Serve the fleet that the flags describe until `stop` is set.

    `say` takes what is served and how to use it, by a word for each.

    Raises:
        ModuleNotFoundError: trustme is not installed.
        OSError: An address is taken, or the directory cannot be written.
    """
    async with contextlib.AsyncExitStack() as stack:
        directory = arguments.directory or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="ontap-packages-simulator-"))
        )
        simulator = Simulator(
            _fleet(arguments),
            directory=directory,
            first_address=arguments.first_address,
            port=arguments.port,
            kept_requests=KEPT_REQUESTS,
        )
        await stack.enter_async_context(simulator)
        config_file = directory / "config.yaml"
        write_secret(config_file, exporter_config(simulator))
        served = {"clusters": str(len(simulator.clusters))}
        if simulator.clusters:
            served["clusters"] += f", from https://{simulator.clusters[0].address} on"
        served["poll"] = f"ontap-packages-exporter --config.file={shlex.quote(str(config_file))}"
        served["open"] = "http://localhost:10910/, while they are polled"
        if arguments.control_address is not None:
            host, port = arguments.control_address
            url = await stack.enter_async_context(control_served(simulator, host=host, port=port))
            served["control"] = f"{url}/clusters"
        say(served)
        await stop.wait()


def _fleet(arguments: argparse.Namespace) -> tuple[SimulatedCluster, ...]:
    now = datetime.now(UTC)
    if arguments.demo_fleet:
        fleet = demo_fleet(now)
    else:
        fleet = generated_fleet(arguments.clusters, arguments.packages, arguments.seed, now)
    for cluster in fleet:
        cluster.username, cluster.password = arguments.username, arguments.password
    return fleet


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    if len(text) > len(str(MOST)) or int(text) > MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is too many; at most {MOST}")
    return int(text)


def _port(text: str) -> int:
    port = _count(text)
    if port > MOST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: ports go up to {MOST_PORT}")
    return port


def _loopback(text: str) -> str:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no IPv4 address") from error
    if not address.is_loopback:
        raise argparse.ArgumentTypeError(f"{text!r} is no loopback address")
    return text


def _control_address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return ("127.0.0.1" if host in ("", "localhost") else _loopback(host)), _port(port)
