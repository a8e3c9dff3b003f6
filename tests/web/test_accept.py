"""A client gets the format and the encoding that it asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.text import Format
from exporter.web.scrape import accepts_gzip, preferred_format

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


@pytest.mark.parametrize(
    "accept",
    [
        PROMETHEUS_2,
        PROMETHEUS_3,
        "application/openmetrics-text",
        "Application/OpenMetrics-Text; Version=1.0.0",
    ],
)
def test_openmetrics_is_served_to_those_who_ask_for_it(accept: str) -> None:
    assert preferred_format([accept]) is Format.OPENMETRICS


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "text/plain",
        "text/html,*/*;q=0.8",
        "application/openmetrics-text;version=0.0.1",
        "application/openmetrics-text;version=1.0.0;q=0",
        "application/openmetrics-text;version=1.0.0;q=0.1,text/plain;version=0.0.4;q=0.9",
        "application/openmetrics-text;q=nonsense",
        "application/json",
    ],
)
def test_everybody_else_gets_text(accept: str) -> None:
    assert preferred_format([accept]) is Format.TEXT


def test_several_headers_are_one_list() -> None:
    assert preferred_format(["text/plain;q=0.5", "application/openmetrics-text"]) is Format.OPENMETRICS


@pytest.mark.parametrize(
    ("coding", "expected"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("*", True),
        ("deflate;q=1, GZIP;q=0.5", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
    ],
)
def test_gzip_is_used_if_it_is_accepted(*, coding: str, expected: bool) -> None:
    assert accepts_gzip([coding]) is expected


@given(st.lists(st.text()))
def test_any_header_has_an_answer(values: list[str]) -> None:
    assert preferred_format(values) in Format
    assert accepts_gzip(values) in {True, False}
