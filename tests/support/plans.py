"""Runs a command line in the test's own process, the command ``plan`` above all.

A process of its own would take seconds to load the same libraries, for every test.
"""

from __future__ import annotations

import asyncio
import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from exporter.cli import main
from exporter.simulator import Simulator
from exporter.simulator.exporter_configuration import exporter_config, write_secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a command has written, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


async def plan(simulator: Simulator, directory: Path, *arguments: str, cleanup: str) -> Done:
    """Write a configuration with a cleanup section, and plan by it."""
    config = directory / "config.yaml"
    write_secret(config, exporter_config(simulator, poll_interval="1m", extra=cleanup))
    return await asyncio.to_thread(run_command, "plan", f"--config.file={config}", *arguments)


def run_command(*arguments: str) -> Done:
    """Run a command that ends by itself."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with redirect_stdout(stdout), redirect_stderr(stderr):
        try:
            returncode = main(arguments)
        except SystemExit as ended:
            returncode = int(ended.code or 0)
    return Done(returncode=returncode, stdout=stdout.getvalue(), stderr=stderr.getvalue())
