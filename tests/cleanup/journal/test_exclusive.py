"""One process at a time holds a state."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cleanup.journal.programs import line_of, program
from cleanup.journal.server import PostgresqlServer
from cleanup.journal.steps import deletion_in, new_run, succeed

from exporter.cleanup.journal import Journal, JournalError, JournalInUseError, open_journal
from exporter.cleanup.records import Phase
from support.waiting import eventually

WAIT_SECONDS = 60.0
END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'"


def database_of(state: str) -> str:
    return state.partition("?")[0].rpartition("/")[2]


async def lose_connection(server: PostgresqlServer, state: str) -> None:
    await server.ask(server.url("postgres"), END_SESSIONS.format(database_of(state)))


async def test_a_second_process_is_refused_at_once(state: str) -> None:
    async with open_journal(state):
        with program("holder.py", state) as second:
            said = await asyncio.to_thread(line_of, second)
    assert said.startswith("JournalInUseError: ")
    assert said.endswith(": another process holds it")


async def test_a_second_opening_in_one_process_is_refused_and_the_first_goes_on(
    journal: Journal, state: str
) -> None:
    for _ in range(2):
        with pytest.raises(JournalInUseError):
            async with open_journal(state):
                pass
    await new_run(journal)


async def test_two_states_are_held_side_by_side(tmp_path: Path) -> None:
    async with (
        asyncio.timeout(WAIT_SECONDS),
        open_journal(f"sqlite:///{tmp_path}/a.db") as a,
        open_journal(f"sqlite:///{tmp_path}/b.db") as b,
    ):
        await asyncio.gather(new_run(a), new_run(b))


async def test_a_link_leads_to_the_same_lock(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "state.db")
    async with open_journal(f"sqlite:///{tmp_path}/state.db"):
        with pytest.raises(JournalInUseError):
            async with open_journal(f"sqlite:///{tmp_path}/link.db"):
                pass


async def test_a_killed_process_lets_go(state: str) -> None:
    with program("holder.py", state) as first:
        assert await asyncio.to_thread(line_of, first) == "held"
        with pytest.raises(JournalInUseError):
            async with open_journal(state):
                pass
        first.kill()
        first.wait(WAIT_SECONDS)

    async def opened() -> bool:
        try:
            async with open_journal(state) as journal:
                return await new_run(journal) > 0
        except JournalInUseError:
            # PostgreSQL notices a moment later; the kernel has released a file's lock.
            assert state.startswith("postgresql:")
            return False

    assert await eventually(opened, seconds=WAIT_SECONDS, what="the lock")


async def test_a_lost_connection_is_told_and_nothing_is_written_any_more(
    postgresql: PostgresqlServer, postgresql_state: str
) -> None:
    async with open_journal(postgresql_state) as journal:
        deletion = await deletion_in(journal, Phase.FOLLOWED)
        assert not journal.lost.is_set()
        await lose_connection(postgresql, postgresql_state)
        async with asyncio.timeout(WAIT_SECONDS):
            await journal.lost.wait()
        for _ in range(2):
            with pytest.raises(JournalError, match="cannot begin a run: the connection was lost"):
                await new_run(journal)
            with pytest.raises(JournalError, match="cannot note an outcome: the connection was lost"):
                await succeed(journal, deletion)
        async with open_journal(postgresql_state) as successor:
            assert await successor.unended() == (deletion,)
            with pytest.raises(JournalError):
                await succeed(journal, deletion)
            assert await successor.unended() == (deletion,)


async def test_a_connection_lost_in_the_midst_of_a_step_leaves_it_done_or_undone(
    postgresql: PostgresqlServer, postgresql_state: str
) -> None:
    async with open_journal(postgresql_state) as journal:
        deletion = await deletion_in(journal, Phase.FOLLOWED)
        losing = asyncio.create_task(lose_connection(postgresql, postgresql_state))
        written = []
        async with asyncio.timeout(WAIT_SECONDS):
            while not journal.lost.is_set():
                try:
                    written.append(await new_run(journal))
                except JournalError:
                    assert journal.lost.is_set()
        await losing
    async with open_journal(postgresql_state) as journal:
        assert await journal.unended() == (deletion,)
        kept = [run.id for run in reversed(await journal.recent_runs(10**6))][1:]
        assert kept[: len(written)] == written
        assert len(kept) - len(written) in {0, 1}


async def test_a_server_that_hangs_counts_as_lost(
    postgresql: PostgresqlServer, postgresql_state: str
) -> None:
    async with asyncio.timeout(WAIT_SECONDS), open_journal(postgresql_state) as journal:
        deletion = await deletion_in(journal, Phase.INTENDED)
        blocking = asyncio.create_task(
            postgresql.ask(
                postgresql_state,
                "DO $$ BEGIN LOCK TABLE cleanup_deletions; PERFORM pg_sleep(60); END $$",
            )
        )

        async def locked() -> bool:
            query = "SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation > 0"
            return bool(await postgresql.ask(postgresql_state, query))

        await eventually(locked, seconds=WAIT_SECONDS, what="the table to be locked")
        with pytest.raises(JournalError, match="cannot note an outcome: no answer in time"):
            await succeed(journal, deletion)
        assert journal.lost.is_set()
        await lose_connection(postgresql, postgresql_state)
        await asyncio.gather(blocking, return_exceptions=True)
    async with open_journal(postgresql_state) as journal:
        assert await journal.unended() == (deletion,)


async def test_closing_is_no_loss(state: str) -> None:
    async with open_journal(state) as journal:
        await new_run(journal)
    await asyncio.sleep(0)
    assert not journal.lost.is_set()
