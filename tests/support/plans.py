"""Runs the ``plan`` command as an operator does, in a process of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from exporter.simulator import Simulator
from exporter.simulator.exporter_configuration import exporter_config, write_secret


async def plan(
    simulator: Simulator, directory: Path, *arguments: str, cleanup: str
) -> subprocess.CompletedProcess[str]:
    """Write a configuration with a cleanup section, and plan by it."""
    config = directory / "config.yaml"
    write_secret(config, exporter_config(simulator, poll_interval="1m", extra=cleanup))
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "exporter", "plan", f"--config.file={config}", *arguments],
        check=False,
        capture_output=True,
        text=True,
    )
