"""A journal that was damaged is refused, whole and with a reason; an older copy is used as it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.cleanup.journal import JournalError
from exporter.cleanup.records import Outcome
from support.journal.journal_steps import AMS, end, intend, lease_of, new_run, opened, totals_of, unended_on

DELETIONS = 25
PAGE_BYTES = 4096


async def filled(path: Path) -> bytes:
    """Write a journal of many pages, and return its bytes."""
    async with opened(f"sqlite:///{path}") as journal:
        lease = await lease_of(journal)
        run_id = await new_run(journal, lease)
        for number in range(DELETIONS):
            deletion = await intend(journal, lease, run_id, version=f"9.9.{number}")
            await end(journal, lease, deletion, Outcome.SUCCESS, message="x" * 500)
    assert not path.with_name(f"{path.name}-wal").exists()
    return path.read_bytes()


def cut_in_half(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def cut_within_a_page(whole: bytes) -> bytes:
    return whole[: len(whole) - PAGE_BYTES // 2]


def zeros_in_the_middle(whole: bytes) -> bytes:
    at = len(whole) // 2 // PAGE_BYTES * PAGE_BYTES
    return whole[:at] + bytes(2 * PAGE_BYTES) + whole[at + 2 * PAGE_BYTES :]


def noise_in_a_page(whole: bytes) -> bytes:
    at = 3 * PAGE_BYTES
    return whole[:at] + bytes(range(256)) + whole[at + 256 :]


def a_header_alone(whole: bytes) -> bytes:
    return whole[:100]


@pytest.mark.parametrize(
    "damage", [cut_in_half, cut_within_a_page, zeros_in_the_middle, noise_in_a_page, a_header_alone]
)
async def test_a_damaged_file_is_refused_and_left_as_it_is(
    damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "state.db"
    broken = damage(await filled(path))
    path.write_bytes(broken)
    with pytest.raises(JournalError, match=r"state\.db: .*(damaged|malformed|not a database)"):
        async with opened(f"sqlite:///{path}"):
            pass
    assert path.read_bytes() == broken


async def test_an_older_copy_counts_what_it_knows_and_follows_what_was_under_way_then(tmp_path: Path) -> None:
    path, copy = tmp_path / "state.db", tmp_path / "copy.db"
    async with opened(f"sqlite:///{path}") as journal:
        lease = await lease_of(journal)
        under_way = await intend(journal, lease, await new_run(journal, lease), version="9.9.1")
    shutil.copy(path, copy)
    async with opened(f"sqlite:///{path}") as journal:
        await end(journal, await lease_of(journal), under_way)
    copy.replace(path)
    async with opened(f"sqlite:///{path}") as journal:
        assert await unended_on(journal, AMS) == (under_way,)
        assert sum((await totals_of(journal))["ams", "old"].outcomes.values()) == 0
