"""Clusters are spread over the interval."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from exporter.polling.slots import next_slot, phase_seconds

INTERVALS = st.floats(0.1, 86_400)
TIMES = st.floats(0, 1e8)


@given(name=st.text(), interval=INTERVALS, after=TIMES)
def test_the_next_slot_is_later_and_within_one_interval(name: str, interval: float, after: float) -> None:
    slot = next_slot(after=after, phase_seconds=phase_seconds(name, interval), interval_seconds=interval)
    assert after - 1e-6 <= slot <= after + interval + 1e-6


@given(name=st.text(), after=TIMES)
def test_slots_are_one_interval_apart(name: str, after: float) -> None:
    phase = phase_seconds(name, 300)
    first = next_slot(after=after, phase_seconds=phase, interval_seconds=300)
    second = next_slot(after=first + 1e-3, phase_seconds=phase, interval_seconds=300)
    assert abs(second - first - 300) < 1e-3


def test_missed_slots_are_left_out() -> None:
    assert next_slot(after=1000, phase_seconds=10, interval_seconds=60) == 1030


def test_a_thousand_clusters_are_spread_evenly() -> None:
    phases = sorted(phase_seconds(f"cluster-{number}", 300) for number in range(1000))
    in_each_tenth = [sum(30 * k <= phase < 30 * (k + 1) for phase in phases) for k in range(10)]
    assert min(in_each_tenth) > 70
    assert max(b - a for a, b in pairwise(phases)) < 5


def test_a_name_keeps_its_phase() -> None:
    assert phase_seconds("ams-prod-01", 300) == phase_seconds("ams-prod-01", 300)
    assert phase_seconds("ams-prod-01", 600) == 2 * phase_seconds("ams-prod-01", 300)
