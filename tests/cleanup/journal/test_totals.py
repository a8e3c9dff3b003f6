"""The totals count every outcome once, and never go back."""

from __future__ import annotations

import pytest
from cleanup.journal.conftest import NewState
from cleanup.journal.steps import new_run, succeed

from exporter.cleanup.journal import Journal, JournalError, open_journal
from exporter.cleanup.records import DURATION_BUCKETS_SECONDS, Durations, Outcome, PolicyTotals

NONE = dict.fromkeys(Outcome, 0)


async def fail(journal: Journal, run_id: int, *, version: str, code: str) -> None:
    deletion = await journal.intend(run_id, version=version, now=1.0)
    await journal.end(deletion, outcome=Outcome.FAILURE, code=code, message="no", now=2.0)


async def test_an_empty_journal_has_no_totals(journal: Journal) -> None:
    assert await journal.totals() == {}
    assert await journal.durations() == {}
    assert await journal.recent_runs(10) == ()


async def test_a_run_that_has_begun_has_every_outcome_at_zero(journal: Journal) -> None:
    await journal.begin_run(cluster="ams", policy="old", dry_run=True, plan="[]", candidates=7, now=100.0)
    assert await journal.totals() == {
        ("ams", "old"): PolicyTotals(
            outcomes=NONE,
            codes={},
            candidates=7,
            last_started_timestamp_seconds=100.0,
            last_ended_timestamp_seconds=None,
            last_success=None,
            last_success_timestamp_seconds=None,
        )
    }


async def test_the_totals_remember_the_last_run_and_the_last_success(journal: Journal) -> None:
    await journal.end_run(await new_run(journal, now=100.0), success=True, now=110.0)
    await journal.end_run(await new_run(journal, now=200.0), success=False, now=210.0)
    await new_run(journal, now=300.0)
    totals = (await journal.totals())["ams", "old"]
    assert totals.last_started_timestamp_seconds == 300.0
    assert (totals.last_ended_timestamp_seconds, totals.last_success) == (210.0, False)
    assert totals.last_success_timestamp_seconds == 110.0


async def test_outcomes_and_codes_are_counted_by_cluster_and_policy(journal: Journal) -> None:
    old = await new_run(journal, policy="old")
    other = await new_run(journal, policy="other")
    for version in ("1", "2"):
        await succeed(journal, await journal.intend(old, version=version, now=1.0))
        await fail(journal, old, version=version, code="8912897")
    await fail(journal, other, version="3", code="")
    totals = await journal.totals()
    assert totals["ams", "old"].outcomes == NONE | {Outcome.SUCCESS: 2, Outcome.FAILURE: 2}
    assert totals["ams", "old"].codes == {"8912897": 2}
    assert totals["ams", "other"].outcomes == NONE | {Outcome.FAILURE: 1}
    assert totals["ams", "other"].codes == {}


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(-5.0, 0), (0.0, 0), (1.0, 0), (1.5, 1), (3600.0, 9), (3600.5, 10), (1e9, 10)],
)
async def test_a_duration_falls_into_the_first_bucket_that_holds_it(
    journal: Journal, seconds: float, bucket: int
) -> None:
    deletion = await journal.intend(await new_run(journal), version="1", now=1000.0)
    await succeed(journal, deletion, now=1000.0 + seconds)
    buckets = tuple(int(index >= bucket) for index in range(len(DURATION_BUCKETS_SECONDS) + 1))
    assert await journal.durations() == {"old": Durations(buckets=buckets, sum_seconds=max(0.0, seconds))}


async def test_durations_add_up_over_the_clusters_of_a_policy(journal: Journal) -> None:
    for cluster, seconds in (("ams", 2.0), ("fra", 2.5), ("fra", 7200.0)):
        deletion = await journal.intend(await new_run(journal, cluster=cluster), version="1", now=0.0)
        await succeed(journal, deletion, now=seconds)
    (durations,) = (await journal.durations()).values()
    assert durations == Durations(buckets=(0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3), sum_seconds=7204.5)


async def test_a_failed_end_is_not_counted(journal: Journal) -> None:
    deletion = await journal.intend(await new_run(journal), version="1", now=1.0)
    connection = journal._database._connection
    await connection.exec_driver_sql("ALTER TABLE cleanup_durations RENAME TO mislaid")
    await connection.commit()
    with pytest.raises(JournalError, match=r"cannot note an outcome: .*cleanup_durations"):
        await succeed(journal, deletion)  # its last write fails
    assert await journal.unended() == (deletion,)
    assert (await journal.totals())["ams", "old"].outcomes == NONE


async def test_everything_is_there_after_a_restart(new_state: NewState) -> None:
    state = await new_state()
    async with open_journal(state) as journal:
        run_id = await new_run(journal)
        await fail(journal, run_id, version="1", code="4")
        intended = await journal.intend(run_id, version="2", now=3.0)
        before = await journal.totals(), await journal.durations(), await journal.recent_runs(5)
    async with open_journal(state) as journal:
        assert (await journal.totals(), await journal.durations(), await journal.recent_runs(5)) == before
        assert await journal.unended() == (intended,)
        assert await new_run(journal) > run_id
