from __future__ import annotations

from contextlib import suppress
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config.reading.values import check_timezone, fires, parse_schedule

_UTC = ZoneInfo("UTC")


@pytest.mark.parametrize(
    "text",
    [
        "0 3 * * sat",
        "*/5 * * * *",
        "0 3 * * SAT,Sun",
        "0 0 1,15 * *",
        "30 4 L * *",
        "0 0 LW * *",
        "0 0 * * mon#1",
        "0 0 * * 5L",
        "0 0 29 feb *",
        "0 22-23 * jan-mar 1-5",
        "59 23 31 12 7",
        "0 0 31 2 mon",
        "0 0 * 2 mon#5",
    ],
)
def test_schedule_is_taken_as_it_is_written(text: str) -> None:
    assert parse_schedule(text) == text
    assert fires(text, _UTC)


def test_fields_may_stand_apart() -> None:
    assert parse_schedule("  0\t3 *  * sat\n") == "0 3 * * sat"


@pytest.mark.parametrize(
    "text", ["", "@daily", "* * * *", "* * * * * *", "0 3 * * sat " + "# " * 9, "1," * 1000 + "1 * * * *"]
)
def test_schedule_has_five_fields(text: str) -> None:
    with pytest.raises(ValueError, match="a schedule has five fields"):
        parse_schedule(text)


@pytest.mark.parametrize(
    ("text", "noun"),
    [
        ("60 * * * *", "minute"),
        ("*/0 * * * *", "minute"),
        ("-1 * * * *", "minute"),
        ("5- * * * *", "minute"),
        ("1,,2 * * * *", "minute"),
        ("\u0661 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* 5-3 * * *", "hour"),
        ("* * 0 * *", "day of the month"),
        ("* * 32 * *", "day of the month"),
        ("* * ? * *", "day of the month"),
        ("* * * 13 *", "month"),
        ("* * * january *", "month"),
        ("* * * * 8", "day of the week"),
        ("* * * * L", "day of the week"),
        ("* * * * mon#6", "day of the week"),
    ],
)
def test_wrong_field_is_named(text: str, noun: str) -> None:
    with pytest.raises(ValueError, match=f"the {noun} is "):
        parse_schedule(text)


@pytest.mark.parametrize("text", ["0 0 31 2 *", "0 0 31 4,6,9,11 *", "0 0 30 2 */2", "0 0 */31 * mon#5"])
def test_day_that_never_comes_never_fires(text: str) -> None:
    assert not fires(parse_schedule(text), _UTC)


def test_hour_that_is_always_skipped_never_fires() -> None:
    schedule = parse_schedule("*/10 2 * 3 7L")
    assert not fires(schedule, ZoneInfo("Europe/Amsterdam"))
    assert fires(schedule, _UTC)


_field = st.text("0123456789*/,-#LWlw", min_size=1, max_size=5) | st.sampled_from(
    ["*", "0", "31", "2", "mon-fri", "feb", "*/2", "mon#5", "sat"]
)


@settings(deadline=None)
@given(fields=st.lists(_field, min_size=5, max_size=5), zone=st.sampled_from(["UTC", "Europe/Amsterdam"]))
def test_any_schedule_fires_or_does_not_or_is_wrong(fields: list[str], zone: str) -> None:
    with suppress(ValueError):
        assert fires(parse_schedule(" ".join(fields)), ZoneInfo(zone)) in {True, False}


@given(text=st.text())
def test_any_text_is_a_schedule_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert parse_schedule(text)


@pytest.mark.parametrize("name", ["UTC", "Europe/Amsterdam", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
def test_time_zone_has_its_iana_name(name: str) -> None:
    assert check_timezone(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "Europe", "Europe/", "/etc/localtime", "../UTC", "zone.tab", ".", "a" * 5000, "é/\udcff", "+02:00"],
)
def test_anything_else_is_no_time_zone(name: str) -> None:
    with pytest.raises(ValueError, match="not a time zone: "):
        check_timezone(name)


@given(name=st.text() | st.text("./~aU", max_size=8))
def test_any_text_is_a_time_zone_or_a_value_error(name: str) -> None:
    with suppress(ValueError):
        assert check_timezone(name) == name


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("europe/amsterdam", "Europe/Amsterdam"),
        ("Europe/Amsterdan", "Europe/Amsterdam"),
        ("Amsterdam", "Europe/Amsterdam"),
        ("New York", "America/New_York"),
        ("Europe", None),
        ("nowhere", None),
        ("a" * 100_000, None),
    ],
)
def test_time_zone_that_may_be_meant(name: str, guess: str | None) -> None:
    with pytest.raises(ValueError, match="not a time zone: ") as caught:
        check_timezone(name)
    assert str(caught.value).endswith(
        f"; did you mean {guess}?" if guess else "; write an IANA name, e.g. Europe/Amsterdam"
    )
