"""A log line is one line, whatever clusters and files put into it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import redirect_stderr

import pytest
import structlog

from exporter.logs import LogFormat, LogLevel, configure_logging

AWKWARD = 'quote " back \\ tab \t line \n return \r escape \x1b[2K nul \0 separator \u2028 ü'


@pytest.fixture(autouse=True)
def unchanged_logging() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    logging.getLogger("exporter").setLevel(logging.NOTSET)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def lines(form: LogFormat, level: LogLevel = LogLevel.INFO) -> list[str]:
    with redirect_stderr(io.StringIO()) as stream:
        configure_logging(level=level, form=form)
    structlog.get_logger("exporter.a").info("something happened", cluster=AWKWARD, count=3)
    structlog.get_logger("exporter.a").debug("hardly worth poll_log")
    logging.getLogger("library").info("of no interest")
    logging.getLogger("library").warning("logged by %s", "a library")
    try:
        int(AWKWARD)
    except ValueError:
        structlog.get_logger("exporter.a").exception("something broke")
    return stream.getvalue().split("\n")[:-1]


def test_logfmt_is_one_line_each_without_control_characters() -> None:
    logged = lines(LogFormat.LOGFMT)
    assert len(logged) == 3
    assert all(line.isprintable() for line in logged)
    assert 'level=info msg="something happened" cluster="quote' in logged[0]
    assert "ü" in logged[0]
    assert 'level=warning msg="logged by a library"' in logged[1]
    assert "ValueError" in logged[2]


def test_json_is_one_object_a_line() -> None:
    logged = [json.loads(line) for line in lines(LogFormat.JSON)]
    assert [one["msg"] for one in logged] == ["something happened", "logged by a library", "something broke"]
    assert logged[0]["count"] == 3


def test_the_level_decides_what_is_logged() -> None:
    assert len(lines(LogFormat.LOGFMT, LogLevel.DEBUG)) == 4
    assert len(lines(LogFormat.LOGFMT, LogLevel.ERROR)) == 1
