"""Signals work from the start of the program, before it listens or has read its configuration."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from exporter.simulator.exporter_configuration import write_secret
from support.daemon_process import START_SECONDS, program

ROOT = Path(__file__).parents[2]
LISTEN = "--web.listen-address=127.0.0.1:0"
CONFIG = """
clusters: [{address: 127.0.0.1:1, basic_auth: {username: u, password: p}, name: c1}]
cleanup: {policies: [{name: retire-old, every: 24h, older_than: 90d, dry_run: false}]}
"""


async def test_signals_that_come_during_the_start_are_applied_once_the_daemon_runs(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    write_secret(file, CONFIG)
    early = (signal.SIGUSR1, signal.SIGHUP)
    async with program("run", f"--config.file={file}", LISTEN, signals_while_starting=early) as daemon:
        await daemon.until_line("cleanup is halted")
        await daemon.until_line("the configuration was reloaded")
        assert await daemon.value("ontap_cleanup_halted") == 1
        assert await daemon.stop() == 0


_SIGNAL_ITSELF = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "exporter.cli":
            os.kill(os.getpid(), signal.SIGUSR1)

sys.meta_path.insert(0, Finder())
"""
"""Sends the signal at the moment when the program begins to load itself."""


async def test_a_signal_that_comes_while_the_program_is_loaded_is_applied_once_the_daemon_runs(
    tmp_path: Path,
) -> None:
    file = tmp_path / "config.yaml"
    write_secret(file, CONFIG)
    (tmp_path / "sitecustomize.py").write_text(_SIGNAL_ITSELF)
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    async with program("run", f"--config.file={file}", LISTEN, environ={"PYTHONPATH": paths}) as daemon:
        await daemon.until_line("cleanup is halted")
        assert await daemon.value("ontap_cleanup_halted") == 1


async def test_a_command_that_is_no_daemon_is_ended_by_a_signal(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_SIGNAL_ITSELF)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "exporter", "check-config", str(tmp_path / "config.yaml")),
        env=environ,
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(START_SECONDS):
        assert await process.wait() == -signal.SIGUSR1


async def test_the_kill_switch_is_on_when_both_of_its_signals_came_during_the_start(
    tmp_path: Path,
) -> None:
    """Nobody can say which of them came last."""
    file = tmp_path / "config.yaml"
    write_secret(file, CONFIG)
    early = (signal.SIGUSR1, signal.SIGUSR2)
    async with program("run", f"--config.file={file}", LISTEN, signals_while_starting=early) as daemon:
        await daemon.until_line("cleanup is released")
        await daemon.until_line("cleanup is halted")
        assert await daemon.value("ontap_cleanup_halted") == 1
