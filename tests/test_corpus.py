"""Inputs on which a version has failed, one in each file of ``tests/corpus``: they fail no more."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path

import pytest

from exporter.config import Config, ConfigError
from exporter.web.auth import WebConfig
from exporter.web.routes import build_application, serving
from exporter.web.site import parse_site
from support.stub_sources import sources
from support.untrusted_input import check_answers, load, load_beside, load_web

CORPUS = Path(__file__).parent / "corpus"
SECRETS = ("bWFkZS11cA", "X0h1gDsPszWURQaxFh", "made-up-s3cr3t")
"""Stand in the files."""


def inputs(kind: str) -> pytest.MarkDecorator:
    """Run a test with each file of a folder."""
    return pytest.mark.parametrize("path", sorted((CORPUS / kind).iterdir()), ids=lambda path: path.stem)


def test_every_input_is_replayed() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == {
        *("answers", "configurations", "web_configurations", "requests")
    }


@inputs("answers")
@pytest.mark.parametrize("status", [200, 404, 500])
def test_an_answer_is_a_value_or_an_error_of_ours(path: Path, status: int) -> None:
    check_answers([path.read_bytes()], status=status)


@inputs("configurations")
def test_a_configuration_loads_or_its_mistakes_are_reported(path: Path, tmp_path: Path) -> None:
    for loaded in (load, load_beside):
        outcome = loaded(tmp_path / "config.yaml", path.read_bytes(), environ={})
        assert isinstance(outcome, Config | ConfigError)
        assert not [secret for secret in SECRETS if secret in f"{outcome!s}{outcome!r}"]


@inputs("web_configurations")
def test_a_web_configuration_loads_or_its_mistakes_are_reported(path: Path, tmp_path: Path) -> None:
    outcome = load_web(tmp_path / "web.yaml", path.read_bytes(), environ={})
    assert isinstance(outcome, WebConfig | ConfigError)
    assert not [secret for secret in SECRETS if secret in f"{outcome!s}{outcome!r}"]


@inputs("requests")
async def test_a_request_is_answered_without_an_error_of_ours(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = parse_site("http://ontap.example.com/", None)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        async with serving(build_application(sources(site=site)), [bound]), asyncio.timeout(30):
            reader, writer = await asyncio.open_connection(*bound.getsockname())
            writer.write(path.read_bytes())
            version, status = (await reader.readuntil(b"\r\n\r\n")).split()[:2]
            writer.transport.abort()
    assert version.startswith(b"HTTP/1.")
    assert 200 <= int(status) < 500
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
