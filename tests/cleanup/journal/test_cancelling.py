"""A caller that is cancelled leaves its step done or undone, and the journal fit for the next."""

from __future__ import annotations

import asyncio
import random

import pytest
from cleanup.journal.conftest import NewState
from cleanup.journal.steps import assert_consistent, deletion_in, new_run, succeed

from exporter.cleanup.journal import Journal, JournalError, open_journal
from exporter.cleanup.records import Phase

WAIT_SECONDS = 60.0


async def whole_deletion(journal: Journal, run_id: int, version: str) -> None:
    deletion = await journal.intend(run_id, version=version, now=10.0)
    deletion = await journal.wait(deletion, code="1", message="busy")
    deletion = await journal.intend_again(deletion)
    deletion = await journal.follow(deletion, job_uuid="j")
    await succeed(journal, deletion, now=20.0)


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
async def test_a_cancelled_step_is_done_or_undone(journal: Journal, count: int) -> None:
    deletion = await deletion_in(journal, Phase.FOLLOWED)

    async def end() -> None:
        await succeed(journal, deletion)

    async with asyncio.timeout(WAIT_SECONDS):
        task = asyncio.create_task(end())
        await cancelled_after(task, count)
        assert task.cancelled() or task.exception() is None
        (found,) = await assert_consistent(journal)
        if found.phase is not Phase.ENDED:
            await succeed(journal, deletion)
        with pytest.raises(JournalError, match="is ended"):
            await succeed(journal, deletion)
        assert not journal.lost.is_set()


async def test_a_step_that_has_begun_is_finished_before_its_caller_is_cancelled(journal: Journal) -> None:
    run_id = await new_run(journal)
    begun = asyncio.Event()

    async def work(_: object) -> None:
        begun.set()
        await turns(10)
        done.set()

    done = asyncio.Event()
    async with asyncio.timeout(WAIT_SECONDS):
        task = asyncio.create_task(journal._database.transact("test", work))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done.is_set()
        await journal.intend(run_id, version="9.9.1", now=1.0)


async def test_a_step_whose_turn_has_not_come_is_not_done(journal: Journal) -> None:
    run_id = await new_run(journal)
    async with asyncio.timeout(WAIT_SECONDS):
        async with journal._database._turn:
            task = asyncio.create_task(journal.intend(run_id, version="9.9.1", now=1.0))
            await turns(3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await journal.unended() == ()


async def test_many_cancelled_at_random_leave_a_consistent_journal(journal: Journal) -> None:
    chance = random.Random(4)  # noqa: S311 - chance, not secrecy
    run_id = await new_run(journal)
    async with asyncio.timeout(WAIT_SECONDS):
        for batch in range(8):
            tasks = [
                asyncio.create_task(whole_deletion(journal, run_id, f"{batch}.{number}"))
                for number in range(5)
            ]
            await asyncio.gather(*(cancelled_after(task, chance.randrange(250)) for task in tasks))
            await assert_consistent(journal)
        for left in await journal.unended():
            await succeed(journal, left)
        assert not journal.lost.is_set()


@pytest.mark.parametrize("count", [*range(0, 60, 6), 200])
async def test_an_opening_that_is_cancelled_lets_go(new_state: NewState, count: int) -> None:
    state = await new_state()

    async def use() -> None:
        async with open_journal(state) as journal:
            await new_run(journal)

    async with asyncio.timeout(WAIT_SECONDS):
        task = asyncio.create_task(use())
        await cancelled_after(task, count)
        assert task.cancelled() or task.exception() is None
        await use()


async def test_a_journal_that_is_closed_amid_a_step_finishes_it(state: str) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        async with open_journal(state) as journal:
            running = asyncio.create_task(new_run(journal))
            waiting = asyncio.create_task(new_run(journal))
            await turns(4)
        assert await running > 0
        with pytest.raises(JournalError, match="the journal is closed"):
            await waiting
