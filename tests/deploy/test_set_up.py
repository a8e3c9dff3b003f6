"""Set-up by `make` says what it does, and installs and starts nothing on the system."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

ROOT = Path(__file__).parents[2]
INSTALLS = re.compile(
    r"\b(?:sudo|systemctl|service|initctl|update-rc\.d)\b|\b(?:apt|apt-get|dpkg)\b.*\s(?:-i|install)\b"
)
RECORDER = """#!/bin/sh
echo "$(basename "$0") $*" >>"$RECORD"
case "$*" in
    *--simulate*) echo 'Inst prometheus (2.42.0 Debian [amd64])'; echo 'Inst libpq5 (15.0 Debian [amd64])' ;;
    *" download "*) touch prometheus.deb libpq5.deb ;;
esac
"""


def recipe(*targets: str, folder: Path) -> str:
    """Return the commands that `make` would run where nothing is set up."""
    command = ["make", "--dry-run", f"VENV={folder}/venv", f"CACHE={folder}/cache", *targets]
    # What this very test run was started with must not count.
    environ = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=environ).stdout


@pytest.mark.parametrize("target", ["run", "test"])
def test_nothing_is_installed_on_the_system_or_started_there(target: str, tmp_path: Path) -> None:
    found = recipe(target, folder=tmp_path)
    assert "pip install" in found
    assert [line for line in found.splitlines() if INSTALLS.search(line)] == []


@pytest.mark.parametrize("target", ["run", "test"])
def test_each_step_that_takes_long_is_said_before_it_begins(target: str, tmp_path: Path) -> None:
    lines = recipe(target, folder=tmp_path).splitlines()
    for number, line in enumerate(lines):
        if re.search(
            r"\.ci/(?:make-venv|unpack-debian-packages)|install --quiet --require-hashes|/pytest ", line
        ):
            assert lines[number - 1].startswith("echo "), line


def test_without_servers_nothing_is_unpacked(tmp_path: Path) -> None:
    assert "unpack-debian-packages" in recipe("test", folder=tmp_path)
    assert "unpack-debian-packages" not in recipe("test", "SERVERS=", folder=tmp_path)


def test_packages_are_downloaded_and_unpacked_with_lists_of_their_own(tmp_path: Path) -> None:
    programs, unpacked, record = (tmp_path / name for name in ("bin", "unpacked", "record"))
    programs.mkdir()
    for name in ("apt-get", "dpkg-deb"):
        (programs / name).write_text(RECORDER)
        (programs / name).chmod(0o755)
    environ = {"PATH": f"{programs}:{os.environ['PATH']}", "RECORD": str(record)}
    script = ROOT / ".ci" / "unpack-debian-packages"
    subprocess.run([script, unpacked, "prometheus"], check=True, env=environ)
    commands = record.read_text().splitlines()
    apt = [line for line in commands if line.startswith("apt-get ")]
    assert all(f"Dir::State::Lists={unpacked}/" in line and f"Dir::Cache={unpacked}/" in line for line in apt)
    assert [line.partition("List-Cleanup=false ")[2] for line in apt] == [
        "update",
        "--simulate --no-install-recommends --no-upgrade install prometheus",
        "download prometheus libpq5",
    ]
    assert [line for line in commands if line not in apt] == [
        f"dpkg-deb --extract ./{name}.deb {unpacked}" for name in ("libpq5", "prometheus")
    ]
