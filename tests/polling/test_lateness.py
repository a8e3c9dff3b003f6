"""Late polls are measured, and logged once until they are over."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest
import structlog

from exporter.polling.lateness import RECOVERED_SECONDS, Lateness, monitor
from exporter.polling.limiter import FIRST_POLL_SECONDS, PollLimiter
from support.waiting import eventually

NOW = 1000.0


def test_without_a_poll_nothing_is_late() -> None:
    lateness = Lateness()
    assert lateness.delay_seconds(NOW) == 0
    assert lateness.keeping_up(NOW)


def test_the_delay_is_that_of_the_latest_poll() -> None:
    lateness = Lateness()
    lateness.started(due=NOW, now=NOW + 5, interval_seconds=300)
    lateness.started(due=NOW, now=NOW + 0.25, interval_seconds=300)
    assert lateness.delay_seconds(NOW + 1) == 0.25


def test_a_poll_that_waits_counts_before_it_starts() -> None:
    lateness = Lateness()
    lateness.started(due=NOW, now=NOW + 2, interval_seconds=300)
    with lateness.awaited(due=NOW, interval_seconds=300):
        assert lateness.waiting == 1
        assert lateness.delay_seconds(NOW + 1) == 2
        assert lateness.delay_seconds(NOW + 20) == 20
        assert lateness.keeping_up(NOW + 30)
        assert not lateness.keeping_up(NOW + 31)
    assert lateness.waiting == 0
    assert lateness.delay_seconds(NOW + 40) == 2


@pytest.mark.parametrize(
    ("interval_seconds", "delay_seconds", "late"),
    [(300, 29, False), (300, 31, True), (1, 0.9, False), (1, 1.1, True)],
)
def test_late_is_more_than_a_second_and_a_tenth_of_the_interval(
    *, interval_seconds: float, delay_seconds: float, late: bool
) -> None:
    lateness = Lateness()
    lateness.started(due=NOW, now=NOW + delay_seconds, interval_seconds=interval_seconds)
    assert lateness.keeping_up(NOW + delay_seconds) != late
    assert lateness.keeping_up(NOW + delay_seconds + RECOVERED_SECONDS)


def test_polls_that_come_late_are_logged_once_and_so_is_their_end() -> None:
    lateness = Lateness()
    with structlog.testing.capture_logs() as lines:
        lateness.log_changes(NOW)
        lateness.started(due=NOW, now=NOW + 60, interval_seconds=300)
        for later in range(60, 180):
            lateness.log_changes(NOW + later)
    assert [(line["log_level"], line.get("delay_seconds")) for line in lines] == [
        ("warning", 60.0),
        ("info", None),
    ]


def test_first_polls_follow_each_other_and_never_lie_in_the_past() -> None:
    limiter = PollLimiter(64)
    dues = [limiter.first_poll_due(NOW) for _ in range(1000)]
    assert dues[0] == NOW
    assert dues[-1] == pytest.approx(NOW + 999 * FIRST_POLL_SECONDS)
    assert all(after > before for before, after in pairwise(dues))
    assert limiter.first_poll_due(NOW + 3600) == NOW + 3600


async def test_a_blocked_event_loop_shows_as_lag() -> None:
    lateness = Lateness()
    running = asyncio.create_task(monitor(lateness, interval_seconds=0.05))
    begun = time.monotonic()
    await asyncio.sleep(0)  # the first timer has been set
    while time.monotonic() < begun + 0.2:
        pass  # nothing else runs meanwhile

    async def lags() -> bool:
        return lateness.longest_lag_seconds >= 0.1

    await eventually(lags, seconds=60, what="the lag")
    assert lateness.longest_lag_seconds <= time.monotonic() - begun
    running.cancel()


def test_the_longest_lag_is_that_of_the_last_minute_or_two() -> None:
    lateness = Lateness()
    lateness.woke(due=NOW, now=NOW + 3)
    lateness.woke(due=NOW + 30, now=NOW + 31)
    assert lateness.longest_lag_seconds == 3
    lateness.woke(due=NOW + 70, now=NOW + 70)
    assert lateness.longest_lag_seconds == 3
    lateness.woke(due=NOW + 140, now=NOW + 140)
    assert lateness.longest_lag_seconds == 0
