"""``docs/reference.md`` names every path, every command and every flag of `run`, and no other."""

from __future__ import annotations

import argparse
import re

import yaml

from exporter.cli import full_parser
from support.markdown import ROOT, rows

PAGE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
_CODE = re.compile(r"`([^`]+)`")


def commands() -> dict[str, argparse.ArgumentParser]:
    (action,) = (
        action for action in full_parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    return dict(action.choices)


def named(column: str) -> list[str]:
    return [word.split()[0] for row in rows(PAGE, column) for word in _CODE.findall(row[column])]


def test_the_page_names_every_path() -> None:
    document = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text(encoding="utf-8"))
    served = {re.sub(r"\{\w+\}", "…", path) for path in document["paths"]}
    assert {re.sub(r"\b(?:NAME|ID)\b", "…", path.partition("?")[0]) for path in named("path")} == served


def test_the_page_names_every_command() -> None:
    assert sorted(set(named("command")) - {"help", "version"}) == sorted(commands())


def test_the_page_names_every_flag_of_run() -> None:
    flags = {flag for action in commands()["run"]._actions for flag in action.option_strings}
    assert sorted(named("flag")) == sorted(flags - {"-h", "--help"})


def test_every_row_is_complete() -> None:
    found = [row for table in ("path", "command", "flag") for row in rows(PAGE, table)]
    assert found
    assert all(cell for row in found for cell in row.values())
