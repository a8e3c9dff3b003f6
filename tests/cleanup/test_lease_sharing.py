"""Heartbeats come often enough for others to go on in time, however long leases last."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from exporter.cleanup.cleaners.lease_sharing import heartbeat_pause_seconds
from support.cleaning import POLICY
from support.servicing import WAIT_SECONDS, cluster_named, life
from support.waiting import eventually


@pytest.mark.parametrize(("takeover_after_seconds", "pause_seconds"), [(3, 1), (21, 7), (30, 7), (86_400, 7)])
def test_heartbeats_come_three_times_in_a_lease_and_at_least_every_7_s(
    takeover_after_seconds: float, pause_seconds: float
) -> None:
    assert heartbeat_pause_seconds(takeover_after_seconds) == pause_seconds


async def test_what_another_process_has_changed_counts_in_seconds_even_where_leases_last_a_day(
    tmp_path: Path,
) -> None:
    async with (
        life(tmp_path, cluster_named("c1")) as it,
        it.service(POLICY, takeover_after=timedelta(days=1)) as one,
    ):
        await one.watch.ended()
        with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
            other.execute("UPDATE cleanup_control SET kill_switch = 1")

        async def followed() -> bool:
            return one.kill_switch.active

        await eventually(followed, seconds=WAIT_SECONDS, what="the next heartbeat")
