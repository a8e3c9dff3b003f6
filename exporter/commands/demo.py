"""The ``demo`` command: a small simulated fleet, and a daemon that polls and cleans it, in one process."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from exporter import terminal
from exporter.app import daemon
from exporter.config import ConfigFiles
from exporter.simulator import Simulator
from exporter.simulator.exporter_configuration import exporter_config, write_secret
from exporter.simulator.fleet_activity import FleetActivity
from exporter.simulator.ready_made_fleets import demo_fleet

POLL_INTERVAL = "15s"
CHANGING = ("ams-", "fra-prod-02", "nyc-prod-01")
"""How the names of those clusters begin where packages arrive and something fails now and then."""
CLEANUP = """\
cleanup:
  policies:
    - name: retire-old
      clusters: {names: ["ams-*", "fra-*"]}
      every: 2m
      keep_newest: 2
      older_than: 180d
      max_deletes_per_run: 1
      dry_run: false
      seen_for: 0s
    - name: plan-only
      clusters: {names: ["nyc-*", "sin-*", "syd-*"]}
      schedule: "*/5 * * * *"
      older_than: 1y
"""


async def run(settings: daemon.DaemonSettings, *, stop: asyncio.Event) -> None:
    """Simulate, poll and serve until ``stop`` is set.

    Raises:
        OSError: an address cannot be listened on.
        ModuleNotFoundError: the library that makes the certificates is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="ontap-packages-demo-") as name:
        directory = Path(name)
        async with Simulator(demo_fleet(datetime.now(UTC)), directory=directory) as simulator:
            file = directory / "config.yaml"
            write_secret(file, exporter_config(simulator, poll_interval=POLL_INTERVAL, extra=CLEANUP))
            files = ConfigFiles(file, environ={})
            settings = replace(
                settings,
                announce=partial(_say_what_to_open, len(simulator.clusters), settings.telemetry_path),
            )
            activity = FleetActivity(
                cluster for cluster in simulator.clusters if cluster.name.startswith(CHANGING)
            )
            going_on = asyncio.create_task(activity.run(), name="demo activity")
            try:
                await daemon.run(files, files.load(), settings, stop=stop)
            finally:
                going_on.cancel()
                await asyncio.wait([going_on])


def _say_what_to_open(clusters: int, telemetry_path: str, url: str) -> None:
    terminal.write_facts(
        "The demo runs.",
        {
            "open": url,
            "see": f"{clusters} simulated clusters, polled every {POLL_INTERVAL}: packages arrive,\n"
            "become old and are deleted, updates run, and something fails now and then",
            "metrics": f"{url.rstrip('/')}{telemetry_path}",
            "stop": "Ctrl+C; nothing is left behind",
        },
    )
