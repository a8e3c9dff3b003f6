"""The exporter's configuration for simulated clusters, as YAML text.

The values below the top level are written as JSON, which is YAML too.
"""

import json
from pathlib import Path

from exporter.simulator.state.simulated_cluster import SimulatedCluster
from exporter.simulator.wire.simulator_server import Simulator

_SECRET_MODE = 0o600


def exporter_config(
    simulator: Simulator,
    *,
    poll_interval: str = "15s",
    poll_timeout: str = "15s",
    extra: str = "",
) -> str:
    """The configuration with which the exporter polls every cluster of a serving simulator.

    `extra` is further YAML at the end, such as a `cleanup` section.
    """
    clusters = simulator.clusters
    usual_login = _login(clusters[0]) if clusters else {"username": "monitor", "password": "simulated"}
    lines = ["defaults:", f"  poll_interval: {poll_interval}", f"  poll_timeout: {poll_timeout}"]
    lines.append(f"  basic_auth: {_json(usual_login)}")
    lines.append(f"  tls_config: {_json({'ca_file': str(simulator.ca_file.resolve())})}")
    if any(cluster.plain_http for cluster in clusters):
        lines.append("  allow_http: true")
    lines.append("clusters:" if clusters else "clusters: []")
    lines += [f"  - {_json(_entry(cluster, usual_login))}" for cluster in clusters]
    return "\n".join(lines) + "\n" + extra


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read; replace it if it exists."""
    path.unlink(missing_ok=True)
    path.touch(mode=_SECRET_MODE, exist_ok=False)
    path.write_text(text, encoding="utf-8")


def _entry(cluster: SimulatedCluster, usual_login: dict[str, str]) -> dict[str, object]:
    entry: dict[str, object] = {
        "name": cluster.name,
        "address": cluster.url if cluster.plain_http else cluster.address,
    }
    if _login(cluster) != usual_login:
        entry["basic_auth"] = _login(cluster)
    if cluster.labels:
        entry["labels"] = cluster.labels
    return entry


def _login(cluster: SimulatedCluster) -> dict[str, str]:
    return {"username": cluster.username, "password": cluster.password}


def _json(value: object) -> str:
    # `$` begins an environment variable in the exporter's configuration.
    return json.dumps(value).replace("$", "$$")
