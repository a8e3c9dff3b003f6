"""What commands write on a terminal, and what they do not write into a pipe."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exporter import PROGRAM
from exporter.cli import full_parser
from exporter.simulator import Fault, FaultKind, Package, SimulatedCluster, Simulator
from exporter.simulator.exporter_configuration import exporter_config, write_secret
from support.plans import plan, run_command
from support.terminals import in_terminal

BAD = "max_concurrent_polls: many\ncolour: red\ncluster_files: [more.json]\n"
COMMANDS = ("run", "check-config", "check-web-config", "plan", "import-harvest", "health", "simulate", "demo")
HOSTILE = "9.1\x1b[2J\x9b2J\x07[red]x[/red]\u202e"
WRITTEN = r"9.1\x1b[2J\x9b2J\x07[red]x[/red]\u202e"
SHOWING_VERSIONS = (["plan", "--save=plan.json"], ["plan", "--output=json"], ["run", "--once"])
CLEANUP = """
cleanup:
  policies:
    - {name: retire-old, every: 24h, older_than: 90d, max_deletes_per_run: 1, seen_for: 0s}
"""

LATER = "its turn comes later: max_deletes_per_run is 1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bad.yaml").write_text(BAD)
    (tmp_path / "more.json").write_text('[\n{"address": 5}\n]\n')
    return tmp_path


def aged(version: str, days: int) -> Package:
    return Package(version, datetime.now(UTC) - timedelta(days=days, hours=1))


def fleet() -> list[SimulatedCluster]:
    """Simulate two clusters with packages, one that is empty, and one that refuses."""
    refusing = SimulatedCluster("d", faults=[Fault(FaultKind.FORBIDDEN)])
    packages = [("9.10.1", 500), ("9.11.1", 400), ("9.15.1", 5), ("9.16.1", 4)]
    return [
        SimulatedCluster("a", packages=[aged(*one) for one in packages]),
        SimulatedCluster("b", packages=[aged("9.14.1P2-with-a-name-that-is-very-long", 500)]),
        SimulatedCluster("c"),
        refusing,
    ]


async def test_mistakes_are_coloured_on_a_terminal(folder: Path) -> None:
    shown = await in_terminal("check-config", "bad.yaml", cwd=folder)
    assert shown.returncode == 1
    assert shown.colours
    assert shown.text.splitlines() == [
        "bad.yaml:1: max_concurrent_polls: a whole number is expected, not text",
        "bad.yaml:2: colour: unknown key",
        "more.json:2: [0].address: text is expected, not a number; put quotation marks around it",
        "ontap-packages-exporter: error: 3 errors in 2 files",
    ]


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
async def test_colours_are_left_out_where_they_are_not_wanted(environ: dict[str, str], folder: Path) -> None:
    for arguments in (["check-config", "bad.yaml"], ["plan", "--help"]):
        shown = await in_terminal(*arguments, cwd=folder, environ=environ)
        assert "\x1b" not in shown.raw


def test_a_pipe_gets_no_colours_even_if_they_are_forced(folder: Path) -> None:
    environ = {
        **os.environ,
        "FORCE_COLOR": "1",
        "CLICOLOR_FORCE": "1",
        "TTY_COMPATIBLE": "1",
        "COLUMNS": "40",
    }
    for arguments in (["check-config", "bad.yaml"], ["check-confg"], ["--help"]):
        command = [sys.executable, "-m", "exporter", *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, env=environ)
        assert "\x1b" not in done.stdout + done.stderr


def test_every_command_has_help_that_fits_and_examples_that_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    parser = full_parser()
    for command in ("", *COMMANDS):
        text = run_command(*([command] if command else []), "--help").stdout
        assert max(map(len, text.splitlines())) <= 80
        _, _, below = text.partition("\nexamples:\n")
        examples = [line.removeprefix(f"  {PROGRAM}").strip() for line in below.splitlines()]
        assert 2 <= len(examples) <= 4
        for example in examples:
            arguments = shlex.split(example.partition(" > ")[0])
            parser.parse_args(arguments if arguments[0][0] != "-" else ["run", *arguments])


async def test_help_is_coloured_on_a_terminal_and_says_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = await in_terminal("plan", "--help", cwd=folder)
    assert shown.colours
    monkeypatch.setenv("COLUMNS", "80")
    assert shown.text == run_command("plan", "--help").stdout


async def test_a_fleet_is_summed_up_before_its_packages(tmp_path: Path) -> None:
    async with Simulator(fleet(), directory=tmp_path) as simulator:
        done = await plan(simulator, tmp_path, cleanup=CLEANUP)
        assert done.returncode == 1
        summary, packages, total = (part.splitlines() for part in done.stdout.split("\n\n"))
        assert [line.split()[0] for line in summary] == ["CLUSTER", "d", "a", "b", "c"]
        assert summary[1].split()[4:8] == ["-"] * 4
        assert "KEEP ALL: the listing could not be read: HTTP 403" in summary[1]
        assert summary[2].split()[4:] == ["4", "1", "2", "1"]
        assert summary[4].split(maxsplit=8)[4:] == ["0", "0", "0", "0", "the repository is empty"]
        assert [line.split(maxsplit=4)[4] for line in packages[1:]] == [
            "9.10.1                                  500 d  delete   older than 90 d",
            f"9.11.1                                  400 d  keep     {LATER}",
            "2 packages                              -      keep     not older than 90 d: 9.15.1, 9.16.1",
            "9.14.1P2-with-a-name-that-is-very-long  500 d  delete   older than 90 d",
        ]
        assert total == ["4 clusters: 2 packages would be deleted, 2 kept, 1 waiting; 1 problem"]
        verbose = await plan(simulator, tmp_path, "--verbose", cleanup=CLEANUP)
        assert "  2 packages " not in verbose.stdout
        assert all(f"  {version}  " in verbose.stdout for version in ("9.15.1", "9.16.1"))


async def test_a_fleet_fits_on_a_terminal_and_no_version_is_cut(tmp_path: Path) -> None:
    async with Simulator(fleet(), directory=tmp_path) as simulator:
        config = exporter_config(simulator, extra=CLEANUP)
        write_secret(tmp_path / "config.yaml", config)
        shown = await in_terminal("plan", cwd=tmp_path)
        piped = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "exporter", "plan"],
            check=False,
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
    assert shown.returncode == piped.returncode == 1
    assert "reading clusters" in shown.text
    assert piped.stderr == ""
    after = shown.text[shown.text.index("d  retire-old (dry run)  KEEP ALL") :]
    assert max(len(line) for line in after.splitlines() if "could not be read" not in line) <= 80
    assert re.search(r"^a +retire-old \(dry run\) +4 +1 +2 +1$", after, re.MULTILINE)
    for line in (
        "a  retire-old (dry run): 1 of 4 packages would be deleted",
        "  9.10.1                                  500 d  delete  older than 90 d",
        "  9.14.1P2-with-a-name-that-is-very-long  500 d  delete  older than 90 d",
    ):
        assert line in [written.rstrip() for written in after.splitlines()]
    assert after.splitlines()[-1] == piped.stdout.splitlines()[-1]


@pytest.mark.parametrize("columns", [40, 80])
async def test_a_long_version_is_folded_and_its_reason_is_whole(columns: int, tmp_path: Path) -> None:
    cluster = SimulatedCluster("c1", packages=[aged(f"9.1{'x' * 200}y", 500)])
    async with Simulator([cluster], directory=tmp_path) as simulator:
        write_secret(tmp_path / "config.yaml", exporter_config(simulator, extra=CLEANUP))
        shown = await in_terminal("plan", cwd=tmp_path, columns=columns)
    _, *lines = shown.text.splitlines()
    assert max(map(len, lines)) <= columns
    words = [word for line in lines for word in line.split()]
    of_version = [word for word in words if set(word) <= set("9.1xy")]
    assert "".join(of_version) == f"9.1{'x' * 200}y"
    rest = " ".join(word for word in words if word not in of_version)
    assert rest == "500 d keep the version is not safe in a URL"


async def test_a_cluster_cannot_write_control_characters_or_markup(tmp_path: Path) -> None:
    hostile = SimulatedCluster("c1", packages=[aged(HOSTILE, 500)])
    async with Simulator([hostile], directory=tmp_path) as simulator:
        write_secret(tmp_path / "config.yaml", exporter_config(simulator, extra=CLEANUP))
        shown = [await in_terminal(*arguments, cwd=tmp_path) for arguments in SHOWING_VERSIONS]
        hostile.remove_package(HOSTILE)
        shown.append(await in_terminal("plan", "--diff=plan.json", cwd=tmp_path))
    for one in shown:
        assert one.returncode == 0
        assert "[red]x[/red]" in one.text
        assert "\x1b[2J" not in one.raw
        assert not set("\x1b\x07\x9b\u202e") & set(one.text)
    assert all(WRITTEN in one.text for one in (shown[0], shown[-1]))


def test_output_that_cannot_be_written_is_an_error_of_one_line(folder: Path) -> None:
    write_secret(folder / "good.yaml", "clusters: [{address: 127.0.0.1}]\n")

    def run_in_shell(redirection: str, *arguments: str) -> tuple[int, str]:
        command = shlex.join([sys.executable, "-m", "exporter", *arguments])
        shell = ["bash", "-o", "pipefail", "-c", command + redirection]
        done = subprocess.run(shell, check=False, capture_output=True, text=True, cwd=folder)
        return done.returncode, done.stderr

    full = "ontap-packages-exporter: error: standard output: No space left on device\n"
    for arguments in (["check-config", "good.yaml"], ["--help"], ["plan", "--help"], ["--version"]):
        assert run_in_shell(" > /dev/full", *arguments) == (1, full)
        assert run_in_shell(" >&-", *arguments) == (0, "")


def test_nobody_who_reads_on_is_no_error(folder: Path) -> None:
    write_secret(folder / "good.yaml", "clusters: [{address: 127.0.0.1}]\n")
    command = [sys.executable, "-m", "exporter", "check-config", "good.yaml"]
    reading, writing = os.pipe()
    os.close(reading)  # as `head` does when it has enough
    done = subprocess.run(command, check=False, stdout=writing, stderr=subprocess.PIPE, cwd=folder)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")
