"""The files that `make release-files` writes say what the chart's values and the command line say now."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess

import pytest

from exporter import PROGRAM
from exporter.cli import full_parser
from release_files import CHART, COMPLETIONS, MAN_PAGE, chart_readme

REMEDY = "run `make release-files`"


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


@pytest.mark.parametrize("command", commands())
def test_bash_completes_every_flag(command: str) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    script = f"""
        source {COMPLETIONS / PROGRAM}
        COMP_WORDS=({PROGRAM} {command} --) COMP_CWORD=2
        _shtab_{PROGRAM.replace("-", "_")}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    completed = subprocess.run(
        [bash, "-c", script], check=True, capture_output=True, text=True
    ).stdout.split()
    long = {flag for flag in flags(commands()[command]) if flag.startswith("--")}
    assert set(completed) == long, REMEDY


@pytest.mark.parametrize("command", commands())
def test_zsh_completes_every_flag(command: str) -> None:
    text = (COMPLETIONS / f"_{PROGRAM}").read_text()
    variable = f"_shtab_{PROGRAM}_{command}_options=(".replace("-", "_")
    _, found, section = text.partition(variable)
    assert found, REMEDY
    completed = set(re.findall(r"--[a-z][\w.-]*(?=\[)", section.partition("\n)\n")[0]))
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
