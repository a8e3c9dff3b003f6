"""A wrong clock, ours or a cluster's, deletes nothing and keeps nothing from being cleaned for long."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from exporter.cleanup.decide.plan import VerdictReason
from exporter.simulator import SimulatedCluster
from support.cleaning import OLD, POLICY, changed
from support.servicing import C1, OFTEN, cluster_named, deletes, ended_at, life

THREE_YEARS = timedelta(days=3 * 365)


@pytest.mark.parametrize("ahead", [-THREE_YEARS, timedelta(hours=-2), timedelta(hours=2)])
async def test_where_our_clock_and_the_clusters_differ_nothing_is_judged_by_its_age(
    ahead: timedelta, tmp_path: Path
) -> None:
    cluster = SimulatedCluster(
        "c1", packages=[("9.12.1", OLD), ("9.14.1P2", OLD)], clock_ahead_seconds=ahead.total_seconds()
    )
    async with life(tmp_path, cluster) as it, it.service(POLICY) as one:
        status = await one.watch.ended()
        (run,) = await one.runs()
    assert (status.totals.last_success, status.totals.candidates, deletes(cluster)) == (True, 0, 0)
    assert f'"reason": "{VerdictReason.CLOCK_SKEWED}"' in run.plan


@pytest.mark.parametrize("takeover_after", [1, 9], ids=["seen by a heartbeat", "between two heartbeats"])
async def test_a_clock_that_was_a_year_ahead_for_a_while_puts_off_no_later_run(
    takeover_after: int, tmp_path: Path
) -> None:
    cluster = cluster_named("c1", "9.14.1P2")
    policy = changed(POLICY, every=OFTEN)
    async with (
        life(tmp_path, cluster) as it,
        it.service(policy, takeover_after=timedelta(seconds=takeover_after)) as one,
    ):
        await one.watch.ended()
        one.clock.advance(timedelta(days=365))
        await one.watch.ended(after=one.clock() - 3600)
        one.clock.advance(timedelta(days=-365))
        set_back = one.clock()
        status = await one.watch.until(
            C1, lambda status: set_back < (ended_at(status) or 0.0) < set_back + 3600
        )
        assert status.totals.last_success
