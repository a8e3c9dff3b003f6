"""Loads the configurations of the commands, and writes what is wrong with them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from exporter import PROGRAM, terminal

if TYPE_CHECKING:
    from exporter.config import Config, Problem
    from exporter.web.auth import WebConfig

T = TypeVar("T")


def load(path: Path) -> Config | None:
    """Load a configuration; if it has mistakes, write all of them and return None."""
    from exporter.config import load_config  # noqa: PLC0415 - loads the YAML library

    return read(lambda: load_config(path, environ=os.environ))


def load_web(path: Path) -> WebConfig | None:
    """Load a web configuration; if it has mistakes, write all of them and return None."""
    from exporter.web.auth import load_web_config  # noqa: PLC0415 - loads the HTTP libraries

    return read(lambda: load_web_config(path, environ=os.environ))


def read(load: Callable[[], T]) -> T | None:
    """Load something; if it has mistakes, write all of them and return None."""
    from exporter.config import ConfigError  # noqa: PLC0415 - loads the YAML library

    try:
        return load()
    except ConfigError as exc:
        terminal.write_problems(exc.problems)
        return None


def advise_without_configuration(parsed: argparse.Namespace) -> None:
    """Say what to do where there is no configuration."""
    if not os.path.exists(parsed.config_file):  # noqa: PTH110 - Path.exists may raise
        terminal.hint(f"to try the exporter without a configuration: {PROGRAM} demo")
        terminal.hint(f"to name one: --config.file=FILE; more: {parsed.parser.prog} --help")


def write_valid(file: Path, warnings: Iterable[Problem], summary: str) -> None:
    """Write the warnings about a file without mistakes, and what is in it."""
    for warning in warnings:
        terminal.warn(str(warning), to=sys.stdout)
    terminal.write((str(file), "bold"), ": ", ("valid", "green"), f", {summary}")
