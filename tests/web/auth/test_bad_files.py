"""One small bad file for every mistake, and beside it the whole message."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.config import ConfigError
from exporter.web.auth import load_web_config

_FOLDER = Path(__file__).parent / "bad"
_FILES = sorted(_FOLDER.glob("*.yaml"))


def _messages(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_web_config(path, environ={})
    return str(caught.value).replace(f"{_FOLDER}/", "").replace(str(_FOLDER), ".")


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_every_mistake_of_a_bad_file_is_reported(path: Path) -> None:
    assert _messages(path) + "\n" == path.with_suffix(".txt").read_text()


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_hashes_and_made_up_secrets_are_never_shown(path: Path) -> None:
    messages = _messages(path)
    assert "made-up" not in messages
    assert "QOauhQNbBCuQDKes6eFzPe" not in messages


def test_every_bad_file_has_its_messages_and_every_message_its_file() -> None:
    assert {path.stem for path in _FILES} == {path.stem for path in _FOLDER.glob("*.txt")}


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "web.yaml"
    with pytest.raises(ConfigError) as caught:
        load_web_config(path, environ={})
    assert str(caught.value) == f"{path}: cannot be read: No such file or directory"
