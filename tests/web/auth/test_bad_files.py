"""One small bad web configuration for every mistake, and beside it the whole message."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.config import ConfigError
from exporter.web.auth import load_web_config
from support.bad_files import BadFiles

_BAD = BadFiles(Path(__file__).parent / "bad", lambda path: load_web_config(path, environ={}))


@pytest.mark.parametrize("name", _BAD.names)
def test_every_mistake_of_a_bad_file_is_reported_without_a_secret(name: str) -> None:
    _BAD.check(name)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "web.yaml"
    with pytest.raises(ConfigError) as caught:
        load_web_config(path, environ={})
    assert str(caught.value) == f"{path}: cannot be read: No such file or directory"
