"""Due times of clusters are spread over the interval."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.polling.due_times import DueTimes

INTERVALS = st.floats(0.1, 86_400)
TIMES = st.floats(0, 1e8)


@given(name=st.text(), interval=INTERVALS, after=TIMES)
def test_the_next_due_time_is_later_and_within_one_interval(name: str, interval: float, after: float) -> None:
    due = DueTimes.of(name, interval).first_after(after)
    assert after < due <= after + interval + 1e-6


@given(name=st.text(), interval=INTERVALS, around=st.integers(-2, 26).map(lambda power: 2.0**power))
def test_each_due_time_comes_once_even_if_the_clock_passes_a_power_of_two(
    name: str, interval: float, around: float
) -> None:
    due_times = DueTimes.of(name, interval)
    due = due_times.first_after(max(around - 20 * interval, 0))
    for _ in range(40):
        assert due_times.first_after(math.nextafter(due, 0)) == due
        following = due_times.first_after(due)
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
    due_times = DueTimes.of(name, interval)
    due = due_times.first_after(max(around - 20 * interval, 0))
    for _ in range(40):
        following, missed = due_times.after_poll(due, now=due + takes * interval)
        assert missed == 0
        assert following - due == pytest.approx(interval, abs=1e-6)
        due = following


def test_due_times_during_a_poll_are_missed() -> None:
    assert DueTimes(phase_seconds=10, interval_seconds=60).after_poll(970, now=1159) == (1210, 3)


def test_missed_due_times_are_skipped() -> None:
    assert DueTimes(phase_seconds=10, interval_seconds=60).first_after(1000) == 1030


def test_a_thousand_clusters_are_spread_evenly() -> None:
    phases = sorted(DueTimes.of(f"cluster-{number}", 300).phase_seconds for number in range(1000))
    in_each_tenth = [sum(30 * k <= phase < 30 * (k + 1) for phase in phases) for k in range(10)]
    assert min(in_each_tenth) > 70
    assert max(b - a for a, b in pairwise(phases)) < 5


def test_a_name_keeps_its_phase() -> None:
    phase_seconds = DueTimes.of("ams-prod-01", 300).phase_seconds
    assert DueTimes.of("ams-prod-01", 300).phase_seconds == phase_seconds
    assert DueTimes.of("ams-prod-01", 600).phase_seconds == 2 * phase_seconds
