"""Files of a configuration that everyone can read or write, where a secret stands in them, are warned of."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from exporter.config import ConfigFiles, load_config

_LOGIN = "basic_auth: {username: monitor, password: made-up}"
_POLICIES = "  policies: [{name: p, every: 24h, keep_newest: 2}]\n"
_CLUSTERS = "clusters: [{address: a}]\n"
_ENVIRON = {"PW": "made-up", "HOST": "db"}


def _warnings(path: Path) -> list[str]:
    """Return the warnings about permissions."""
    warnings = load_config(path, environ=_ENVIRON).warnings
    found = [str(warning) for warning in warnings if "every user" in warning.message]
    return [text.replace(f"{path.parent}/", "") for text in found]


def _write(path: Path, text: str, mode: int) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("mode", "verbs"),
    [
        (0o600, None),
        (0o640, None),
        (0o660, None),
        (0o644, "read"),
        (0o604, "read"),
        (0o602, "write"),
        (0o666, "read and write"),
    ],
)
def test_password_in_a_file_for_everyone_is_warned_of(tmp_path: Path, mode: int, verbs: str | None) -> None:
    path = _write(tmp_path / "config.yaml", f"{_CLUSTERS}defaults:\n  {_LOGIN}\n", mode)
    place = "config.yaml:3: defaults.basic_auth.password"
    expected = [f"{place}: every user of this machine can {verbs} the secret (mode {mode:04o})"]
    assert _warnings(path) == ([] if verbs is None else expected)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f"{_CLUSTERS}profiles:\n  p: {{{_LOGIN}}}\n", "3: profiles.p.basic_auth.password"),
        (
            "clusters:\n  - address: a\n    authorization: {credentials: made-up}\n",
            "3: clusters[0].authorization.credentials",
        ),
        ("clusters:\n  - address: a\n    basic_auth: {username: u, password: $$2y}\n", "3: clusters[0]."),
        (f"{_CLUSTERS}cleanup:\n  state: postgresql://u:made-up@db/o\n{_POLICIES}", "3: cleanup.state"),
        (
            f"{_CLUSTERS}cleanup:\n  state: 'postgresql://u:made-up@${{HOST}}/o'\n{_POLICIES}",
            "3: cleanup.state",
        ),
        (f"{_CLUSTERS}defaults:\n  proxy_url: 'http://${{HOST}}:made-up@p:1'\n", "3: defaults.proxy_url"),
        (
            f"{_CLUSTERS}cleanup:\n  state: postgresql://db/o?password=made-up\n{_POLICIES}",
            "3: cleanup.state",
        ),
        (
            f"cleanup:\n  state: postgresql://u:made-up@db/o\n{_POLICIES}{_CLUSTERS}defaults: {{{_LOGIN}}}\n",
            "2: cleanup.state",
        ),
    ],
)
def test_first_secret_in_the_file_is_reported_wherever_it_stands(
    tmp_path: Path, text: str, place: str
) -> None:
    (warning,) = _warnings(_write(tmp_path / "config.yaml", text, 0o644))
    assert warning.startswith(f"config.yaml:{place}")
    assert warning.endswith("every user of this machine can read the secret (mode 0644)")
    assert "made-up" not in warning


@pytest.mark.parametrize(
    "text",
    [
        _CLUSTERS,
        f"{_CLUSTERS}defaults: {{basic_auth: {{username: u, password: '${{PW}}'}}}}\n",
        f"{_CLUSTERS}defaults: {{authorization: {{credentials: '${{PW}}'}}}}\n",
        f"{_CLUSTERS}defaults: {{basic_auth: {{username: u, password_file: secret}}}}\n",
        f"{_CLUSTERS}cleanup:\n{_POLICIES}",
        f"{_CLUSTERS}cleanup:\n  state: postgresql://u@db/o\n{_POLICIES}",
        f"{_CLUSTERS}cleanup:\n  state: 'postgresql://u:${{PW}}@db/o?password=${{PW}}'\n{_POLICIES}",
    ],
)
def test_file_without_a_secret_may_be_read_by_everyone_and_yet_not_written(tmp_path: Path, text: str) -> None:
    _write(tmp_path / "secret", "made-up\n", 0o600)
    path = _write(tmp_path / "config.yaml", text, 0o644)
    assert _warnings(path) == []
    path.chmod(0o666)
    assert _warnings(path) == ["config.yaml: every user of this machine can write the file (mode 0666)"]


def test_each_file_of_clusters_is_reported_by_itself(tmp_path: Path) -> None:
    main = _write(tmp_path / "config.yaml", f"cluster_files: ['*.json']\ndefaults: {{{_LOGIN}}}\n", 0o600)
    entry = '[{"address": "%s", "basic_auth": {"username": "u", "password": "made-up"}}]'
    _write(tmp_path / "a.json", entry % "a", 0o644)
    _write(tmp_path / "b.json", entry % "b", 0o600)
    _write(tmp_path / "c.json", '[{"targets": ["c"]}]', 0o666)
    _write(tmp_path / "d.json", '[{"targets": ["d"]}]', 0o644)
    assert _warnings(main) == [
        "a.json:1: [0].basic_auth.password: every user of this machine can read the secret (mode 0644)",
        "c.json: every user of this machine can write the file (mode 0666)",
    ]


def test_file_of_clusters_that_comes_later_is_reported(tmp_path: Path) -> None:
    main = _write(tmp_path / "config.yaml", "cluster_files: ['*.json']\n", 0o600)
    files = ConfigFiles(main, environ={})
    files.load()
    _write(tmp_path / "a.json", '[{"targets": ["a"]}]', 0o622)
    config = [files.scan(), files.scan()][1]
    assert config is not None
    messages = [warning.message for warning in config.warnings]
    assert "every user of this machine can write the file (mode 0622)" in messages


def test_secret_file_that_everyone_can_write_is_a_warning(tmp_path: Path) -> None:
    text = f"{_CLUSTERS}defaults:\n  basic_auth: {{username: u, password_file: secret}}\n"
    main = _write(tmp_path / "config.yaml", text, 0o644)
    _write(tmp_path / "secret", "made-up\n", 0o602)
    place = "config.yaml:3: defaults.basic_auth.password_file"
    assert _warnings(main) == [
        f"{place}: every user of this machine can write the secret (mode 0602): secret"
    ]


def test_pipe_is_nothing_to_be_warned_of() -> None:
    reading, writing = os.pipe()
    try:
        os.fchmod(reading, 0o666)
        os.write(writing, f"{_CLUSTERS}defaults: {{{_LOGIN}}}\n".encode())
        os.close(writing)
        assert _warnings(Path(f"/dev/fd/{reading}")) == []
    finally:
        os.close(reading)
