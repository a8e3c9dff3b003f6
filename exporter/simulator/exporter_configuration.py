"""The exporter's configuration for simulated clusters, as YAML text.

Strings are written as JSON does, which YAML reads as well.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from exporter.simulator.state.simulated_cluster import SimulatedCluster
from exporter.simulator.wire.simulator_server import Simulator

_SECRET_MODE = 0o600


def exporter_config(
    simulator: Simulator,
    *,
    poll_interval: str = "15s",
    poll_timeout: str | None = None,
    extra: str = "",
) -> str:
    """The configuration with which the exporter polls every cluster of a simulator.

    Args:
        simulator: It must be serving.
        poll_interval: As the configuration writes durations.
        poll_timeout: Likewise; None leaves the default.
        extra: Further YAML at the end, such as a `cleanup` section.
    """
    clusters = simulator.clusters
    common = _common_credentials(clusters)
    lines = ["defaults:", f"  poll_interval: {poll_interval}"]
    if poll_timeout is not None:
        lines.append(f"  poll_timeout: {poll_timeout}")
    lines.append(f"  basic_auth: {_credentials(*common)}")
    lines.append(f"  tls_config: {_flow({'ca_file': str(simulator.ca_file.resolve())})}")
    if any(cluster.plain_http for cluster in clusters):
        lines.append("  allow_http: true")
    lines.append("clusters:" if clusters else "clusters: []")
    for cluster in clusters:
        lines += _entry(cluster, common)
    return "\n".join(lines) + "\n" + extra


def write_secret(path: Path, text: str) -> None:
    """Write a file that its owner alone may read, whatever was there before."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _SECRET_MODE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _common_credentials(clusters: Iterable[SimulatedCluster]) -> tuple[str, str]:
    """The credentials of most clusters."""
    counted = Counter((cluster.username, cluster.password) for cluster in clusters)
    return counted.most_common(1)[0][0] if counted else ("monitor", "simulated")


def _entry(cluster: SimulatedCluster, common: tuple[str, str]) -> list[str]:
    address = cluster.url if cluster.plain_http else cluster.address
    lines = [f"  - name: {json.dumps(cluster.name)}", f"    address: {json.dumps(address)}"]
    credentials = (cluster.username, cluster.password)
    if credentials != common:
        lines.append(f"    basic_auth: {_credentials(*credentials)}")
    if cluster.labels:
        lines.append(f"    labels: {_flow(cluster.labels)}")
    return lines


def _credentials(username: str, password: str) -> str:
    return _flow({"username": username, "password": password})


def _flow(mapping: dict[str, str]) -> str:
    # `$` begins a variable of the environment in the exporter's configuration.
    pairs = (f"{name}: {json.dumps(value.replace('$', '$$'))}" for name, value in mapping.items())
    return "{" + ", ".join(pairs) + "}"
