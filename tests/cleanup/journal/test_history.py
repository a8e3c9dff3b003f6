"""Runs are read newest first, and pruned without a trace in the totals."""

from __future__ import annotations

import pytest

from exporter.cleanup.journal import Journal
from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import Lease, Phase, Run
from exporter.ontap.requests.listing import Package
from support.journal.journal_steps import (
    AMS,
    FRA,
    deletion_in,
    durations_of,
    end,
    intend,
    lease_of,
    new_run,
    opened,
    totals_of,
    unfinished_on,
)
from support.postgresql_server import PostgresqlServer


async def old_run(journal: Journal, lease: Lease, *, policy: str = "old") -> int:
    """Make a run with a deletion that does not count for the day."""
    run_id = await new_run(journal, lease, policy=policy)
    await journal.deletions.end_unsent(
        lease, run_id, version="9.9.1", outcome=Outcome.ALREADY_GONE, message="", now=1.0
    )
    await journal.runs.end(lease, run_id, success=True, now=130.0)
    return run_id


async def kept(journal: Journal) -> list[int]:
    return [run.id for run in await journal.runs.recent(100)]


async def test_a_clusters_runs_are_the_newest_and_those_of_the_last_plans_and_newest_deletions(
    journal: Journal, ams: Lease
) -> None:
    seldom = [await old_run(journal, ams, policy="seldom") for _ in range(2)]
    deleted = await deletion_in(journal, ams, Phase.ENDED)
    await journal.runs.end(ams, deleted.run_id, success=True, now=130.0)
    often = []
    for _ in range(5):
        often.append(await new_run(journal, ams, policy="often"))
        await journal.runs.end(ams, often[-1], success=True, now=130.0)
    await new_run(journal, await lease_of(journal, FRA), policy="often")
    found = await journal.runs.of_cluster("ams", 2)
    assert [run.id for run in found] == [often[4], often[3], deleted.run_id, seldom[1]]
    assert [len(run.deletions) for run in found] == [0, 0, 1, 1]
    assert await journal.runs.of_cluster("nobody", 2) == ()


async def test_a_run_is_read_as_it_was_written(journal: Journal, ams: Lease) -> None:
    run_id = await journal.runs.begin(
        ams,
        cluster="ams",
        policy="old",
        dry_run=True,
        plan='[{"version": "9.9.1"}]',
        candidates=1,
        now=100.0,
    )
    run = Run(
        id=run_id,
        cluster_uuid=AMS,
        cluster="ams",
        policy="old",
        dry_run=True,
        started_timestamp_seconds=100.0,
        ended_timestamp_seconds=None,
        success=None,
        failure="",
        error="",
        plan='[{"version": "9.9.1"}]',
    )
    assert await journal.runs.recent(1) == (run,)
    assert await journal.runs.get(run_id) == run
    assert await journal.runs.get(run_id + 1) is None


async def test_runs_come_newest_first_with_their_deletions_oldest_first(journal: Journal) -> None:
    ams, fra = await lease_of(journal, AMS), await lease_of(journal, FRA)
    first, second = await new_run(journal, ams), await new_run(journal, fra)
    a = await end(journal, fra, await intend(journal, fra, second, version="2"))
    b = await intend(journal, ams, first, version="1")
    c = await intend(journal, fra, second, version="1")
    runs = await journal.runs.recent(5)
    assert [(run.id, run.deletions) for run in runs] == [(second, (a, c)), (first, (b,))]
    assert [run.id for run in await journal.runs.recent(1)] == [second]
    assert await journal.runs.recent(0) == ()
    assert [run.id for run in await journal.runs.recent(5, before=second)] == [first]
    assert [run.id for run in await journal.runs.recent(5, clusters={"ams"})] == [first]
    assert (await journal.runs.get(second) or runs[1]).deletions == (a, c)


async def test_a_failed_run_says_why(journal: Journal, ams: Lease) -> None:
    run_id = await new_run(journal, ams)
    await journal.runs.end(
        ams, run_id, success=False, failure="incomplete", error="the listing is incomplete", now=130.0
    )
    (run,) = await journal.runs.recent(1)
    assert (run.success, run.failure, run.error) == (False, "incomplete", "the listing is incomplete")
    assert run.ended_timestamp_seconds == 130.0
    assert (await totals_of(journal))["ams", "old"].last_failure == "incomplete"


