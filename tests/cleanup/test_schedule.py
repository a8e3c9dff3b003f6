"""When a policy runs follows from the times given alone; no change of the clocks loses or doubles a run."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.cleanup.decide.schedule import MAX_COUNTED_SKIPS, SMALL_STEP_SECONDS, Due, Schedule

AMSTERDAM = "Europe/Amsterdam"
HOUR, DAY, YEAR = 3600.0, 86_400.0, 365 * 86_400.0
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


def cron(expression: str, timezone: str = AMSTERDAM, *, start_within_seconds: float = HOUR) -> Schedule:
    return Schedule(
        cron=expression,
        timezone=timezone,
        every_seconds=None,
        start_within_seconds=start_within_seconds,
    )


def every(seconds: float) -> Schedule:
    return Schedule(cron=None, timezone="UTC", every_seconds=seconds, start_within_seconds=HOUR)


def first_run(schedule: Schedule, *, now: float, last_started: float | None = None) -> float:
    """Return the first run of a process that begins to look after the cluster now."""
    return schedule.first(now=now, last_started=last_started, managed_since=now).at


def runs_on(schedule: Schedule, day: datetime) -> list[str]:
    """Follow a schedule run by run through one day of its time zone; as local times with their offset."""
    end = (day + timedelta(days=1)).timestamp()
    found: list[str] = []
    due = first_run(schedule, now=day.timestamp() - 1)
    while due < end:
        found.append(datetime.fromtimestamp(due, tz=day.tzinfo).strftime("%H:%M%z"))
        assert len(found) <= 100
        due = schedule.after_run(due=due, started=due, ended=due + 1).at
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
    assert first_run(schedule, now=moment) == tomorrow
    first_pass = AUTUMN.replace(hour=2, minute=30).timestamp()
    assert schedule.after_run(due=first_pass, started=first_pass, ended=moment) == Due(at=tomorrow)
    assert schedule.after_run(due=moment, started=moment, ended=moment + 60) == Due(at=tomorrow)


def test_a_day_of_the_week_is_one_of_the_time_zone() -> None:
    saturday = datetime(2025, 6, 14, 0, 30, tzinfo=ZoneInfo(AMSTERDAM))
    assert saturday.astimezone(UTC).strftime("%a") == "Fri"
    assert first_run(cron("30 0 * * sat"), now=saturday.timestamp() - DAY) == saturday.timestamp()


@given(expression=CRONS, timezone=ZONES, now=MOMENTS)
@example(expression="30 2 * * *", timezone=AMSTERDAM, now=SECOND_PASS)
def test_the_next_run_of_a_cron_expression_is_later_than_now(
    expression: str, timezone: str, now: float
) -> None:
    schedule = cron(expression, timezone)
    due = first_run(schedule, now=now)
    assert due > now
    assert due == first_run(schedule, now=now, last_started=now - 1e6)
    assert due == schedule.after_run(due=now, started=now, ended=now).at


@given(
    expression=CRONS, timezone=ZONES, due=MOMENTS, seconds=st.floats(0, 86_400), waited=st.floats(0.0, 1.0)
)
@example(expression="30 2 * * *", timezone=AMSTERDAM, due=SECOND_PASS, seconds=60.0, waited=0.0)
def test_a_run_of_a_cron_expression_that_came_due_meanwhile_is_counted_and_not_made_up(
    expression: str, timezone: str, due: float, seconds: float, waited: float
) -> None:
    """Whether the run that was due went on meanwhile, or waited to start, does not matter."""
    schedule = cron(expression, timezone)
    missed: list[float] = []
    moment = due
    while (moment := first_run(schedule, now=moment)) <= due + seconds:
        missed.append(moment)
        assert len(missed) <= 1500
    assert all(earlier < later for earlier, later in pairwise(missed))
    after = schedule.after_run(due=due, started=due + seconds * waited, ended=due + seconds)
    assert after == Due(at=moment, skipped=min(len(missed), MAX_COUNTED_SKIPS))


@given(expression=CRONS, timezone=ZONES, now=MOMENTS, within=st.floats(0, DAY), late=st.floats(0, 2 * DAY))
@example(expression="30 2 * * *", timezone=AMSTERDAM, now=SECOND_PASS, within=600.0, late=1200.0)
def test_a_run_of_a_cron_expression_starts_at_most_start_within_late(
    expression: str, timezone: str, now: float, within: float, late: float
) -> None:
    schedule = cron(expression, timezone, start_within_seconds=within)
    at = first_run(schedule, now=now - late)
    found = schedule.unless_late(at=at, now=now)
    assert found.at >= now - within
    assert found.at == at if at >= now - within else found.skipped > 0
    moment, missed = at, 0
    while moment < found.at:
        moment, missed = first_run(schedule, now=moment), missed + 1
    assert found == Due(at=moment, skipped=min(missed, 1 + MAX_COUNTED_SKIPS))


def test_an_interval_is_never_too_late() -> None:
    assert every(HOUR).unless_late(at=0.0, now=YEAR) == Due(at=0.0)


NIGHTLY = datetime(2025, 6, 14, 3, tzinfo=ZoneInfo(AMSTERDAM)).timestamp()


@pytest.mark.parametrize(
    ("minutes_since", "minutes_ago", "last_minutes_ago", "expected"),
    [
        (40, 30, None, Due(at=NIGHTLY)),  # it came due while another process, which vanished, looked after it
        (40, 30, 30, Due(at=NIGHTLY + DAY)),  # that process had made it
        (20, 30, None, Due(at=NIGHTLY + DAY)),  # nobody was there at its time
        (400, 70, None, Due(at=NIGHTLY + DAY, skipped=1)),  # too late by now
    ],
)
def test_what_came_due_while_some_process_looked_after_the_cluster_is_made_up_within_start_within(
    minutes_since: int, minutes_ago: int, last_minutes_ago: int | None, expected: Due
) -> None:
    now = NIGHTLY + minutes_ago * 60
    last_started = None if last_minutes_ago is None else now - last_minutes_ago * 60
    found = cron("0 3 * * *").first(
        now=now, last_started=last_started, managed_since=now - minutes_since * 60
    )
    assert found == expected


@given(expression=CRONS, now=MOMENTS, started=st.floats(0, 30 * YEAR), since=st.floats(-DAY, 30 * YEAR))
def test_a_run_is_never_due_before_the_last_one_or_before_anybody_looked(
    expression: str, now: float, started: float, since: float
) -> None:
    due = cron(expression).first(now=now, last_started=now - started, managed_since=now - since)
    assert due.at > max(now - started, min(now - since, now))
    assert due.at >= now - HOUR


@pytest.mark.parametrize("schedule", [cron("0 3 * * *"), every(DAY)], ids=["cron", "every"])
@given(ahead=st.floats(1, 10 * YEAR))
def test_a_last_run_in_the_future_puts_off_no_run_by_more_than_a_day(
    schedule: Schedule, ahead: float
) -> None:
    """A clock that was a year ahead for a minute has recorded it."""
    due = schedule.first(now=NIGHTLY + 60, last_started=NIGHTLY + 60 + ahead, managed_since=NIGHTLY + 60)
    assert NIGHTLY + 60 <= due.at <= NIGHTLY + 60 + DAY
    assert due.skipped == 0


@pytest.mark.parametrize(
    "schedule", [cron("* * * * *", "UTC"), cron("*/5 * * * *"), every(1.0)], ids=["minutes", "five", "second"]
)
def test_a_clock_that_jumps_by_decades_is_little_work(schedule: Schedule) -> None:
    """Walking through every minute of thirty years takes half a minute; this is a matter of milliseconds."""
    now = NIGHTLY + 30 * YEAR
    begun = time.process_time()
    after = schedule.after_run(due=NIGHTLY, started=NIGHTLY, ended=now)
    late = schedule.unless_late(at=NIGHTLY, now=now)
    first = schedule.first(now=now, last_started=NIGHTLY, managed_since=NIGHTLY)
    assert time.process_time() - begun < 1.0
    assert now <= after.at <= now + 300
    if schedule.cron is not None:
        assert (after.skipped, late.skipped, first.skipped) == (
            MAX_COUNTED_SKIPS,
            MAX_COUNTED_SKIPS + 1,
            MAX_COUNTED_SKIPS + 1,
        )
        assert now - HOUR <= late.at <= now
        assert first == late


def test_an_interval_without_a_remembered_run_is_due_at_once() -> None:
    assert first_run(every(3600), now=1e9) == 1e9


@given(interval=st.floats(1, 1e7), now=MOMENTS, ago=st.floats(0, 1e8))
def test_an_interval_counts_from_the_start_of_the_last_run_and_is_due_at_once_when_overdue(
    interval: float, now: float, ago: float
) -> None:
    last_started = now - ago
    assert first_run(every(interval), now=now, last_started=last_started) == max(now, last_started + interval)


@given(interval=st.integers(1, 10_000), started=st.integers(10**9, 2 * 10**9), seconds=st.integers(0, 10**6))
def test_an_interval_keeps_its_beat_over_a_long_run(interval: int, started: int, seconds: int) -> None:
    due = every(float(interval)).after_run(due=started - 10**6, started=started, ended=started + seconds)
    assert due.skipped == len(range(started + interval, started + seconds + 1, interval))
    assert started + seconds < due.at <= started + seconds + interval
    assert (due.at - started) % interval == 0


@given(interval=st.floats(1, 1e7), started=MOMENTS, seconds=st.floats(0, 1e7))
def test_the_run_after_a_run_is_never_due_before_its_end(
    interval: float, started: float, seconds: float
) -> None:
    after = every(interval).after_run(due=started, started=started, ended=started + seconds)
    assert after.at >= started + seconds - 1e-3


@pytest.mark.parametrize("schedule", [every(HOUR), cron("0 3 * * *")], ids=["every", "cron"])
def test_a_clock_that_is_set_back_during_a_run_puts_off_no_later_run(schedule: Schedule) -> None:
    ended = 1.7e9
    after = schedule.after_run(due=ended + YEAR, started=ended + YEAR, ended=ended)
    assert after == schedule.after_run(due=ended, started=ended, ended=ended)


@pytest.mark.parametrize(
    ("seconds", "is_next_day"), [(0.1, True), (SMALL_STEP_SECONDS, True), (SMALL_STEP_SECONDS + 1, False)]
)
def test_a_time_comes_again_only_if_the_clock_was_set_back_by_more_than_seconds(
    seconds: float, *, is_next_day: bool
) -> None:
    schedule = cron("0 3 * * *", "UTC")
    due = first_run(schedule, now=NIGHTLY)
    after = schedule.after_run(due=due, started=due + 0.1, ended=due - seconds)
    assert after == Due(at=due + DAY if is_next_day else due)
