"""The files that `make release-files` writes say what the chart's values and the command line say now."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from exporter import PROGRAM
from exporter.cli import full_parser
from release_files import CHART, COMPLETIONS, MAN_PAGE, chart_readme

REMEDY = "run `make release-files`"
ZSH = PROGRAM.replace("-", "_")
ZSH_FLAG = r"--[a-z][\w.-]*(?=\[)"


def commands() -> dict[str, argparse.ArgumentParser]:
    (subparsers,) = (
        action for action in full_parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    return dict(subparsers.choices)


def flags(parser: argparse.ArgumentParser) -> set[str]:
    return {flag for action in parser._actions for flag in action.option_strings}


def test_the_chart_s_readme_has_every_value() -> None:
    readme = (CHART / "README.md").read_text()
    assert readme == chart_readme(readme, (CHART / "values.yaml").read_text()), REMEDY


def completed_by_bash(*words: str, folder: Path | None = None) -> set[str]:
    """Return what bash offers for the last word behind the program's name."""
    bash = shutil.which("bash")
    assert bash is not None
    script = f"""
        source {COMPLETIONS / PROGRAM}
        COMP_WORDS=({PROGRAM} "$@") COMP_CWORD=$#
        _shtab_{PROGRAM.replace("-", "_")}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    offered = subprocess.run(
        [bash, "-c", script, "bash", *words], cwd=folder, check=True, capture_output=True, text=True
    )
    return set(offered.stdout.split())


@pytest.mark.parametrize("command", commands())
def test_bash_completes_every_flag(command: str) -> None:
    long = {flag for flag in flags(commands()[command]) if flag.startswith("--")}
    assert completed_by_bash(command, "--") == long, REMEDY


def test_without_a_command_the_shells_complete_the_flags_of_run() -> None:
    offered = completed_by_bash("--")
    assert offered == {flag for flag in flags(commands()["run"]) if flag.startswith("--")} | {"--version"}
    _, _, section = (COMPLETIONS / f"_{PROGRAM}").read_text().partition(f"_shtab_{ZSH}_options=(")
    assert set(re.findall(ZSH_FLAG, section.partition("\n)\n")[0])) == offered - {"--help"}, REMEDY


def test_the_shells_complete_the_files_that_a_command_reads(tmp_path: Path) -> None:
    (tmp_path / "harvest.yml").touch()
    assert completed_by_bash("import-harvest", "har", folder=tmp_path) == {"harvest.yml"}, REMEDY
    zsh = (COMPLETIONS / f"_{PROGRAM}").read_text()
    for command, parser in commands().items():
        _, _, section = zsh.partition(f"_shtab_{ZSH}_{command.replace('-', '_')}_options=(")
        asked = section.partition("\n)\n")[0].splitlines()
        files = [action for action in parser._actions if action.type is Path and action.metavar != "DIR"]
        assert sum(line.endswith(':_files"') for line in asked) >= len(files), command


@pytest.mark.parametrize("command", commands())
def test_zsh_completes_every_flag(command: str) -> None:
    text = (COMPLETIONS / f"_{PROGRAM}").read_text()
    variable = f"_shtab_{ZSH}_{command}_options=(".replace("-", "_")
    _, found, section = text.partition(variable)
    assert found, REMEDY
    completed = set(re.findall(ZSH_FLAG, section.partition("\n)\n")[0]))
    assert completed == flags(commands()[command]) - {"-h", "--help"}, REMEDY


def test_the_man_page_has_every_command_and_flag() -> None:
    text = MAN_PAGE.read_text().replace("\\-", "-")
    for command, parser in commands().items():
        _, found, section = text.partition(f".SS \\fB{PROGRAM} {command}\\fR")
        assert found, REMEDY
        section = section.partition(f".SS \\fB{PROGRAM} ")[0]
        shown = set(re.findall(r"\\fB(--[\w.-]+)\\fR", section))
        assert shown == flags(parser) - {"-h", "--help"}, REMEDY
    assert text.startswith(".TH ONTAP-PACKAGES-EXPORTER")
