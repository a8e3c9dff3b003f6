"""A caller that is cancelled leaves its step done or undone, and the journal fit for the next."""

from __future__ import annotations

import asyncio
import random
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic

import pytest
from cleanup.journal.conftest import NewUrl
from sqlalchemy import Connection
from sqlalchemy.util import await_only

from exporter.cleanup.journal import Journal, JournalError, StepRefusedError
from exporter.cleanup.journal.database import STOP_SECONDS
from exporter.cleanup.records import Lease, Phase
from support.journal.journal_steps import (
    AMS,
    assert_consistent,
    deletion_in,
    end,
    intend,
    lease_of,
    new_run,
    opened,
    unfinished_on,
)
from support.waiting import eventually

WAIT_SECONDS = 60.0


async def whole_deletion(journal: Journal, lease: Lease) -> None:
    deletion = await intend(journal, lease, await new_run(journal, lease))
    deletion = await journal.deletions.wait(lease, deletion, code="1", message="busy")
    deletion = await journal.deletions.intend_again(lease, deletion, create_timestamp_seconds=50.0)
    deletion = await journal.deletions.follow(lease, deletion, job_uuid="j")
    await end(journal, lease, deletion)


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def cancelled_after(task: asyncio.Task[None], count: int) -> None:
    await turns(count)
    task.cancel()
    await turns(3)
    task.cancel()
    await asyncio.wait({task})


@pytest.mark.parametrize("count", [*range(0, 12, 2), 20, 60])
async def test_a_cancelled_step_is_done_or_undone(journal: Journal, ams: Lease, count: int) -> None:
    deletion = await deletion_in(journal, ams, Phase.FOLLOWED)

    async def ending() -> None:
        await end(journal, ams, deletion)

    async with asyncio.timeout(WAIT_SECONDS):
        task = asyncio.create_task(ending())
        await cancelled_after(task, count)
        assert task.cancelled() or task.exception() is None
        (found,) = await assert_consistent(journal)
        if found.phase is not Phase.ENDED:
            await end(journal, ams, deletion)
        with pytest.raises(StepRefusedError, match="is ended"):
            await end(journal, ams, deletion)


async def test_a_step_that_has_begun_is_completed_before_its_caller_is_cancelled(
    journal: Journal, ams: Lease
) -> None:
    run_id = await new_run(journal, ams)
    loop = asyncio.get_running_loop()
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def work(connection: Connection) -> None:
        loop.call_soon_threadsafe(begun.set)
        if connection.dialect.name == "sqlite":  # in a thread
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
        else:
            await_only(go_on.wait())
        loop.call_soon_threadsafe(done.set)

    async with asyncio.timeout(WAIT_SECONDS):
        task = asyncio.create_task(journal.runs.database.transact("test", work))
        await begun.wait()
        task.cancel()
        await turns(10)
        assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done.is_set()
        await intend(journal, ams, run_id)


async def test_many_cancelled_at_random_leave_a_consistent_journal(journal: Journal) -> None:
    chance = random.Random(4)  # noqa: S311 - chance, not secrecy
    leases = await journal.leases.acquire([f"cluster {number}" for number in range(5)])
    async with asyncio.timeout(4 * WAIT_SECONDS):
        for _ in range(6):
            tasks = [asyncio.create_task(whole_deletion(journal, lease)) for lease in leases.values()]
            await asyncio.gather(*(cancelled_after(task, chance.randrange(250)) for task in tasks))
            await assert_consistent(journal)
            for lease in leases.values():
                for left in await unfinished_on(journal, lease.cluster_uuid):
                    await end(journal, lease, left)


@pytest.mark.parametrize("count", [*range(0, 60, 6), 200])
async def test_an_opening_that_is_cancelled_lets_go(new_url: NewUrl, count: int) -> None:
    url = await new_url()

    async def use() -> None:
        async with opened(url) as journal:
            await new_run(journal, await lease_of(journal))

    async with asyncio.timeout(2 * WAIT_SECONDS):
        task = asyncio.create_task(use())
        await cancelled_after(task, count)
        assert task.cancelled() or task.exception() is None
        await use()


async def test_a_journal_that_is_closed_amid_a_step_completes_it(url: str) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        async with opened(url) as journal:
            # No step under a lease: the end may release that first, on a connection of its own.
            running = asyncio.create_task(journal.stops.set_kill_switch(engaged=True))
            await turns(4)
        await running
        with pytest.raises(JournalError, match="the journal is closed"):
            await unfinished_on(journal, AMS)
        async with opened(url) as again:
            assert (await again.stops.read()).kill_switch


async def test_a_disk_that_hangs_is_waited_for_once_and_keeps_its_lock_until_it_answers(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    loop = asyncio.get_running_loop()
    begun, answers = asyncio.Event(), threading.Event()
    done: list[str] = []

    def hang(_: Connection) -> None:
        loop.call_soon_threadsafe(begun.set)
        answers.wait()
        done.append("hung")

    async def use() -> None:
        async with opened(url) as journal, asyncio.TaskGroup() as group:
            database = journal.runs.database
            group.create_task(database.transact("hang", hang))
            group.create_task(database.transact("queue", lambda _: done.append("queued")))

    async def can_be_opened() -> bool:
        with suppress(JournalError):
            async with opened(url):
                return True
        return False

    task = asyncio.create_task(use())
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await begun.wait()
        began = monotonic()
        task.cancel()
        await asyncio.wait({task}, timeout=WAIT_SECONDS)
        assert task.done()
        assert STOP_SECONDS <= monotonic() - began < 2 * STOP_SECONDS
        assert done == []
        with pytest.raises(JournalError, match="another process holds it"):
            async with opened(url):
                pass
    finally:
        answers.set()
    assert isinstance(task.exception(), JournalError)
    await eventually(can_be_opened, seconds=WAIT_SECONDS, what="the lock to be released")
    assert done == ["hung", "queued"]
