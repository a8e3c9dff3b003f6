"""Signals work from the start of the program, before it listens or has read its configuration."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

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
        await daemon.until_line("the kill switch is on")
        await daemon.until_line("the configuration was reloaded")
        assert await daemon.value("ontap_cleanup_halted") == 1
        assert await daemon.stop() == 0


_SIGNAL_ITSELF = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "exporter.cli":
            os.kill(os.getpid(), getattr(signal, os.environ["EARLY_SIGNAL"]))

sys.meta_path.insert(0, Finder())
"""


def signalled(folder: Path, number: signal.Signals) -> dict[str, str]:
    """Return the environment in which a program sends itself a signal when it begins to load itself."""
    (folder / "sitecustomize.py").write_text(_SIGNAL_ITSELF)
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), "EARLY_SIGNAL": number.name}


async def test_a_signal_that_comes_while_the_program_is_loaded_is_applied_once_the_daemon_runs(
    tmp_path: Path,
) -> None:
    file = tmp_path / "config.yaml"
    write_secret(file, CONFIG)
    environ = signalled(tmp_path, signal.SIGUSR1)
    async with program("run", f"--config.file={file}", LISTEN, environ=environ) as daemon:
        await daemon.until_line("the kill switch is on")
        assert await daemon.value("ontap_cleanup_halted") == 1


@pytest.mark.parametrize(
    ("number", "command", "code"),
    [
        *((signal.SIGTERM, command, 0) for command in ("run", "demo")),
        *((signal.SIGINT, command, 0) for command in ("run", "demo")),
        *((number, "check-config", -number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)),
        (signal.SIGINT, "check-config", 1),
        (signal.SIGINT, "run --once", 1),
        (signal.SIGTERM, "run --once", -signal.SIGTERM),
    ],
)
async def test_a_signal_that_comes_while_the_program_is_loaded_ends_it_in_order(
    number: signal.Signals, command: str, code: int, tmp_path: Path
) -> None:
    """A command that is no daemon is ended by any signal, as any other program."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "exporter", *command.split()),
        *([str(tmp_path / "config.yaml")] if command == "check-config" else [LISTEN]),
        env={**os.environ, **signalled(tmp_path, number)},
        stderr=asyncio.subprocess.PIPE,
        cwd=tmp_path,
    )
    async with asyncio.timeout(START_SECONDS):
        _, said = await process.communicate()
    assert (process.returncode, said) == (code, b"")


async def test_the_kill_switch_is_on_when_both_of_its_signals_came_during_the_start(
    tmp_path: Path,
) -> None:
    """Nobody can say which of them came last."""
    file = tmp_path / "config.yaml"
    write_secret(file, CONFIG)
    early = (signal.SIGUSR1, signal.SIGUSR2)
    async with program("run", f"--config.file={file}", LISTEN, signals_while_starting=early) as daemon:
        await daemon.until_line("the kill switch is off")
        await daemon.until_line("the kill switch is on")
        assert await daemon.value("ontap_cleanup_halted") == 1
