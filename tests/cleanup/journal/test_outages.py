"""A database that fails, hangs or talks nonsense fails single calls, in time; the next ones work again."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import TypeVar

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import Connection
from sqlalchemy.util import await_only

from exporter.cleanup.journal import Journal, JournalError
from exporter.cleanup.journal.leases import TRANSACTION_SECONDS
from exporter.cleanup.journal.postgresql import server_settings
from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import Lease, Phase
from support.journal.journal_steps import (
    AMS,
    FRA,
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
from support.postgresql_server import PostgresqlServer
from support.servicing import POLICY, cluster_named, life
from support.silent_proxy import SilentProxy, silent_proxy
from support.waiting import eventually

T = TypeVar("T")

WAIT_SECONDS = 60.0
IN_TIME_SECONDS = 6.0
"""What is promised is 5 s; the machine may be busy."""


def bounded(url: str) -> AbstractAsyncContextManager[Journal]:
    """Open a journal that waits no longer for a transaction than one of the program."""
    return opened(url, transaction_seconds=TRANSACTION_SECONDS)


async def answered(call: Callable[[], Awaitable[T]]) -> T:
    """Make a call of a bounded journal until a busy machine answers it in time."""

    async def answers() -> list[T]:
        with suppress(JournalError):
            return [await call()]
        return []

    (answer,) = await eventually(answers, seconds=WAIT_SECONDS, what="an answer in time")
    return answer


@pytest.fixture
async def proxy(postgresql: PostgresqlServer) -> AsyncIterator[tuple[SilentProxy, Path]]:
    with tempfile.TemporaryDirectory(prefix="proxy-") as name:
        async with silent_proxy(postgresql.folder / ".s.PGSQL.5432", Path(name)) as proxy:
            yield proxy, Path(name)


def through(url: str, folder: Path) -> str:
    return f"{url.partition('?')[0]}?host={folder}"


async def fails_in_time(journal: Journal, lease: Lease) -> None:
    """See that every kind of call fails, and soon."""
    for call in (
        journal.leases.heartbeat,
        lambda: new_run(journal, lease),
        lambda: totals_of(journal),
        lambda: journal.leases.acquire([AMS]),
    ):
        began = monotonic()
        with pytest.raises(JournalError):
            await call()
        assert monotonic() - began < IN_TIME_SECONDS


async def works_again(journal: Journal) -> Lease:
    lease = (await answered(journal.leases.heartbeat)).leases[AMS]
    await new_run(journal, lease)
    return lease


async def test_a_server_that_goes_silent_fails_every_call_in_time_and_works_again(
    postgresql_url: str, proxy: tuple[SilentProxy, Path]
) -> None:
    between, folder = proxy
    async with opened(postgresql_url) as before:
        deletion = await deletion_in(before, await lease_of(before), Phase.FOLLOWED)
    async with bounded(through(postgresql_url, folder)) as journal:
        lease = await answered(lambda: lease_of(journal))
        between.fall_silent()
        await fails_in_time(journal, lease)
        between.speak()
        await end(journal, await works_again(journal), deletion)
        await assert_consistent(journal)


async def test_a_closing_journal_does_not_wait_for_a_silent_server(
    postgresql_url: str, proxy: tuple[SilentProxy, Path]
) -> None:
    between, folder = proxy
    async with bounded(through(postgresql_url, folder)) as journal:
        lease = await answered(lambda: lease_of(journal))
        await answered(lambda: new_run(journal, lease))
        between.fall_silent()
        began = monotonic()
    assert monotonic() - began < 2 * IN_TIME_SECONDS


async def test_a_silent_server_is_not_opened_and_not_waited_for(
    postgresql_url: str, proxy: tuple[SilentProxy, Path]
) -> None:
    between, folder = proxy
    between.fall_silent()
    began = monotonic()
    with pytest.raises(JournalError, match="no answer in time"):
        async with bounded(through(postgresql_url, folder)):
            pass
    assert monotonic() - began < IN_TIME_SECONDS


async def test_malformed_answers_fail_single_calls(
    postgresql_url: str, proxy: tuple[SilentProxy, Path]
) -> None:
    between, folder = proxy
    async with bounded(through(postgresql_url, folder)) as journal:
        lease = await answered(lambda: lease_of(journal))
        between.garble()
        await fails_in_time(journal, lease)
        with pytest.raises(JournalError):
            async with bounded(through(postgresql_url, folder)):
                pass
        between.speak()
        await works_again(journal)


async def test_a_server_whose_processes_are_paused_fails_calls_in_time(
    postgresql: PostgresqlServer, postgresql_url: str
) -> None:
    async with bounded(postgresql_url) as journal:
        lease = await answered(lambda: lease_of(journal))
        await answered(lambda: new_run(journal, lease))
        backends = await postgresql.backends(postgresql_url)
        for process in backends:
            os.kill(process, signal.SIGSTOP)
        try:
            with pytest.raises(JournalError, match="no answer in time"):
                await journal.leases.heartbeat()
            with pytest.raises(JournalError, match="no answer in time"):
                await new_run(journal, lease)
            await works_again(journal)  # on other connections
        finally:
            for process in backends:
                os.kill(process, signal.SIGCONT)
        await works_again(journal)


async def test_sessions_that_the_server_ended_are_replaced(
    postgresql: PostgresqlServer, postgresql_url: str
) -> None:
    async with opened(postgresql_url) as journal:
        lease = await lease_of(journal)
        for _ in range(3):
            await postgresql.end_sessions(postgresql_url)
            assert set((await journal.leases.heartbeat()).leases) == {AMS}
            await new_run(journal, lease)


async def test_a_session_ended_amid_steps_leaves_each_done_or_undone(
    postgresql: PostgresqlServer, postgresql_url: str
) -> None:
    async with opened(postgresql_url) as journal:
        lease = await lease_of(journal)
        written: list[int] = []
        failed = 0

        async def write() -> None:
            nonlocal failed
            for _ in range(15):
                try:
                    written.append(await new_run(journal, lease))
                except JournalError:
                    failed += 1

        writing = [asyncio.create_task(write()) for _ in range(3)]
        while not all(task.done() for task in writing):
            await postgresql.end_sessions(postgresql_url)
        await asyncio.gather(*writing)
        kept = {run.id for run in await journal.runs.recent(1000)}
        assert set(written) <= kept
        assert len(kept - set(written)) <= failed


async def test_a_locked_table_fails_what_needs_it_and_leases_stay_renewed(
    postgresql: PostgresqlServer, postgresql_url: str
) -> None:
    async with opened(postgresql_url) as before:
        deletion = await deletion_in(before, await lease_of(before), Phase.INTENDED)
    async with bounded(postgresql_url) as journal, opened(postgresql_url) as other:
        lease = await answered(lambda: lease_of(journal))
        expiry = "SELECT expires_seconds FROM cleanup_leases"
        async with postgresql.session(postgresql_url) as session, session.transaction():
            await session.execute("LOCK TABLE cleanup_deletions")
            before = await session.fetchval(expiry)
            with pytest.raises(JournalError, match="cannot note an outcome: canceling statement"):
                await end(journal, lease, deletion)
            with pytest.raises(JournalError, match="cannot read what stops deleting"):
                await journal.stops.read()
            await journal.leases.heartbeat()
            assert await session.fetchval(expiry) > before
            assert set(await other.leases.acquire([AMS, FRA])) == {FRA}
        await end(journal, lease, deletion)


HELD_UP = """
    SELECT query_start, epoch, expires_seconds FROM pg_stat_activity, cleanup_leases
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%cleanup_policies%'
"""


async def test_totals_that_cannot_be_read_hold_up_no_heartbeat(
    postgresql: PostgresqlServer, postgresql_url: str, tmp_path: Path
) -> None:
    cluster = cluster_named("c1", "9.14.1P2")
    async with life(tmp_path, cluster) as served:
        it = replace(served, state=postgresql_url)
        async with it.service(POLICY, takeover_after=timedelta(seconds=3)) as one:
            await one.watch.ended()
            async with postgresql.session(postgresql_url) as session, session.transaction():
                await session.execute("LOCK TABLE cleanup_policies")
                expiries: dict[tuple[object, int], set[float]] = {}

                async def is_renewed_meanwhile() -> bool:
                    for reading, epoch, expiry in await postgresql.ask(postgresql_url, HELD_UP):
                        expiries.setdefault((reading, epoch), set()).add(expiry)
                    return any(len(seen) > 1 for seen in expiries.values())

                what = "a heartbeat during a reading that is held up"
                await eventually(is_renewed_meanwhile, seconds=WAIT_SECONDS, what=what)

            async def is_mended() -> bool:
                return not one.service.problem

            await eventually(is_mended, seconds=WAIT_SECONDS, what="the totals to be read again")


async def test_what_a_process_that_hangs_has_locked_is_free_after_seconds(
    postgresql: PostgresqlServer, postgresql_url: str
) -> None:
    async with bounded(postgresql_url) as journal:
        lease = await answered(lambda: lease_of(journal))
        reached = asyncio.Event()

        def hang(connection: Connection) -> None:
            journal.leases.confirm(connection, lease)
            reached.set()
            await_only(asyncio.Event().wait())

        hanging = asyncio.create_task(journal.runs.database.transact("hang", hang))
        await reached.wait()
        with pytest.raises(JournalError, match="no answer in time"):
            await hanging
        async with bounded(postgresql_url) as other:
            expiring = "UPDATE cleanup_leases SET expires_seconds = 0"
            await postgresql.ask(postgresql_url, expiring)
            await lease_of(other)


async def test_a_process_that_hangs_amid_a_statement_locks_nothing_for_long(
    postgresql: PostgresqlServer, postgresql_url: str
) -> None:
    async with opened(postgresql_url) as journal:
        await lease_of(journal)
        hung = await asyncpg.connect(postgresql_url, server_settings=server_settings(TRANSACTION_SECONDS))
        try:
            await hung.execute("BEGIN")
            await hung.fetch("SELECT 1 FROM cleanup_leases FOR KEY SHARE")
            await hung.prepare("SELECT 1")  # the server waits for the statement's second message
            await postgresql.ask(postgresql_url, "UPDATE cleanup_leases SET expires_seconds = 0")
            async with bounded(postgresql_url) as other:
                assert await other.leases.acquire([AMS]) == {}

                async def acquired() -> bool:
                    await other.leases.heartbeat()
                    return bool(await other.leases.acquire([AMS]))

                await eventually(acquired, seconds=WAIT_SECONDS, what="the lease of the process that hangs")
        finally:
            hung.terminate()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP"])
async def test_a_database_of_another_encoding_holds_every_text(
    postgresql: PostgresqlServer, encoding: str
) -> None:
    url = await postgresql.new_database(encoding=encoding)
    said = "Ωμέγα 包 \\u03a9 \\ ü \n\t\x01'\U0001f9f9"
    async with opened(url) as journal:
        lease = await lease_of(journal)
        run_id = await journal.runs.begin(
            lease,
            cluster="münchen",
            policy="ältere",
            dry_run=False,
            plan='["\\u00fc"]',
            candidates=1,
            now=1.0,
        )
        deletion = await intend(journal, lease, run_id)
        ended = await end(journal, lease, deletion, Outcome.FAILURE, code="9", message=said)
        assert ended.message == said
    async with opened(url) as journal:
        (run,) = await journal.runs.recent(1, clusters={"münchen"})
        assert (run.policy, run.plan, run.deletions[0].message) == ("ältere", '["\\u00fc"]', said)
        assert set(await totals_of(journal)) == {("münchen", "ältere")}


async def test_a_text_in_a_column_of_numbers_fails_single_calls(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with opened(f"sqlite:///{path}") as journal:
        lease = await lease_of(journal)
        await deletion_in(journal, lease, Phase.INTENDED)
        tool = sqlite3.connect(path)
        tool.execute("UPDATE cleanup_deletions SET attempts = 'three', intended_timestamp_seconds = 'noon'")
        tool.execute("UPDATE cleanup_policies SET last_started_timestamp_seconds = 'yesterday'")
        tool.commit()
        tool.close()
        for reading in (unfinished_on(journal, AMS), totals_of(journal), journal.runs.recent(5)):
            with pytest.raises(JournalError, match="could not convert string to float"):
                await reading
        await journal.leases.heartbeat()
        await deletion_in(journal, await lease_of(journal, FRA), Phase.ENDED)


async def test_a_word_that_this_version_does_not_know_fails_single_calls(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with opened(f"sqlite:///{path}") as journal:
        await deletion_in(journal, await lease_of(journal), Phase.INTENDED)
        tool = sqlite3.connect(path)
        tool.execute("UPDATE cleanup_deletions SET phase = 'paused'")
        tool.commit()
        tool.close()
        with pytest.raises(JournalError, match="'paused' is not a valid Phase"):
            await unfinished_on(journal, AMS)
        await totals_of(journal)


async def test_a_table_that_has_gone_fails_the_whole_step(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with opened(f"sqlite:///{path}") as journal:
        lease = await lease_of(journal)
        deletion = await deletion_in(journal, lease, Phase.FOLLOWED)
        tool = sqlite3.connect(path)
        tool.execute("ALTER TABLE cleanup_durations RENAME TO mislaid")
        tool.commit()
        with pytest.raises(JournalError, match=r"cannot note an outcome: .*cleanup_durations"):
            await end(journal, lease, deletion)  # one of its last writes fails
        assert await unfinished_on(journal, AMS) == (deletion,)
        tool.execute("ALTER TABLE mislaid RENAME TO cleanup_durations")
        tool.commit()
        tool.close()
        totals = (await totals_of(journal))["ams", "old"]
        assert set(totals.outcomes.values()) == {0}
        await end(journal, lease, deletion)
