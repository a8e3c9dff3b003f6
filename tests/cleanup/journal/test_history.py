"""Runs are read newest first, and pruned without a trace in the totals."""

from __future__ import annotations

import pytest
from cleanup.journal.steps import deletion_in, new_run, succeed

from exporter.cleanup.journal import Journal
from exporter.cleanup.records import Phase, Run


async def old_run(journal: Journal, *, cluster: str = "ams", policy: str = "old") -> int:
    run_id = await new_run(journal, cluster=cluster, policy=policy)
    await succeed(journal, await journal.intend(run_id, version="9.9.1", now=1.0))
    await journal.end_run(run_id, success=True, now=130.0)
    return run_id


async def kept(journal: Journal) -> list[int]:
    return [run.id for run in await journal.recent_runs(100)]


async def test_a_run_is_read_as_it_was_written(journal: Journal) -> None:
    run_id = await journal.begin_run(
        cluster="ams", policy="old", dry_run=True, plan='[{"version": "9.9.1"}]', candidates=1, now=100.0
    )
    run = Run(
        id=run_id,
        cluster="ams",
        policy="old",
        dry_run=True,
        started_timestamp_seconds=100.0,
        ended_timestamp_seconds=None,
        success=None,
        error="",
        plan='[{"version": "9.9.1"}]',
    )
    assert await journal.recent_runs(1) == (run,)


async def test_runs_come_newest_first_with_their_deletions_oldest_first(journal: Journal) -> None:
    first = await new_run(journal)
    second = await new_run(journal, cluster="fra")
    a = await journal.intend(second, version="2", now=2.0)
    b = await journal.intend(first, version="1", now=1.0)
    c = await journal.intend(second, version="1", now=1.0)
    runs = await journal.recent_runs(5)
    assert [(run.id, run.deletions) for run in runs] == [(second, (a, c)), (first, (b,))]
    assert [run.id for run in await journal.recent_runs(1)] == [second]
    assert await journal.recent_runs(0) == ()


async def test_a_failed_run_says_why(journal: Journal) -> None:
    await journal.end_run(await new_run(journal), success=False, error="the listing is stale", now=130.0)
    (run,) = await journal.recent_runs(1)
    assert (run.success, run.error, run.ended_timestamp_seconds) == (False, "the listing is stale", 130.0)


async def test_pruning_keeps_the_newest_of_each_cluster_and_policy(journal: Journal) -> None:
    ams = [await old_run(journal) for _ in range(4)]
    fra = [await old_run(journal, cluster="fra") for _ in range(3)]
    other = [await old_run(journal, policy="other")]
    assert await journal.prune(keep_runs=2) == 3
    assert sorted(await kept(journal)) == [*ams[2:], *fra[1:], *other]
    assert await journal.prune(keep_runs=2) == 0


async def test_pruning_takes_nothing_from_the_totals(journal: Journal) -> None:
    for _ in range(3):
        await old_run(journal)
    before = await journal.totals(), await journal.durations()
    assert await journal.prune(keep_runs=0) == 3
    assert await journal.recent_runs(10) == ()
    assert (await journal.totals(), await journal.durations()) == before


async def test_pruning_leaves_a_run_that_goes_on(journal: Journal) -> None:
    run_id = await new_run(journal)
    newer = await old_run(journal)
    assert await journal.prune(keep_runs=0) == 1
    assert await kept(journal) == [run_id]
    assert newer not in await kept(journal)


@pytest.mark.parametrize("phase", [Phase.INTENDED, Phase.WAITING, Phase.FOLLOWED])
async def test_pruning_leaves_a_run_with_an_unended_deletion(journal: Journal, phase: Phase) -> None:
    deletion = await deletion_in(journal, phase)
    await journal.end_run(deletion.run_id, success=False, error="stopped", now=130.0)
    await journal.end_run(await new_run(journal), success=True, now=140.0)
    assert await journal.prune(keep_runs=0) == 1
    assert await journal.unended() == (deletion,)
    await succeed(journal, deletion)
    assert await journal.prune(keep_runs=0) == 1


async def test_pruning_may_be_for_one_cluster(journal: Journal) -> None:
    ams = await old_run(journal)
    await old_run(journal, cluster="fra")
    assert await journal.prune(keep_runs=0, cluster="fra") == 1
    assert await kept(journal) == [ams]


async def test_runs_that_a_crash_cut_short_are_ended_as_failed(journal: Journal) -> None:
    over = await old_run(journal)
    cut_short = await new_run(journal)
    unended = await deletion_in(journal, Phase.FOLLOWED)
    elsewhere = await new_run(journal, cluster="fra")
    assert await journal.end_interrupted_runs(cluster="ams", now=500.0) == 1
    runs = {run.id: run for run in await journal.recent_runs(10)}
    ended = runs[cut_short]
    assert (ended.success, ended.error, ended.ended_timestamp_seconds) == (
        False,
        "the program ended, or its configuration changed, during this run",
        500.0,
    )
    assert runs[over].ended_timestamp_seconds == 130.0
    assert runs[unended.run_id].ended_timestamp_seconds is None
    assert (await journal.totals())["ams", "old"].last_success is False
    await succeed(journal, unended)
    assert await journal.end_interrupted_runs(now=600.0) == 2
    assert {run.id for run in await journal.recent_runs(10) if run.ended_timestamp_seconds == 600.0} == {
        unended.run_id,
        elsewhere,
    }
    assert await journal.end_interrupted_runs(now=700.0) == 0


async def test_the_id_of_a_pruned_run_never_comes_back(journal: Journal) -> None:
    pruned = await old_run(journal)
    await journal.prune(keep_runs=0)
    assert await new_run(journal) > pruned
