"""Every spelling of create_time that ONTAP is known to write is read; without it, only the age is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.ontap.requests.listing import parse_create_time

NOON_IN_2019 = datetime(2019, 2, 4, 19, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "2019-02-04T19:00:00+00:00",
        "2019-02-04 19:00:00 +0000",
        "2019-02-04T19:00:00Z",
        "2019-02-04T19:00:00.000+0000",
        "2019-02-04 19:00:00 UTC",
        "2019-02-04 19:00:00 GMT",
        "2019-02-04 19:00:00+00:00",
        "2019-02-04T19:00:00",
        "2019-02-04T20:00:00+01",
        "2019-02-04t19:00:00z",
        "  2019-02-04T19:00:00Z\n",
        "2019-02-05T00:30:00+05:30",
        "2019-02-04T13:30:00.000-0530",
    ],
)
def test_each_spelling_means_the_same_moment(text: str) -> None:
    assert parse_create_time(text) == NOON_IN_2019


def test_the_documented_example_with_an_offset_is_read() -> None:
    moment = datetime(2018, 5, 21, 10, 6, 59, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert parse_create_time("2018-05-21T10:06:59+05:30") == moment.timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "1970-01-01T00:00:00Z",
        "1970-01-01T05:30:00+05:30",
        "1969-12-31 23:59:59 +0000",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "1980-01-01 00:00:00",
        "1997-12-31T23:59:59Z",
    ],
)
def test_a_time_that_a_clock_writes_that_was_not_set_is_no_age(text: str) -> None:
    assert parse_create_time(text) is None
    assert parse_create_time("1998-01-01T00:00:00Z") is not None


def test_fractions_of_a_second_are_kept() -> None:
    assert parse_create_time("2019-02-04T19:00:00.25Z") == NOON_IN_2019 + 0.25
    assert parse_create_time("2019-02-04T19:00:00,123456789Z") == pytest.approx(NOON_IN_2019 + 0.123456)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "yesterday",
        "2019-02-04",
        "2019-02-30T00:00:00Z",
        "2019-02-04T25:00:00Z",
        "2019-02-04T19:00:00+99:99",
        "2019-02-04T19:00:00 CEST",
        "2019-02-04X19:00:00Z",
        "2019-02-04T19:00Z",
        "٢٠١٩-02-04T19:00:00Z",
        "0000-00-00T00:00:00Z",
        1549306800,
        1549306800.0,
        True,
        [],
        {},
    ],
)
def test_a_value_that_is_not_a_time_is_unreadable(value: object) -> None:
    assert parse_create_time(value) is None


@given(
    moment=st.datetimes(
        min_value=datetime(1998, 1, 2),  # noqa: DTZ001 - the strategy adds the zone
        max_value=datetime(2200, 1, 1),  # noqa: DTZ001
        timezones=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    ),
    separator=st.sampled_from(["T", " "]),
    colon=st.booleans(),
    blank=st.booleans(),
    digits=st.sampled_from([0, 3, 6]),
)
def test_any_moment_survives_any_spelling(
    *, moment: datetime, separator: str, colon: bool, blank: bool, digits: int
) -> None:
    unit = 10 ** (6 - digits)
    moment = moment.replace(microsecond=moment.microsecond // unit * unit)
    text = moment.strftime(f"%Y-%m-%d{separator}%H:%M:%S")
    if digits:
        text += f".{moment.microsecond // unit:0{digits}}"
    offset = moment.strftime("%z")
    text += (" " if blank else "") + (f"{offset[:3]}:{offset[3:]}" if colon else offset)
    assert parse_create_time(text) == pytest.approx(moment.timestamp(), abs=1e-6)


@given(st.one_of(st.text(), st.from_regex(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}.{0,12}", fullmatch=True)))
def test_any_text_is_a_time_or_none(text: str) -> None:
    value = parse_create_time(text)
    assert value is None or isinstance(value, float)
