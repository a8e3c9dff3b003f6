"""One process at a time has a cluster's lease, and nobody writes without it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import time

import pytest

from exporter.cleanup.journal import Journal, JournalError, LeaseLostError, StepRefusedError
from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import Lease, Phase
from exporter.ontap.requests.listing import Package
from support.journal.journal_steps import (
    ALL_RUNS,
    AMS,
    FRA,
    WRITES,
    assert_consistent,
    deletion_in,
    end,
    intend,
    lease_of,
    new_run,
    opened,
    totals_of,
    unfinished_on,
)
from support.journal.processes import line_of, program
from support.postgresql_server import PostgresqlServer
from support.servicing import POLICY, cluster_named, deletes, life
from support.waiting import eventually

WAIT_SECONDS = 60.0


async def taken_over(journal: Journal, uuid: str = AMS) -> Lease:
    async def acquired() -> Lease | None:
        return (await journal.leases.acquire([uuid])).get(uuid)

    lease = await eventually(acquired, seconds=WAIT_SECONDS, what="the lease to expire")
    assert lease is not None
    return lease


async def expire(server: PostgresqlServer, url: str) -> None:
    """Let all leases expire."""
    await server.ask(url, "UPDATE cleanup_leases SET expires_seconds = extract(epoch FROM now())")


async def test_a_free_lease_is_acquired_and_never_was_held(journal: Journal) -> None:
    leases = await journal.leases.acquire([FRA, AMS, AMS])
    assert set(leases) == {AMS, FRA}
    assert {(lease.epoch, lease.held_before_until, lease.taken_over) for lease in leases.values()} == {
        (1, None, False)
    }
    assert await journal.leases.acquire([]) == {}


async def test_acquiring_again_ends_the_earlier_epoch(journal: Journal, url: str) -> None:
    first = await lease_of(journal)
    before = time()
    second = await lease_of(journal)
    assert (second.epoch, second.taken_over) == (2, False)
    if url.startswith("sqlite"):
        assert second.held_before_until is None
    else:
        assert second.held_before_until == pytest.approx(before, abs=5.0)
    with pytest.raises(LeaseLostError):
        await new_run(journal, first)
    await new_run(journal, second)


async def test_a_lease_is_relied_on_for_less_than_it_lasts_counted_from_before_it_was_asked_for(
    url: str,
) -> None:
    now = 1000.0
    async with opened(url, takeover_after_seconds=30.0, boot_clock=lambda: now) as journal:
        assert (await lease_of(journal)).valid_until_seconds == 1028.0
        now = 1010.0
        assert (await journal.leases.heartbeat()).leases[AMS].valid_until_seconds == 1038.0


async def test_a_heartbeat_renews_all_leases_and_loses_none(journal: Journal) -> None:
    await journal.leases.acquire([AMS, FRA])
    for _ in range(2):
        beat = await journal.leases.heartbeat()
        assert {uuid: lease.epoch for uuid, lease in beat.leases.items()} == {AMS: 1, FRA: 1}
        assert beat.living_owners == 1


async def test_a_released_lease_writes_nothing(journal: Journal) -> None:
    lease = await lease_of(journal)
    await journal.leases.release([AMS])
    with pytest.raises(LeaseLostError):
        await new_run(journal, lease)
    assert (await journal.leases.heartbeat()).leases == {}
    assert (await lease_of(journal)).epoch == 2


async def test_a_deletion_takes_no_step_under_the_lease_of_another_cluster(journal: Journal) -> None:
    ams, fra = await lease_of(journal, AMS), await lease_of(journal, FRA)
    deletion = await deletion_in(journal, ams, Phase.FOLLOWED)
    with pytest.raises(StepRefusedError, match=f"there is no deletion {deletion.id} on cluster {FRA}"):
        await end(journal, fra, deletion)
    assert await unfinished_on(journal, AMS) == (deletion,)


async def test_a_restart_has_the_leases_at_once_and_only_postgresql_knows_until_when_they_were_held(
    url: str,
) -> None:
    async with opened(url) as journal:
        first = await lease_of(journal)
    closed = time()
    async with opened(url) as journal:
        lease = await lease_of(journal)
        assert (lease.epoch, lease.taken_over) == (first.epoch + 1, False)
        if url.startswith("sqlite"):
            assert lease.held_before_until is None
        else:
            assert lease.held_before_until == pytest.approx(closed, abs=5.0)


@pytest.mark.parametrize("amid", range(0, 40, 5))
async def test_leases_whose_acquiring_was_cancelled_are_in_the_next_heartbeat_or_free(
    url: str, amid: int
) -> None:
    async with opened(url) as journal:
        acquiring = asyncio.create_task(journal.leases.acquire([AMS]))
        for _ in range(amid):
            await asyncio.sleep(0)
        acquiring.cancel()
        await asyncio.wait({acquiring})
        leases = (await journal.leases.heartbeat()).leases
        await new_run(journal, leases.get(AMS) or await lease_of(journal))


# SQLite: one process alone


async def test_a_second_process_is_refused_the_file_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    async with opened(url) as journal:
        with program("holder.py", url, "30") as second:
            said = await asyncio.to_thread(line_of, second)
        assert said == f"JournalError: {tmp_path}/state.db: another process holds it"
        (tmp_path / "link.db").symlink_to(tmp_path / "state.db")
        for name in ("state.db", "link.db"):
            with pytest.raises(JournalError, match="another process holds it"):
                async with opened(f"sqlite:///{tmp_path}/{name}"):
                    pass
        await lease_of(journal)


async def test_two_files_are_held_side_by_side(tmp_path: Path) -> None:
    async with opened(f"sqlite:///{tmp_path}/a.db") as a, opened(f"sqlite:///{tmp_path}/b.db") as b:
        await asyncio.gather(lease_of(a), lease_of(b))


async def test_the_file_of_a_killed_process_is_free_at_once_with_its_leases(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    with program("holder.py", url, "3600") as first:
        assert await asyncio.to_thread(line_of, first) == "held 2"
        first.kill()
        first.wait(WAIT_SECONDS)
    async with opened(url) as journal:
        leases = await journal.leases.acquire([AMS, FRA])
        assert {(lease.epoch, lease.taken_over) for lease in leases.values()} == {(2, False)}
        assert {lease.held_before_until for lease in leases.values()} == {None}


# PostgreSQL: any number of processes


async def test_what_another_process_holds_is_not_acquired_until_it_releases_it(postgresql_url: str) -> None:
    async with opened(postgresql_url) as one, opened(postgresql_url) as two:
        await one.leases.acquire([AMS])
        assert set(await two.leases.acquire([AMS, FRA])) == {FRA}
        await one.leases.release([AMS])
        lease = await lease_of(two)
        assert (lease.epoch, lease.taken_over) == (2, False)


async def test_of_the_free_leases_at_most_so_many_are_acquired_whatever_others_hold(
    postgresql_url: str,
) -> None:
    async with opened(postgresql_url) as one, opened(postgresql_url) as two:
        await one.leases.acquire(["a", "b", "c"])
        wanted = ["a", "b", "c", "d", "e", "f"]
        assert set(await two.leases.acquire(wanted, at_most=2)) == {"d", "e"}
        assert set(await two.leases.acquire(["f"], at_most=0)) == set()
        many = [f"cluster {number:04}" for number in range(1200)]
        assert set(await two.leases.acquire(many, at_most=1100)) == set(many[:1100])


async def test_a_clean_stop_releases_everything(postgresql_url: str) -> None:
    async with opened(postgresql_url) as two:
        async with opened(postgresql_url) as one:
            await one.leases.acquire([AMS, FRA])
            await one.leases.heartbeat()
            assert (await two.leases.heartbeat()).living_owners == 2
        leases = await two.leases.acquire([AMS, FRA])
        assert [lease.taken_over for lease in leases.values()] == [False, False]
        assert (await two.leases.heartbeat()).living_owners == 1


async def test_processes_of_other_shards_have_no_share_in_the_clusters_of_this_one(
    postgresql_url: str,
) -> None:
    async with (
        opened(postgresql_url, shard="0/2") as one,
        opened(postgresql_url, shard="1/2") as other,
        opened(postgresql_url, shard="1/2") as replica,
    ):
        found = [(await journal.leases.heartbeat()).living_owners for journal in (one, other, replica)]
        assert found == [1, 1, 2]


async def test_a_process_without_clusters_that_came_first_keeps_nobody_from_cleaning(
    postgresql_url: str, tmp_path: Path
) -> None:
    clusters = [cluster_named(name, "9.12.1", "9.14.1P2") for name in ("c1", "c2")]
    async with life(tmp_path, *clusters) as served:
        it = replace(served, state=postgresql_url)
        short = timedelta(seconds=3)
        async with replace(it, accesses={}).service(POLICY, takeover_after=short) as first:

            async def is_open() -> bool:
                return first.service.journal is not None

            await eventually(is_open, seconds=WAIT_SECONDS, what="the journal to be open")
            async with it.service(POLICY, takeover_after=short) as second:
                for cluster in clusters:
                    status = await second.watch.ended((cluster.name, POLICY.name))
                    assert status.totals.outcomes[Outcome.SUCCESS] == 1
        assert [deletes(cluster) for cluster in clusters] == [1, 1]


async def test_a_killed_process_is_taken_over_in_time(postgresql_url: str) -> None:
    takeover_after_seconds = 4.0
    async with opened(postgresql_url) as journal:
        began = time()
        with program("holder.py", postgresql_url, str(takeover_after_seconds)) as first:
            assert await asyncio.to_thread(line_of, first) == "held 2"
            held = time()
            assert await journal.leases.acquire([AMS, FRA]) == {}
            first.kill()
            first.wait(WAIT_SECONDS)
            lease = await taken_over(journal)
            assert (lease.epoch, lease.taken_over) == (2, True)
            ends_between = began + takeover_after_seconds, held + takeover_after_seconds
            assert ends_between[0] <= (lease.held_before_until or 0) <= ends_between[1]
            assert time() - held < takeover_after_seconds + 10.0
            assert (await journal.leases.heartbeat()).living_owners == 1


@pytest.mark.parametrize("name", WRITES)
async def test_a_lease_that_was_taken_over_writes_nothing(
    postgresql: PostgresqlServer, postgresql_url: str, name: str
) -> None:
    async with opened(postgresql_url) as one, opened(postgresql_url) as two:
        old = await lease_of(one)
        phase = Phase.WAITING if name == "intend_again" else Phase.INTENDED
        deletion = await deletion_in(one, old, phase)
        await expire(postgresql, postgresql_url)
        new = await lease_of(two)
        before = await two.runs.recent(ALL_RUNS), await totals_of(two)
        with pytest.raises(LeaseLostError):
            await WRITES[name](one, old, deletion)
        assert (await two.runs.recent(ALL_RUNS), await totals_of(two)) == before
        assert await one.seen.note({old: [Package(version="9", create_timestamp_seconds=1.0)]}, now=1.0) == {
            AMS
        }
        assert await two.seen.since(AMS, now=1.0) == {}
        await end(two, new, deletion)
        await assert_consistent(two)


async def test_what_was_taken_over_is_not_in_the_next_heartbeat(
    postgresql: PostgresqlServer, postgresql_url: str
) -> None:
    async with opened(postgresql_url) as one, opened(postgresql_url) as two:
        await one.leases.acquire([AMS, FRA])
        await expire(postgresql, postgresql_url)
        await lease_of(two, FRA)
        assert set((await one.leases.heartbeat()).leases) == {AMS}
        assert set((await two.leases.heartbeat()).leases) == {FRA}


async def test_an_expired_lease_that_nobody_took_records_outcomes_and_intends_nothing(
    postgresql: PostgresqlServer, postgresql_url: str
) -> None:
    async with opened(postgresql_url) as journal:
        lease, fra = await lease_of(journal), await lease_of(journal, FRA)
        deletion = await deletion_in(journal, lease, Phase.FOLLOWED)
        waiting = await deletion_in(journal, fra, Phase.WAITING)
        await expire(postgresql, postgresql_url)
        with pytest.raises(LeaseLostError, match="has expired"):
            await journal.deletions.intend_again(fra, waiting, create_timestamp_seconds=50.0)
        await end(journal, lease, deletion)
        with pytest.raises(LeaseLostError, match="has expired"):
            await intend(journal, lease, deletion.run_id, version="9.9.2")
        lease = (await journal.leases.heartbeat()).leases[AMS]
        await intend(journal, lease, deletion.run_id, version="9.9.2")


async def test_of_many_that_want_the_same_clusters_one_gets_each(postgresql_url: str) -> None:
    uuids = [f"cluster {number}" for number in range(700)]
    async with AsyncExitStack() as stack:
        journals = [await stack.enter_async_context(opened(postgresql_url)) for _ in range(4)]
        for journal in journals:
            await journal.leases.heartbeat()
        found = await asyncio.gather(*(journal.leases.acquire(uuids) for journal in journals))
        held = [uuid for leases in found for uuid in leases]
        assert len(held) == len(set(held))
        rest = await journals[0].leases.acquire(sorted(set(uuids) - set(held)))
        assert set(held) | set(rest) == set(uuids)
        beats = await asyncio.gather(*(journal.leases.heartbeat() for journal in journals))
        assert sum(len(beat.leases) for beat in beats) == len(uuids)
        assert {beat.living_owners for beat in beats} == {len(journals)}


async def test_a_write_under_way_holds_up_taking_over_and_not_renewing(
    postgresql: PostgresqlServer, postgresql_url: str
) -> None:
    async with (
        opened(postgresql_url) as one,
        opened(postgresql_url) as two,
        postgresql.session(postgresql_url) as session,
    ):
        await one.leases.acquire([AMS, FRA])
        async with session.transaction():
            query = "SELECT 1 FROM cleanup_leases WHERE cluster_uuid = $1 FOR KEY SHARE"
            await session.fetch(query, AMS)
            await expire(postgresql, postgresql_url)
            assert set(await two.leases.acquire([AMS, FRA])) == {FRA}
            assert set((await one.leases.heartbeat()).leases) == {AMS}
            await expire(postgresql, postgresql_url)
            assert await two.leases.acquire([AMS]) == {}
        assert (await lease_of(two)).taken_over