async def test_the_last_dry_run_of_a_policy_on_a_cluster_has_its_plan(journal: Journal) -> None:
    ams, fra = await lease_of(journal, AMS), await lease_of(journal, FRA)
    real = await new_run(journal, ams)
    others = [
        await new_run(journal, fra, dry_run=True),
        await new_run(journal, ams, policy="o", dry_run=True),
    ]
    dry = [await new_run(journal, ams, dry_run=True) for _ in range(3)]
    plans = {run.id: run.plan for run in await journal.runs.recent(9)}
    assert [run for run, plan in plans.items() if plan] == [dry[-1], *others[::-1], real]


async def test_a_plan_that_is_far_too_long_is_not_kept(journal: Journal, ams: Lease) -> None:
    for length, plan in ((1_000_000, "x" * 1_000_000), (1_000_001, "")):
        run_id = await journal.runs.begin(
            ams, cluster="ams", policy="old", dry_run=False, plan="x" * length, candidates=1, now=1.0
        )
        run = await journal.runs.get(run_id)
        assert run is not None
        assert run.plan == plan


async def test_the_start_of_the_last_run_is_known_by_cluster_and_policy(journal: Journal) -> None:
    ams, fra = await lease_of(journal, AMS), await lease_of(journal, FRA)
    for now in (300.0, 200.0):
        await new_run(journal, ams, now=now)
    await new_run(journal, ams, policy="other", now=400.0)
    await new_run(journal, fra, now=500.0)
    new = await lease_of(journal, "new")
    inherited = await journal.runs.inherit([ams, fra, new], now=600.0)
    assert {uuid: dict(one.last_started) for uuid, one in inherited.items()} == {
        AMS: {"old": 200.0, "other": 400.0},
        FRA: {"old": 500.0},
        "new": {},
    }


async def test_pruning_keeps_the_newest_of_each_policy_and_other_clusters(journal: Journal) -> None:
    ams, fra = await lease_of(journal, AMS), await lease_of(journal, FRA)
    of_ams = [await old_run(journal, ams) for _ in range(4)]
    of_fra = [await old_run(journal, fra) for _ in range(3)]
    other = [await old_run(journal, ams, policy="other")]
    assert await journal.runs.prune(ams, keep=2) == 2
    assert sorted(await kept(journal)) == [*of_ams[2:], *of_fra, *other]
    assert await journal.runs.prune(ams, keep=2) == 0


async def test_pruning_takes_nothing_from_the_totals(journal: Journal, ams: Lease) -> None:
    for _ in range(3):
        await old_run(journal, ams)
    before = await totals_of(journal), await durations_of(journal)
    assert await journal.runs.prune(ams, keep=0) == 3
    assert await journal.runs.recent(10) == ()
    assert (await totals_of(journal), await durations_of(journal)) == before


async def test_pruning_leaves_a_run_that_goes_on(journal: Journal, ams: Lease) -> None:
    run_id = await new_run(journal, ams)
    await old_run(journal, ams)
    assert await journal.runs.prune(ams, keep=0) == 1
    assert await kept(journal) == [run_id]


@pytest.mark.parametrize("phase", Phase)
async def test_pruning_leaves_what_is_unfinished_or_counts_for_the_day(
    postgresql: PostgresqlServer, postgresql_url: str, phase: Phase
) -> None:
    async with opened(postgresql_url) as journal:
        ams = await lease_of(journal)
        deletion = await deletion_in(journal, ams, phase)
        await journal.runs.end(ams, deletion.run_id, success=False, error="stopped", now=130.0)
        assert await journal.runs.prune(ams, keep=0) == 0
        aging = "UPDATE cleanup_deletions SET intended_database_seconds = intended_database_seconds - 86500"
        await postgresql.ask(postgresql_url, aging)
        if phase is not Phase.ENDED:
            assert await journal.runs.prune(ams, keep=0) == 0
            assert await unfinished_on(journal, AMS) == (deletion,)
            await end(journal, ams, deletion, Outcome.TIMEOUT)
        assert await journal.runs.prune(ams, keep=0) == 1
        assert await journal.deletions.given_up(AMS) == ()


async def test_pruning_leaves_a_delete_that_was_refused_before_the_package_was_protected(
    journal: Journal, ams: Lease
) -> None:
    deletion = await deletion_in(journal, ams, Phase.WAITING)
    await end(journal, ams, deletion, Outcome.PROTECTED)
    await journal.runs.end(ams, deletion.run_id, success=True, now=130.0)
    assert await journal.runs.prune(ams, keep=0) == 0
    assert await kept(journal) == [deletion.run_id]


