"""When a policy runs follows from the times given alone; no change of the clocks loses or doubles a run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.cleanup.schedule import Schedule

AMSTERDAM = "Europe/Amsterdam"
SPRING = datetime(2025, 3, 30, tzinfo=ZoneInfo(AMSTERDAM))
"""At 02:00 (+01:00) the clocks go to 03:00 (+02:00)."""
AUTUMN = datetime(2025, 10, 26, tzinfo=ZoneInfo(AMSTERDAM))
"""At 03:00 (+02:00) the clocks go back to 02:00 (+01:00)."""

MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    datetime.timestamp
)
ZONES = st.sampled_from([AMSTERDAM, "UTC", "America/New_York", "Australia/Lord_Howe", "America/Santiago"])
CRONS = st.one_of(
    st.builds(
        "{} {} * * {}".format,
        st.one_of(st.integers(0, 59), st.sampled_from(["*/15", "0,30", "*"])),
        st.one_of(st.integers(0, 23), st.sampled_from(["*", "1-4", "*/6"])),
        st.sampled_from(["*", "sat", "mon-fri"]),
    ),
    st.sampled_from(["0 3 1 * *", "0 0 L * *", "0 2 29 2 *", "30 2 * 3,10 sun"]),
)
SECOND_PASS = datetime(2025, 10, 26, 2, 10, tzinfo=ZoneInfo(AMSTERDAM), fold=1).timestamp()


def cron(expression: str, timezone: str = AMSTERDAM) -> Schedule:
    return Schedule(cron=expression, timezone=timezone, every_seconds=None)


def every(seconds: float) -> Schedule:
    return Schedule(cron=None, timezone="UTC", every_seconds=seconds)


def runs_on(schedule: Schedule, day: datetime) -> list[str]:
    """Follow a schedule run by run through one day of its time zone; as local times with their offset."""
    end = (day + timedelta(days=1)).timestamp()
    found: list[str] = []
    due = schedule.next_run(now=day.timestamp() - 1, last_started=None)
    while due is not None and due < end:
        found.append(datetime.fromtimestamp(due, tz=day.tzinfo).strftime("%H:%M%z"))
        assert len(found) <= 100
        due = schedule.after_run(started=due, ended=due + 1)
    return found


@pytest.mark.parametrize(
    ("expression", "runs"),
    [
        ("0 3 * * *", ["03:00+0200"]),
        ("30 1 * * *", ["01:30+0100"]),
        ("30 2 * * *", ["03:00+0200"]),
        ("0,30 2 * * *", ["03:00+0200"]),
        ("30 1,2,3 * * *", ["01:30+0100", "03:00+0200", "03:30+0200"]),
        ("*/30 2 * * *", []),
        ("*/30 1-3 * * *", ["01:00+0100", "01:30+0100", "03:00+0200", "03:30+0200"]),
    ],
)
def test_a_fixed_time_in_the_hour_that_is_left_out_runs_once_when_that_hour_is_over(
    expression: str, runs: list[str]
) -> None:
    """Times that are written out move to the end of the gap; a minute with a star takes the clock as is."""
    assert runs_on(cron(expression), SPRING) == runs


@pytest.mark.parametrize(
    ("expression", "runs"),
    [
        ("0 3 * * *", ["03:00+0100"]),
        ("30 2 * * *", ["02:30+0200"]),
        ("0,30 2 * * *", ["02:00+0200", "02:30+0200"]),
        ("30 1,2,3 * * *", ["01:30+0200", "02:30+0200", "03:30+0100"]),
        ("*/30 2 * * *", ["02:00+0200", "02:30+0200", "02:00+0100", "02:30+0100"]),
    ],
)
def test_a_fixed_time_in_the_hour_that_comes_twice_runs_the_first_time_only(
    expression: str, runs: list[str]
) -> None:
    assert runs_on(cron(expression), AUTUMN) == runs


@pytest.mark.parametrize(("day", "hours"), [(SPRING, 23), (AUTUMN, 25)])
def test_an_hourly_schedule_runs_in_every_hour_that_there_is(day: datetime, hours: int) -> None:
    runs = runs_on(cron("0 * * * *"), day)
    assert len(runs) == len(set(runs)) == hours


@pytest.mark.parametrize("minute", [0, 10, 29, 30, 40])
def test_nothing_is_due_in_the_past_while_the_hour_comes_the_second_time(minute: int) -> None:
    """A run that ends then, or a program that starts then, waits for the next day."""
    moment = AUTUMN.replace(hour=2, minute=minute, fold=1).timestamp()
    tomorrow = AUTUMN.replace(day=27, hour=2, minute=30).timestamp()
    schedule = cron("30 2 * * *")
    assert schedule.next_run(now=moment, last_started=None) == tomorrow
    first_pass = AUTUMN.replace(hour=2, minute=30).timestamp()
    assert schedule.after_run(started=first_pass, ended=moment) == tomorrow
    assert schedule.skipped(started=first_pass, ended=moment) == 0
    assert schedule.skipped(started=moment, ended=moment + 60) == 0


def test_a_day_of_the_week_is_one_of_the_time_zone() -> None:
    saturday = datetime(2025, 6, 14, 0, 30, tzinfo=ZoneInfo(AMSTERDAM))
    assert saturday.astimezone(UTC).strftime("%a") == "Fri"
    due = cron("30 0 * * sat").next_run(now=saturday.timestamp() - 86_400, last_started=None)
    assert due == saturday.timestamp()


@given(expression=CRONS, timezone=ZONES, now=MOMENTS)
@example(expression="30 2 * * *", timezone=AMSTERDAM, now=SECOND_PASS)
def test_the_next_run_of_a_cron_expression_is_later_than_now(
    expression: str, timezone: str, now: float
) -> None:
    schedule = cron(expression, timezone)
    due = schedule.next_run(now=now, last_started=None)
    assert due is not None
    assert due > now
    assert (
        due == schedule.next_run(now=now, last_started=now - 1e6) == schedule.after_run(started=0, ended=now)
    )


@given(expression=CRONS, timezone=ZONES, started=MOMENTS, seconds=st.floats(0, 86_400))
@example(expression="30 2 * * *", timezone=AMSTERDAM, started=SECOND_PASS, seconds=60.0)
def test_a_run_of_a_cron_expression_that_came_due_meanwhile_is_counted_and_not_made_up(
    expression: str, timezone: str, started: float, seconds: float
) -> None:
    schedule = cron(expression, timezone)
    due = []
    moment = started
    while (moment := schedule.next_run(now=moment, last_started=None) or 0.0) <= started + seconds:
        due.append(moment)
        assert len(due) <= 1500
    assert all(earlier < later for earlier, later in pairwise(due))
    assert schedule.skipped(started=started, ended=started + seconds) == len(due)
    assert schedule.after_run(started=started, ended=started + seconds) == moment


def test_an_interval_without_a_remembered_run_has_no_time_of_its_own() -> None:
    assert every(3600).next_run(now=1e9, last_started=None) is None


@given(interval=st.floats(1, 1e7), now=MOMENTS, ago=st.floats(0, 1e8))
def test_an_interval_counts_from_the_start_of_the_last_run_and_is_due_at_once_when_overdue(
    interval: float, now: float, ago: float
) -> None:
    last_started = now - ago
    due = every(interval).next_run(now=now, last_started=last_started)
    assert due == max(now, last_started + interval)


@given(interval=st.integers(1, 10_000), started=st.integers(10**9, 2 * 10**9), seconds=st.integers(0, 10**6))
def test_an_interval_keeps_its_beat_over_a_long_run(interval: int, started: int, seconds: int) -> None:
    schedule = every(float(interval))
    beats = range(started + interval, started + seconds + 1, interval)
    assert schedule.skipped(started=started, ended=started + seconds) == len(beats)
    due = schedule.after_run(started=started, ended=started + seconds)
    assert started + seconds < due <= started + seconds + interval
    assert (due - started) % interval == 0


@given(interval=st.floats(1, 1e7), started=MOMENTS, seconds=st.floats(0, 1e7))
def test_the_run_after_a_run_is_never_due_before_its_end(
    interval: float, started: float, seconds: float
) -> None:
    assert every(interval).after_run(started=started, ended=started + seconds) >= started + seconds - 1e-3
