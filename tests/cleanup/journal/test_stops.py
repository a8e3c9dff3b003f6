"""What stops deleting holds for every process that shares a journal, and survives restarts."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from cleanup.journal.conftest import NewUrl

from exporter.cleanup.journal import Journal, StepRefusedError
from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import Deletion, Lease, Phase
from support.journal.journal_steps import (
    AMS,
    FRA,
    deletion_in,
    end,
    intend,
    lease_of,
    new_run,
    opened,
    unfinished_on,
)
from support.postgresql_server import PostgresqlServer

FAILING = (Outcome.FAILURE, Outcome.TIMEOUT)


KILL_SWITCH = "the kill switch is on"
PAUSED = "policy old is paused"


async def refused(journal: Journal, lease: Lease, run_id: int, why: str, limit: int | None = None) -> None:
    with pytest.raises(StepRefusedError, match=why):
        await intend(journal, lease, run_id, max_deletes_per_day=limit)
    assert await unfinished_on(journal, lease.cluster_uuid) == ()


async def sent_today(journal: Journal, lease: Lease, run_id: int, count: int) -> None:
    """See that this many deletions count for the day."""
    await refused(journal, lease, run_id, f"max_deletes_per_day is used up: {count} deletions", limit=count)
    deletion = await intend(journal, lease, run_id, max_deletes_per_day=count + 1)
    await end(journal, lease, deletion, Outcome.PROTECTED)


async def fail(
    journal: Journal,
    lease: Lease,
    outcome: Outcome = Outcome.FAILURE,
    *,
    policy: str = "old",
    digest: str = "d1",
    stop_after_failures: int = 3,
) -> Deletion:
    run_id = await new_run(journal, lease, policy=policy)
    deletion = await intend(journal, lease, run_id, policy_digest=digest)
    return await end(
        journal,
        lease,
        deletion,
        outcome,
        code="9",
        message="no such luck",
        stop_after_failures=stop_after_failures,
        now=200.0,
    )


async def test_a_new_journal_stops_nothing(journal: Journal) -> None:
    stops = await journal.stops.read()
    assert (stops.kill_switch, dict(stops.paused), dict(stops.unfinished)) == (False, {}, {})


async def test_the_kill_switch_survives_a_restart_and_stops_every_intent(new_url: NewUrl) -> None:
    url = await new_url()
    async with opened(url) as journal:
        lease = await lease_of(journal)
        waiting = await deletion_in(journal, lease, Phase.WAITING)
        await journal.stops.set_kill_switch(engaged=True)
    async with opened(url) as journal:
        assert (await journal.stops.read()).kill_switch
        lease, fra = await lease_of(journal), await lease_of(journal, FRA)
        with pytest.raises(StepRefusedError, match="the kill switch is on"):
            await journal.deletions.intend_again(lease, waiting, create_timestamp_seconds=50.0)
        await refused(journal, fra, await new_run(journal, fra), KILL_SWITCH)
        await end(journal, lease, waiting)
        await journal.stops.set_kill_switch(engaged=False)
        await deletion_in(journal, fra, Phase.INTENDED)


async def test_the_kill_switch_of_one_process_stops_the_others(postgresql_url: str) -> None:
    async with opened(postgresql_url) as one, opened(postgresql_url) as two:
        lease = await lease_of(two)
        run_id = await new_run(two, lease)
        await one.stops.set_kill_switch(engaged=True)
        await refused(two, lease, run_id, KILL_SWITCH)
        assert (await two.stops.read()).kill_switch
        await two.stops.set_kill_switch(engaged=False)
        assert not (await one.stops.read()).kill_switch


async def test_no_intent_is_stored_once_the_kill_switch_is_engaged(postgresql_url: str) -> None:
    async with opened(postgresql_url) as one, opened(postgresql_url) as two:
        leases = list((await two.leases.acquire([f"c{number}" for number in range(10)])).values())
        run_ids = [await new_run(two, lease) for lease in leases]

        async def unfinished() -> set[str]:
            return set((await one.stops.read()).unfinished)

        async def engage() -> None:
            await asyncio.sleep(0)
            await one.stops.set_kill_switch(engaged=True)
            stored.append(await unfinished())

        stored: list[set[str]] = []
        intents = (intend(two, lease, run_id) for lease, run_id in zip(leases, run_ids, strict=True))
        await asyncio.gather(engage(), *intents, return_exceptions=True)
        assert stored == [await unfinished()]


async def test_failures_in_a_row_over_all_clusters_pause_the_policy(journal: Journal) -> None:
    ams, fra = await lease_of(journal, AMS), await lease_of(journal, FRA)
    await fail(journal, ams, Outcome.TIMEOUT)
    await fail(journal, fra)
    assert (await journal.stops.read()).paused == {}
    await fail(journal, ams)
    (pause,) = (await journal.stops.read()).paused.values()
    assert (pause.policy, pause.digest, pause.since_timestamp_seconds) == ("old", "d1", 200.0)
    assert pause.reason == (
        "3 deletions in a row ended as failure or timeout; the last one, of 9.9.1 on ams: no such luck"
    )
    for lease in (ams, fra):
        await refused(journal, lease, await new_run(journal, lease), PAUSED)


async def test_a_paused_policy_sends_nothing_again(journal: Journal) -> None:
    ams, fra = await lease_of(journal, AMS), await lease_of(journal, FRA)
    waiting = await deletion_in(journal, ams, Phase.WAITING)
    await fail(journal, fra, stop_after_failures=1)
    with pytest.raises(StepRefusedError, match="policy old is paused: 1 deletions in a row"):
        await journal.deletions.intend_again(ams, waiting, create_timestamp_seconds=50.0)


async def test_other_policies_and_changed_ones_are_not_paused(journal: Journal, ams: Lease) -> None:
    await fail(journal, ams, stop_after_failures=1)
    other = await intend(journal, ams, await new_run(journal, ams, policy="other"))
    await end(journal, ams, other)
    changed = await intend(journal, ams, await new_run(journal, ams), policy_digest="d2")
    await end(journal, ams, changed)
    assert set((await journal.stops.read()).paused) == {("old", "d1")}


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.ALREADY_GONE])
async def test_a_package_that_is_gone_ends_the_row(journal: Journal, ams: Lease, outcome: Outcome) -> None:
    for ended_as in (*FAILING, outcome, *FAILING):
        await fail(journal, ams, ended_as)
    assert (await journal.stops.read()).paused == {}


@pytest.mark.parametrize("outcome", [Outcome.BUSY, Outcome.DENIED, Outcome.PROTECTED])
async def test_what_says_nothing_of_the_policy_does_not_count(
    journal: Journal, ams: Lease, outcome: Outcome
) -> None:
    for ended_as in (*FAILING, outcome, outcome, Outcome.FAILURE):
        assert (await journal.stops.read()).paused == {}
        await fail(journal, ams, ended_as)
    assert len((await journal.stops.read()).paused) == 1


async def test_a_success_that_comes_late_does_not_end_the_pause(journal: Journal) -> None:
    ams, fra = await lease_of(journal, AMS), await lease_of(journal, FRA)
    followed = await deletion_in(journal, ams, Phase.FOLLOWED)
    await fail(journal, fra, stop_after_failures=1)
    await end(journal, ams, followed)
    assert len((await journal.stops.read()).paused) == 1


async def test_a_policy_that_is_resumed_counts_from_zero(journal: Journal, ams: Lease) -> None:
    for _ in range(3):
        await fail(journal, ams)
    await fail(journal, ams, policy="other", stop_after_failures=1)
    await journal.stops.resume()
    assert (await journal.stops.read()).paused == {}
    for _ in range(2):
        await fail(journal, ams)
        assert (await journal.stops.read()).paused == {}


async def test_zero_never_pauses(journal: Journal, ams: Lease) -> None:
    for _ in range(5):
        await fail(journal, ams, stop_after_failures=0)
    assert (await journal.stops.read()).paused == {}


async def test_the_variants_of_a_policy_that_are_remembered_are_bounded(journal: Journal, ams: Lease) -> None:
    for number in range(15):
        await fail(journal, ams, digest=f"d{number}", stop_after_failures=1)
    assert set((await journal.stops.read()).paused) == {("old", f"d{number}") for number in range(5, 15)}


async def test_failures_of_two_processes_are_one_row(postgresql_url: str) -> None:
    async with opened(postgresql_url) as one, opened(postgresql_url) as two:
        ams, fra = await lease_of(one, AMS), await lease_of(two, FRA)
        await fail(one, ams, stop_after_failures=2)
        await fail(two, fra, stop_after_failures=2)
        await refused(one, ams, await new_run(one, ams), PAUSED)


async def test_a_day_has_so_many_deletions_on_all_clusters_together(journal: Journal) -> None:
    ams, fra = await lease_of(journal, AMS), await lease_of(journal, FRA)
    await deletion_in(journal, ams, Phase.ENDED)
    await deletion_in(journal, ams, Phase.FOLLOWED)
    run_id = await new_run(journal, fra)
    await sent_today(journal, fra, run_id, 2)


async def test_what_was_never_sent_does_not_count_for_the_day(journal: Journal, ams: Lease) -> None:
    run_id = await new_run(journal, ams)
    await journal.deletions.end_unsent(
        ams, run_id, version="1", outcome=Outcome.ALREADY_GONE, message="", now=1.0
    )
    called_off = await intend(journal, ams, run_id)
    await end(journal, ams, called_off, Outcome.PROTECTED)
    await sent_today(journal, ams, run_id, 0)


async def test_yesterday_does_not_count_and_the_clock_of_the_caller_does_not_matter(
    postgresql: PostgresqlServer, postgresql_url: str
) -> None:
    async with opened(postgresql_url) as journal:
        lease = await lease_of(journal)
        run_id = await new_run(journal, lease)
        for now in (0.0, 1e11):
            deletion = await intend(journal, lease, run_id, now=now)
            await end(journal, lease, deletion, now=now)
        await sent_today(journal, lease, run_id, 2)
        aging = "UPDATE cleanup_deletions SET intended_database_seconds = intended_database_seconds - {}"
        await postgresql.ask(postgresql_url, aging.format(86_000))
        await sent_today(journal, lease, run_id, 2)
        await postgresql.ask(postgresql_url, aging.format(1000))
        await sent_today(journal, lease, run_id, 0)


async def test_processes_that_race_for_the_last_deletion_of_the_day_never_make_two(
    postgresql_url: str,
) -> None:
    async with AsyncExitStack() as stack:
        intents = []
        for number in range(4):
            journal = await stack.enter_async_context(opened(postgresql_url))
            leases = await journal.leases.acquire([f"{number}-{one}" for one in range(4)])
            for lease in leases.values():
                run_id = await new_run(journal, lease)
                intents.append(intend(journal, lease, run_id, max_deletes_per_day=5))
        found = await asyncio.gather(*intents, return_exceptions=True)
        assert sum(isinstance(one, StepRefusedError) for one in found) == 11
        assert sum(isinstance(one, Deletion) for one in found) == 5
