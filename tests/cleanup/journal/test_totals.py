"""The totals count every outcome once, and never go back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from cleanup.journal.conftest import NewUrl

from exporter.cleanup.cleanup_board import CleanupBoard, PolicyStatus
from exporter.cleanup.journal import Journal
from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import DURATION_BUCKETS_SECONDS, Durations, Lease, PolicyTotals
from support.journal.journal_steps import (
    AMS,
    FRA,
    durations_of,
    end,
    intend,
    lease_of,
    new_run,
    opened,
    totals_of,
    unfinished_on,
)

NONE = dict.fromkeys(Outcome, 0)


async def fail(journal: Journal, lease: Lease, run_id: int, *, version: str, code: str) -> None:
    deletion = await intend(journal, lease, run_id, version=version)
    await end(journal, lease, deletion, Outcome.FAILURE, code=code, message="no")


async def test_an_empty_journal_has_no_totals(journal: Journal) -> None:
    assert await totals_of(journal) == {}
    assert await durations_of(journal) == {}
    assert await journal.runs.recent(10) == ()


async def test_a_run_that_has_begun_has_every_outcome_at_zero(journal: Journal, ams: Lease) -> None:
    await journal.runs.begin(
        ams, cluster="ams", policy="old", dry_run=True, plan="[]", candidates=7, planned={}, now=100.0
    )
    assert await totals_of(journal) == {
        ("ams", "old"): PolicyTotals(
            outcomes=NONE,
            codes={},
            candidates=7,
            planned={},
            last_started_timestamp_seconds=100.0,
            last_ended_timestamp_seconds=None,
            last_success=None,
            last_failure="",
            last_success_timestamp_seconds=None,
        )
    }


async def test_the_totals_remember_the_last_plan_that_rests_on_nothing_unknown(
    journal: Journal, ams: Lease
) -> None:
    async def remembered_after(
        planned: dict[tuple[str, str], int] | None, candidates: int = 0
    ) -> tuple[Mapping[tuple[str, str], int] | None, int | None]:
        await journal.runs.begin(
            ams,
            cluster="ams",
            policy="old",
            dry_run=False,
            plan="",
            candidates=candidates,
            planned=planned,
            now=1.0,
        )
        totals = (await totals_of(journal))["ams", "old"]
        return totals.planned, totals.candidates

    assert await remembered_after(None) == (None, None)
    counts = {("delete", "retired"): 1, ("keep", "too_young"): 2}
    assert await remembered_after(counts, 1) == (counts, 1)
    assert await remembered_after(None) == (counts, 1)
    assert await remembered_after({}) == ({}, 0)


async def test_the_totals_remember_the_last_run_and_the_last_success(journal: Journal, ams: Lease) -> None:
    await journal.runs.end(ams, await new_run(journal, ams, now=100.0), success=True, now=110.0)
    failed = await new_run(journal, ams, now=200.0)
    await journal.runs.end(ams, failed, success=False, failure="denied", now=210.0)
    await new_run(journal, ams, now=300.0)
    totals = (await totals_of(journal))["ams", "old"]
    assert totals.last_started_timestamp_seconds == 300.0
    assert (totals.last_ended_timestamp_seconds, totals.last_success) == (210.0, False)
    assert (totals.last_failure, totals.last_success_timestamp_seconds) == ("denied", 110.0)


async def test_outcomes_and_codes_are_counted_by_cluster_and_policy(journal: Journal, ams: Lease) -> None:
    old = await new_run(journal, ams, policy="old")
    other = await new_run(journal, ams, policy="other")
    for version in ("1", "2"):
        await end(journal, ams, await intend(journal, ams, old, version=version))
        await fail(journal, ams, old, version=version, code="8912897")
    await fail(journal, ams, other, version="3", code="")
    totals = await totals_of(journal)
    assert totals["ams", "old"].outcomes == NONE | {Outcome.SUCCESS: 2, Outcome.FAILURE: 2}
    assert totals["ams", "old"].codes == {"8912897": 2}
    assert totals["ams", "other"].outcomes == NONE | {Outcome.FAILURE: 1}
    assert totals["ams", "other"].codes == {}


async def test_a_cluster_that_makes_codes_up_fills_no_database(journal: Journal, ams: Lease) -> None:
    run_id = await new_run(journal, ams)
    for number in range(53):
        await fail(journal, ams, run_id, version="1", code=str(number))
    await fail(journal, ams, run_id, version="1", code="7")
    await fail(journal, ams, run_id, version="1", code="8" * 1000)
    codes = (await totals_of(journal))["ams", "old"].codes
    assert codes == {str(number): 1 for number in range(50)} | {"7": 2, "other": 4}


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(-5.0, 0), (0.0, 0), (1.0, 0), (1.5, 1), (3600.0, 9), (3600.5, 10), (1e9, 10)],
)
async def test_a_duration_falls_into_the_first_bucket_that_holds_it(
    journal: Journal, ams: Lease, seconds: float, bucket: int
) -> None:
    deletion = await intend(journal, ams, await new_run(journal, ams), now=1000.0)
    await end(journal, ams, deletion, now=1000.0 + seconds)
    buckets = tuple(int(index >= bucket) for index in range(len(DURATION_BUCKETS_SECONDS) + 1))
    assert await durations_of(journal) == {"old": Durations(buckets=buckets, sum_seconds=max(0.0, seconds))}


async def test_durations_add_up_over_the_clusters_of_a_policy(journal: Journal) -> None:
    ams, fra = await lease_of(journal, AMS), await lease_of(journal, FRA)
    for lease, seconds in ((ams, 2.0), (fra, 2.5), (fra, 7200.0)):
        deletion = await intend(journal, lease, await new_run(journal, lease), now=0.0)
        await end(journal, lease, deletion, now=seconds)
    (durations,) = (await durations_of(journal)).values()
    assert durations == Durations(buckets=(0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3), sum_seconds=7204.5)


async def test_everything_is_there_after_a_restart(new_url: NewUrl) -> None:
    url = await new_url()
    async with opened(url) as journal:
        lease = await lease_of(journal)
        run_id = await new_run(journal, lease)
        await fail(journal, lease, run_id, version="1", code="4")
        intended = await intend(journal, lease, run_id, version="2")
        before = await totals_of(journal), await durations_of(journal), await journal.runs.recent(5)
    async with opened(url) as journal:
        after = await totals_of(journal), await durations_of(journal), await journal.runs.recent(5)
        assert after == before
        assert await unfinished_on(journal, AMS) == (intended,)
        assert await new_run(journal, await lease_of(journal)) > run_id


async def test_totals_of_more_clusters_than_one_query_reads_are_all_there(journal: Journal) -> None:
    names = [f"c{number}" for number in range(9)]
    lease = await lease_of(journal)
    for name in names:
        for policy in ("a", "b"):
            await journal.runs.begin(
                lease, cluster=name, policy=policy, dry_run=True, plan="", candidates=1, now=1.0
            )
    expected = [(name, policy) for name in names for policy in ("a", "b")]
    for per_query in (1, 5, 18, 19):
        parts = [some async for some in journal.totals.changed(per_query=per_query)]
        assert [key for some in parts for key in some.policies] == expected
        assert all(len(some.policies) <= per_query for some in parts)
        assert [some.durations is None for some in parts] == [False, *[True] * (len(parts) - 1)]
        assert {some.read_until for some in parts} == {parts[0].read_until}


async def test_what_changed_in_another_process_is_read_without_the_rest(postgresql_url: str) -> None:
    async with opened(postgresql_url) as one, opened(postgresql_url) as two:
        ams, fra = await lease_of(one, AMS), await lease_of(two, FRA)
        await new_run(one, ams)
        first = await anext(two.totals.changed())
        assert set(first.policies) == {("ams", "old")}
        run_id = await new_run(two, fra)
        await fail(two, fra, run_id, version="1", code="4")
        changed = await anext(one.totals.changed(first.read_until))
        assert changed.policies["fra", "old"] == (await totals_of(two))["fra", "old"]
        assert (await anext(one.totals.changed(changed.read_until + 1e6))).policies == {}
        assert await durations_of(one) == await durations_of(two)


async def test_a_status_that_is_shown_while_totals_are_read_is_counted_by_the_next_reading(
    journal: Journal, ams: Lease
) -> None:
    for policy in ("new", "old"):
        await journal.runs.begin(
            ams, cluster="ams", policy=policy, dry_run=True, plan="", candidates=7, planned={}, now=1.0
        )
    old = PolicyStatus(cluster="ams", labels=(), policy="old", dry_run=True)

    def show_new(status: PolicyStatus) -> None:
        if status.is_counted and board.get(("ams", "new")) is None:
            board.put(replace(old, policy="new"))

    board = CleanupBoard(on_change=show_new)
    board.put(old)
    found = []
    for _ in range(2):
        await board.read_totals(journal.totals)
        found.append([(one.policy, one.is_counted, one.totals.candidates) for one in board.statuses()])
    assert found == [[("old", True, 7), ("new", False, None)], [("old", True, 7), ("new", True, 7)]]
