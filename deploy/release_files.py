"""Writes the chart's README from its values, and shell completion and the man page from the parser.

`make release-files` runs it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import yaml

from exporter import PROGRAM
from exporter.cli import full_parser
from exporter.commands import flags

ROOT = Path(__file__).parents[1]
CHART = ROOT / "deploy" / "helm" / "ontap-packages-exporter"
COMPLETIONS = ROOT / "deploy" / "completions"
MAN_PAGE = ROOT / "deploy" / "man" / f"{PROGRAM}.1"
_TABLE = "| value | default | meaning |\n| --- | --- | --- |\n"


def main() -> None:
    """Write all of them."""
    readme = CHART / "README.md"
    readme.write_text(chart_readme(readme.read_text(), (CHART / "values.yaml").read_text()))
    for shell, file in (("bash", PROGRAM), ("zsh", f"_{PROGRAM}")):
        (COMPLETIONS / file).write_text(completion(shell))
    MAN_PAGE.write_text(man_page())


def chart_readme(readme: str, values: str) -> str:
    """Return the chart's README with the table of values made anew.

    Raises:
        ValueError: the README has no such table.
    """
    head, found, _ = readme.partition(_TABLE)
    if not found:
        raise ValueError("the README has lost its table of values")
    return head + _TABLE + "".join(_rows(values))


def completion(shell: str) -> str:
    """Return the completion for `bash` or `zsh` of all commands and flags; without a command, of `run`."""
    import shtab  # noqa: PLC0415 - only releases need it

    parser = full_parser()
    flags.for_run(parser)
    for action in _actions(parser):
        if action.metavar in {"FILE", "HARVEST_YML"}:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar == "DIR":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    text: str = shtab.complete(parser, shell=shell)
    return text


def man_page() -> str:
    """Return the man page of all commands."""
    from argparse_manpage.manpage import Manpage  # noqa: PLC0415 - only releases need it

    page = Manpage(full_parser(), format="single-commands-section")
    page.description = "Prometheus exporter for the package repositories of ONTAP clusters"
    page.manual = "User Commands"
    page.date = ""  # that of the build would make two builds differ
    return str(page)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:  # noqa: SLF001 - as shtab does
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for below in action.choices.values():
                yield from _actions(below)


def _rows(values: str) -> Iterator[str]:
    lines = values.splitlines()
    for path, key, value in _keys(yaml.compose(values), ()):
        meaning = " ".join(_comment_above(lines, key.start_mark.line)).replace("|", "\\|")
        parent = isinstance(value, yaml.MappingNode) and bool(value.value)
        if not parent or meaning:
            default = "" if parent else f"`{json.dumps(yaml.safe_load(yaml.serialize(value)))}`"
            yield f"| `{'.'.join(path)}` | {default} | {meaning} |\n"


def _keys(
    node: yaml.Node | None, above: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            path = (*above, key.value)
            yield path, key, value
            yield from _keys(value, path)


def _comment_above(lines: list[str], line: int) -> list[str]:
    comment: list[str] = []
    for text in reversed(lines[:line]):
        if not text.lstrip().startswith("#"):
            break
        comment.insert(0, text.lstrip().lstrip("#").strip())
    return comment


if __name__ == "__main__":
    main()
