"""A burst at once, then one request in every interval."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from exporter.web.auth.protection import TokenBucket
from exporter.web.auth.toolkit_schema import RateLimitConfig
from support.guarded import guarded, hashed, write


def test_a_burst_is_taken_and_then_one_in_every_interval() -> None:
    bucket = TokenBucket(RateLimitConfig(interval=timedelta(seconds=2), burst=3), now=100.0)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(now) for now in (101.9, 102.1, 102.2, 104.1)] == [False, True, False, True]
    assert [bucket.take(1000.0) for _ in range(4)] == [True, True, True, False]


@given(st.lists(st.floats(0, 10), max_size=200), st.integers(1, 20))
def test_no_more_pass_than_burst_and_rate_allow(pauses: list[float], burst: int) -> None:
    bucket = TokenBucket(RateLimitConfig(interval=timedelta(seconds=1), burst=burst), now=0.0)
    now, passed = 0.0, 0
    for pause in pauses:
        now += pause
        passed += bucket.take(now)
    assert passed <= burst + now + 1e-6


async def test_one_request_too_many_is_refused_before_its_password_is_checked(tmp_path: Path) -> None:
    text = f"rate_limit: {{interval: 1s, burst: 2}}\nbasic_auth_users: {{alice: {hashed('right')}}}\n"
    clock = [0.0]
    async with guarded(write(tmp_path / "web.yaml", text), clock=lambda: clock[0]) as server:
        alice = ("alice", "right")
        assert [await server.status(login=alice) for _ in range(3)] == [200, 200, 429]
        assert await server.status() == 429
        clock[0] = 1.0
        assert [await server.status("/metrics"), await server.status("/metrics", login=alice)] == [401, 429]


async def test_an_interval_of_0_is_no_limit(tmp_path: Path) -> None:
    async with guarded(write(tmp_path / "web.yaml", "rate_limit: {interval: 0, burst: 1}\n")) as server:
        assert [await server.status() for _ in range(5)] == [200] * 5
