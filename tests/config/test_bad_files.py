"""One small bad configuration for every mistake, and beside it the whole message."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from exporter.config import ConfigError, Problem, load_config
from support.bad_files import BadFiles

_BAD = BadFiles(Path(__file__).parent / "bad", lambda path: load_config(path, environ={}))


@pytest.mark.parametrize("name", _BAD.names)
def test_every_mistake_of_a_bad_file_is_reported_without_a_secret(name: str) -> None:
    _BAD.check(name)


def test_ten_mistakes_are_reported_at_once() -> None:
    assert len(_BAD.messages("ten_mistakes").splitlines()) == 10


def test_missing_file_is_a_config_error(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    with pytest.raises(ConfigError) as caught:
        load_config(path, environ={})
    assert str(caught.value) == f"{path}: cannot be read: No such file or directory"


def test_folder_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path, environ={})
    assert str(caught.value) == f"{tmp_path}: cannot be read: Is a directory"


def test_impossible_file_name_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="cannot be read: no file can have this name"):
        load_config(Path("config\0.yaml"), environ={})


def test_file_that_is_not_utf8_is_reported_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"clusters:\n  - address: \xff\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path, environ={})
    assert str(caught.value) == f"{path}:2: not UTF-8"


def test_endless_file_is_a_config_error() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(Path("/dev/zero"), environ={})
    assert str(caught.value) == "/dev/zero: larger than 64 MiB"


@pytest.mark.timeout(30)
def test_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="the file holds no values"):
        load_config(path, environ={})


def test_configuration_may_come_through_a_pipe() -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b"clusters: [{address: a}]\n")
        os.close(writing)
        assert load_config(Path(f"/dev/fd/{reading}"), environ={}).clusters[0].name == "a"
    finally:
        os.close(reading)


def test_problem_reads_as_file_line_key_and_message() -> None:
    problem = Problem(file="config.yaml", line=12, key="clusters[3].poll_interval", message="no duration")
    assert str(problem) == "config.yaml:12: clusters[3].poll_interval: no duration"
    assert str(Problem(file="config.yaml", line=0, key="", message="empty")) == "config.yaml: empty"
