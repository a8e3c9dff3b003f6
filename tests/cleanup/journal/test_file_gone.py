"""A file that is not what was opened any more stops everything, and nothing is made in its place."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.cleanup.journal import JournalError
from exporter.cleanup.records import Phase
from support.journal.journal_steps import deletion_in, end, lease_of, new_run, opened

LOST = r"state.db: the file was replaced, moved, removed or emptied while it was in use"


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


def replace(path: Path) -> None:
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").rename(path)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def remove_log(path: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink()


CHANGES = (remove, empty, move_folder, replace, replace_by_folder, remove_log)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "journal").mkdir()
    return tmp_path / "journal" / "state.db"


@pytest.mark.parametrize("change", CHANGES)
async def test_nothing_is_written_once_the_file_has_gone(
    path: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    async with opened(f"sqlite:///{path}") as journal:
        lease = await lease_of(journal)
        deletion = await deletion_in(journal, lease, Phase.FOLLOWED)
        change(path)
        before = sorted(tmp_path.rglob("*"))
        for _ in range(2):
            with pytest.raises(JournalError, match=LOST):
                await new_run(journal, lease)
            with pytest.raises(JournalError, match=LOST):
                await end(journal, lease, deletion)
            with pytest.raises(JournalError, match=LOST):
                await journal.leases.heartbeat()
        assert sorted(tmp_path.rglob("*")) == before


async def test_a_file_that_goes_amid_a_step_is_noticed_before_the_step_counts(path: Path) -> None:
    async with opened(f"sqlite:///{path}") as journal:
        lease = await lease_of(journal)
        running = [asyncio.create_task(new_run(journal, lease)) for _ in range(20)]
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        path.unlink()
        found = await asyncio.gather(*running, return_exceptions=True)
        assert isinstance(found[-1], JournalError)


async def test_a_file_that_is_put_back_works_again(path: Path) -> None:
    async with opened(f"sqlite:///{path}") as journal:
        lease = await lease_of(journal)
        path.parent.rename(path.parent.with_name("moved"))
        with pytest.raises(JournalError, match=LOST):
            await new_run(journal, lease)
        path.parent.with_name("moved").rename(path.parent)
        await new_run(journal, lease)


async def assert_not_begun_anew(path: Path, why: str) -> None:
    for _ in range(2):
        with pytest.raises(JournalError) as caught:
            async with opened(f"sqlite:///{path}"):
                pass
        assert str(caught.value) == f"{path}: {why}"


def gone(remains: str) -> str:
    return (
        "the journal has gone since it was last used; put it back, or, to begin with an empty one, "
        f"delete {remains}"
    )


@pytest.mark.parametrize("change", [remove, empty])
async def test_a_journal_that_has_gone_since_the_last_start_is_not_begun_anew(
    path: Path, change: Callable[[Path], None]
) -> None:
    async with opened(f"sqlite:///{path}"):
        pass
    change(path)
    await assert_not_begun_anew(path, gone(f"{path}.lock"))
    assert not path.exists() or not path.stat().st_size
    path.with_name(f"{path.name}.lock").unlink()
    async with opened(f"sqlite:///{path}") as journal:
        assert await journal.runs.recent(1) == ()


@pytest.mark.parametrize("has_lock", [True, False])
async def test_a_journal_of_which_only_the_log_is_left_is_not_begun_anew(
    path: Path, *, has_lock: bool
) -> None:
    lock, log = path.with_name(f"{path.name}.lock"), path.with_name(f"{path.name}-wal")
    async with opened(f"sqlite:///{path}") as journal:
        await new_run(journal, await lease_of(journal))
        path.unlink()
    written = log.read_bytes()
    assert written
    if not has_lock:
        lock.unlink()
    remains = f"{lock} and {log}" if has_lock else f"{log}"
    await assert_not_begun_anew(path, gone(remains))
    assert (path.exists(), log.read_bytes()) == (False, written)
    lock.unlink()
    log.unlink()
    async with opened(f"sqlite:///{path}") as journal:
        assert await journal.runs.recent(1) == ()


async def test_a_journal_whose_tables_have_gone_with_its_log_is_not_begun_anew(path: Path) -> None:
    killed = path.parent.with_name("killed")
    async with opened(f"sqlite:///{path}"):
        shutil.copytree(path.parent, killed)  # as kill -9 leaves it: nothing of the log is in the file yet
    path = killed / path.name
    path.with_name(f"{path.name}-wal").unlink()
    lock = path.with_name(f"{path.name}.lock")
    await assert_not_begun_anew(
        path,
        "the journal has lost its tables since it was last used; put back a copy of it, or, to begin with an "
        f"empty one, delete {path} and {lock}",
    )
    path.unlink()
    lock.unlink()
    async with opened(f"sqlite:///{path}") as journal:
        assert await journal.runs.recent(1) == ()


async def test_a_first_start_that_was_cut_short_is_none(path: Path) -> None:
    path.with_name(f"{path.name}.lock").touch()
    async with opened(f"sqlite:///{path}") as journal:
        await lease_of(journal)


async def test_a_backup_that_was_restored_between_two_lives_is_used(path: Path) -> None:
    async with opened(f"sqlite:///{path}") as journal:
        await new_run(journal, await lease_of(journal))
    shutil.copy(path, path.with_name("backup"))
    async with opened(f"sqlite:///{path}") as journal:
        await new_run(journal, await lease_of(journal))
    path.with_name("backup").rename(path)
    async with opened(f"sqlite:///{path}") as journal:
        assert len(await journal.runs.recent(5)) == 1
