"""A daemon with nothing to do sleeps."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from exporter.simulator import SimulatedCluster, Simulator
from support.daemon_process import program

MEASURED_SECONDS = 10.0
MOST_WAKE_UPS_A_SECOND = 2.0


def wake_ups(pid: int) -> int:
    """Return how often the threads of a process have gone to sleep so far."""
    statuses = "".join(file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/status"))
    return sum(map(int, re.findall(r"^voluntary_ctxt_switches:\s*(\d+)$", statuses, re.MULTILINE)))


async def test_a_daemon_between_polls_hardly_wakes(tmp_path: Path) -> None:
    async with Simulator([SimulatedCluster("c1")], directory=tmp_path) as simulator:
        cluster = simulator["c1"]
        config = tmp_path / "config.yaml"
        config.write_text(
            f"defaults:\n  poll_interval: 30d\n  tls_config: {{ca_file: {simulator.ca_file}}}\n"
            f"clusters: [{{name: c1, address: '{cluster.address}'}}]\n"
        )
        async with program("run", f"--config.file={config}", "--web.listen-address=127.0.0.1:0") as daemon:
            await daemon.until_ready()
            before = wake_ups(daemon.process.pid)
            await asyncio.sleep(MEASURED_SECONDS)  # nothing happens, which is what is measured
            woken = wake_ups(daemon.process.pid) - before
            assert woken <= MOST_WAKE_UPS_A_SECOND * MEASURED_SECONDS
            assert await daemon.stop() == 0
