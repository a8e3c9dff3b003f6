"""The demo's fleet goes on having something to show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from exporter.simulator import SimulatedCluster
from exporter.simulator.fleet_activity import (
    FAILED_DELETION_EVERY,
    OUTAGE_EVERY,
    UPDATE_EVERY,
    FleetActivity,
)

NOW = datetime(2026, 6, 1, tzinfo=UTC)
STEPS = 3 * UPDATE_EVERY * OUTAGE_EVERY


def fleet() -> tuple[SimulatedCluster, ...]:
    return tuple(SimulatedCluster(f"c{number}", packages=["9.14.1P2"]) for number in range(4))


def test_a_package_arrives_at_every_step_some_of_them_old_enough_to_be_deleted() -> None:
    clusters = fleet()
    activity = FleetActivity(clusters)
    for steps in range(1, 13):
        activity.step(NOW)
        assert sum(len(cluster.versions) for cluster in clusters) == len(clusters) + steps
    created = [one.create_time for cluster in clusters for one in cluster.packages if one.create_time]
    ages = {NOW - datetime.fromisoformat(str(moment)) for moment in created}
    assert min(ages) < timedelta(days=30)
    assert max(ages) > timedelta(days=365)


def test_outages_updates_and_failing_deletions_begin_and_end() -> None:
    clusters = fleet()
    activity = FleetActivity(clusters)
    seen = {"outage": 0, "update": 0, "failing": 0, "calm": 0}
    for _ in range(STEPS):
        activity.step(NOW)
        outages = sum(bool(cluster.faults.active) for cluster in clusters)
        updates = sum(cluster.update_state == "in_progress" for cluster in clusters)
        failing = sum(bool(cluster.job_scripts) for cluster in clusters)
        assert max(outages, updates, failing) <= 1
        seen["outage"] += outages
        seen["update"] += updates
        seen["failing"] += failing
        seen["calm"] += not (outages or updates or failing)
    assert seen["outage"] == STEPS // OUTAGE_EVERY
    assert seen["update"] == STEPS // UPDATE_EVERY
    assert seen["failing"] == STEPS // FAILED_DELETION_EVERY
    assert seen["calm"] > 0


def test_an_activity_is_always_the_same() -> None:
    held = []
    for clusters in (fleet(), fleet()):
        activity = FleetActivity(clusters)
        for _ in range(20):
            activity.step(NOW)
        held.append([cluster.versions for cluster in clusters])
    assert held[0] == held[1]
