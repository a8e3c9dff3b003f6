"""The clusters that the fake server answers for: their addresses, logins and configuration."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import python
from exporter.simulator.wire.simulated_certificates import SERVER_NAME

USERNAME = "monitor"
PASSWORD = "made-up"  # noqa: S105 - nobody checks it
PACKAGES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeFleet:
    """A fake server that runs.

    Attributes:
        directory: where its certificates are, and where a configuration may be written.
        port: of every cluster.
    """

    directory: Path
    port: int

    @property
    def ca_file(self) -> Path:
        """The authority that signed the server's certificate."""
        return self.directory / "ca.pem"

    def configuration(self, *, clusters: int, poll_interval_seconds: int) -> Path:
        """Write the exporter's configuration for some of the clusters.

        A poll has all the time until the next one: on a busy machine, it is late rather than failed.
        """
        entries = "".join(
            f"  - {{name: cluster-{number:05}, address: '{address(number)}:{self.port}'}}\n"
            for number in range(clusters)
        )
        path = self.directory / f"config-{clusters}.yaml"
        path.write_text(
            f"defaults:\n  poll_interval: {poll_interval_seconds}s\n"
            f"  poll_timeout: {min(poll_interval_seconds, 60)}s\n"
            f"  return_timeout: 0\n  basic_auth: {{username: {USERNAME}, password: {PASSWORD}}}\n"
            f"  tls_config: {{ca_file: '{self.ca_file}', server_name: {SERVER_NAME}}}\n"
            f"clusters:\n{entries}"
        )
        return path


@contextlib.contextmanager
def fake_fleet() -> Iterator[FakeFleet]:
    """Serve clusters for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="ontap-packages-benchmark-") as name:
        directory = Path(name)
        with python("benchmarks.fake_ontap", f"--directory={name}", f"--packages={PACKAGES}") as server:
            yield FakeFleet(directory=directory, port=int(server.line_with(r"^(\d+)$")))


def address(number: int) -> str:
    """Return the address of a cluster; those that end in 0 are addresses like any other on loopback."""
    return f"127.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
