from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.config import format_duration, parse_duration

_UNITS = ("y", "w", "d", "h", "m", "s", "ms")
_LONGEST = timedelta(days=106_751)  # 64 bits of nanoseconds


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("0", timedelta(0)),
        ("0s", timedelta(0)),
        ("1ms", timedelta(milliseconds=1)),
        ("30s", timedelta(seconds=30)),
        ("5m", timedelta(minutes=5)),
        ("1h30m", timedelta(minutes=90)),
        ("90m", timedelta(minutes=90)),
        ("90d", timedelta(days=90)),
        ("26w", timedelta(weeks=26)),
        ("1y", timedelta(days=365)),
        ("1y2w3d4h5m6s7ms", timedelta(days=382, hours=4, minutes=5, seconds=6, milliseconds=7)),
        ("0005m", timedelta(minutes=5)),
    ],
)
def test_prometheus_durations_are_read(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "m",
        "-5m",
        "+5m",
        "5 m",
        " 5m",
        "5m\n",
        "5M",
        "1.5h",
        "1m1m",
        "30s5m",
        "5mm",
        "\u0665m",
        "1e3s",
    ],
)
def test_durations_that_prometheus_refuses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration: "):
        parse_duration(text)


@pytest.mark.parametrize("text", ["293y", "9223372036855ms", "9" * 21 + "y", "9" * 100_000 + "ms"])
def test_duration_beyond_64_bits_of_nanoseconds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a duration of more than 292 years: "):
        parse_duration(text)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(minutes=90), "1h30m"),
        (timedelta(days=90), "90d"),
        (timedelta(days=14), "2w"),
        (timedelta(days=365), "1y"),
        (timedelta(days=366), "366d"),
    ],
)
def test_durations_are_written_as_prometheus_writes_them(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text


@pytest.mark.parametrize("duration", [timedelta(seconds=-1), timedelta(microseconds=1)])
def test_a_duration_without_a_spelling_is_not_written(duration: timedelta) -> None:
    with pytest.raises(ValueError, match="no duration of whole milliseconds"):
        format_duration(duration)


@given(st.integers(0, _LONGEST // timedelta(milliseconds=1)))
@example(_LONGEST // timedelta(milliseconds=1))
def test_written_duration_reads_as_itself(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(duration)) == duration


@given(st.lists(st.none() | st.integers(0, 99), min_size=7, max_size=7).filter(any))
def test_read_duration_keeps_its_length_when_written(counts: list[int | None]) -> None:
    text = "".join(f"{count}{unit}" for count, unit in zip(counts, _UNITS, strict=True) if count is not None)
    duration = parse_duration(text)
    assert parse_duration(format_duration(duration)) == duration


@given(st.text())
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        duration = parse_duration(text)
    except ValueError:
        return
    assert duration >= timedelta(0)
