"""Due times of clusters are spread over the interval."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.polling.due_times import due_time_after_poll, next_due_time, phase_seconds

INTERVALS = st.floats(0.1, 86_400)
TIMES = st.floats(0, 1e8)


@given(name=st.text(), interval=INTERVALS, after=TIMES)
def test_the_next_due_time_is_later_and_within_one_interval(name: str, interval: float, after: float) -> None:
    due = next_due_time(after=after, phase_seconds=phase_seconds(name, interval), interval_seconds=interval)
    assert after < due <= after + interval + 1e-6


@given(name=st.text(), interval=INTERVALS, around=st.integers(-2, 26).map(lambda power: 2.0**power))
def test_each_due_time_comes_once_even_if_the_clock_passes_a_power_of_two(
    name: str, interval: float, around: float
) -> None:
    phase = phase_seconds(name, interval)
    due = next_due_time(after=max(around - 20 * interval, 0), phase_seconds=phase, interval_seconds=interval)
    for _ in range(40):
        assert (
            next_due_time(after=math.nextafter(due, 0), phase_seconds=phase, interval_seconds=interval) == due
        )
        following = next_due_time(after=due, phase_seconds=phase, interval_seconds=interval)
        assert following - due == pytest.approx(interval, abs=1e-6)
        due = following


@given(
    name=st.text(),
    interval=INTERVALS,
    around=st.integers(-2, 26).map(lambda power: 2.0**power),
    takes=st.floats(-1e-3, 0.9),
)
def test_polls_shorter_than_the_interval_miss_nothing_even_if_the_clock_passes_a_power_of_two(
    name: str, interval: float, around: float, takes: float
) -> None:
    """Timers may fire a moment early, and past a power of two the clock is coarser than before."""
    phase = phase_seconds(name, interval)
    due = next_due_time(after=max(around - 20 * interval, 0), phase_seconds=phase, interval_seconds=interval)
    for _ in range(40):
        following, missed = due_time_after_poll(
            due, now=due + takes * interval, phase_seconds=phase, interval_seconds=interval
        )
        assert missed == 0
        assert following - due == pytest.approx(interval, abs=1e-6)
        due = following


def test_due_times_during_a_poll_are_missed() -> None:
    assert due_time_after_poll(970, now=1159, phase_seconds=10, interval_seconds=60) == (1210, 3)


def test_missed_due_times_are_skipped() -> None:
    assert next_due_time(after=1000, phase_seconds=10, interval_seconds=60) == 1030


def test_a_thousand_clusters_are_spread_evenly() -> None:
    phases = sorted(phase_seconds(f"cluster-{number}", 300) for number in range(1000))
    in_each_tenth = [sum(30 * k <= phase < 30 * (k + 1) for phase in phases) for k in range(10)]
    assert min(in_each_tenth) > 70
    assert max(b - a for a, b in pairwise(phases)) < 5


def test_a_name_keeps_its_phase() -> None:
    assert phase_seconds("ams-prod-01", 300) == phase_seconds("ams-prod-01", 300)
    assert phase_seconds("ams-prod-01", 600) == 2 * phase_seconds("ams-prod-01", 300)