async def test_runs_that_a_crash_cut_short_are_ended_as_failed(journal: Journal) -> None:
    ams, fra = await lease_of(journal, AMS), await lease_of(journal, FRA)
    over = await old_run(journal, ams)
    cut_short = await new_run(journal, ams)
    unfinished = await deletion_in(journal, ams, Phase.FOLLOWED)
    elsewhere = await new_run(journal, fra)
    assert (await journal.runs.inherit([ams], now=500.0))[AMS].unfinished == (unfinished,)
    runs = {run.id: run for run in await journal.runs.recent(10)}
    ended = runs[cut_short]
    assert (ended.success, ended.failure, ended.error, ended.ended_timestamp_seconds) == (
        False,
        "interrupted",
        "the program ended, or lost the lease of the cluster, during this run",
        500.0,
    )
    assert runs[over].ended_timestamp_seconds == 130.0
    assert runs[unfinished.run_id].ended_timestamp_seconds is None
    assert (await totals_of(journal))["ams", "old"].last_success is False
    await end(journal, ams, unfinished)
    inherited = await journal.runs.inherit([ams, fra], now=600.0)
    assert {uuid: one.unfinished for uuid, one in inherited.items()} == {AMS: (), FRA: ()}
    assert {run.id for run in await journal.runs.recent(10) if run.ended_timestamp_seconds == 600.0} == {
        unfinished.run_id,
        elsewhere,
    }
    await journal.runs.inherit([ams, fra], now=700.0)
    assert not [run for run in await journal.runs.recent(10) if run.ended_timestamp_seconds == 700.0]


async def test_more_clusters_than_one_transaction_takes_are_inherited(journal: Journal) -> None:
    leases = await journal.leases.acquire([f"cluster {number}" for number in range(450)])
    run_ids = [await new_run(journal, leases[f"cluster {number}"]) for number in (0, 449)]
    inherited = await journal.runs.inherit(leases.values(), now=500.0)
    assert inherited.keys() == leases.keys()
    assert {run.id for run in await journal.runs.recent(10) if run.failure == "interrupted"} == {*run_ids}


async def test_a_lost_lease_inherits_nothing_and_ends_no_run(journal: Journal) -> None:
    ams, fra = await lease_of(journal, AMS), await lease_of(journal, FRA)
    await new_run(journal, ams)
    again = await lease_of(journal, AMS)
    assert (await journal.runs.inherit([ams, fra], now=500.0)).keys() == {FRA}
    assert (await journal.runs.recent(1))[0].ended_timestamp_seconds is None
    assert (await journal.runs.inherit([again], now=500.0)).keys() == {AMS}


async def test_the_id_of_a_pruned_run_never_comes_back(journal: Journal, ams: Lease) -> None:
    pruned = await old_run(journal, ams)
    await journal.runs.prune(ams, keep=0)
    assert await new_run(journal, ams) > pruned


async def test_a_cluster_that_has_gone_for_more_than_a_year_is_forgotten_besides_its_totals(
    postgresql: PostgresqlServer, postgresql_url: str
) -> None:
    async with opened(postgresql_url) as journal:
        ams, fra = await lease_of(journal, AMS), await lease_of(journal, FRA)
        await deletion_in(journal, ams, Phase.ENDED)
        unfinished = await deletion_in(journal, fra, Phase.FOLLOWED)
        seen = [Package(version="9.9.1", create_timestamp_seconds=1.0)]
        await journal.seen.note({ams: seen, fra: seen}, now=5.0)
        await journal.leases.acquire(["new"])
    aging = "UPDATE cleanup_leases SET expires_seconds = 5 WHERE cluster_uuid <> 'new'"
    await postgresql.ask(postgresql_url, aging)
    async with opened(postgresql_url) as journal:
        assert [run.cluster for run in await journal.runs.recent(9)] == ["fra"]
        assert await unfinished_on(journal, FRA) == (unfinished,)
        assert await journal.seen.since(AMS, now=6.0) == {}
        assert await journal.seen.since(FRA, now=6.0) == {"9.9.1": 5.0}
        assert set(await totals_of(journal)) == {("ams", "old"), ("fra", "old")}
        assert {lease.epoch for lease in (await journal.leases.acquire([AMS, FRA, "new"])).values()} == {1, 2}
