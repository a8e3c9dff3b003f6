"""Reading a configuration: the files, their shape, their meaning; every mistake of all three at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from exporter.config.discovery import ConfigFiles
from exporter.config.model import Config


def load_config(path: Path, *, environ: Mapping[str, str]) -> Config:
    """Read, check and resolve a configuration file and every file that it names.

    ``environ`` holds what ``${NAME}`` stands for.

    Raises:
        ConfigError: with every problem that could be found, whatever the files hold.
    """
    return ConfigFiles(path, environ=environ).load()
