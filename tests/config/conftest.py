"""Configurations from text, for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.config import Config, load_config


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Config]:
    """Write a text to ``config.yaml`` and load it; variables are keyword arguments."""

    def load_text(text: str, **environ: str) -> Config:
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return load_config(path, environ=environ)

    return load_text
