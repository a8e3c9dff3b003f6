"""Killed at any moment, the journal is consistent, and has what it said it had."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import threading
from pathlib import Path

from exporter.cleanup.records import Deletion, Phase
from support.journal.journal_steps import assert_consistent, opened
from support.journal.processes import line_of, program

KILLS = 8


def write_and_be_killed(writer: subprocess.Popen[str], chance: random.Random) -> list[tuple[str, int]]:
    """Let a process write, kill it at a random moment, and return what it said was written."""
    assert writer.stdin is not None
    writer.stdin.write(f"{chance.random()}\n")
    writer.stdin.flush()
    process = None
    said = []
    lines_before = chance.randint(1, 12)
    while (line := line_of(writer)) != "over":
        what, number = line.split()
        if what == "started":
            process = int(number)
        else:
            said.append((what, int(number)))
        if len(said) >= lines_before and process is not None:
            threading.Event().wait(chance.random() * 0.02)  # somewhere within the next few steps
            os.kill(process, signal.SIGKILL)
            process = None
    return said


def assert_whole(path: Path) -> None:
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    finally:
        connection.close()


async def deletions_after(url: str) -> dict[int, Deletion]:
    async with opened(url) as journal:
        return {deletion.id: deletion for deletion in await assert_consistent(journal)}


async def test_a_crash_loses_nothing_that_was_written_and_counts_nothing_twice(url: str) -> None:
    chance = random.Random(20)  # noqa: S311 - chance, not secrecy
    with program("writer.py", url) as writer:
        for _ in range(KILLS):
            said = await asyncio.to_thread(write_and_be_killed, writer, chance)
            if url.startswith("sqlite:///"):
                assert_whole(Path(url.removeprefix("sqlite:///")))
            found = await deletions_after(url)
            assert {number for _, number in said} <= set(found)
            assert all(found[number].phase is Phase.ENDED for what, number in said if what == "ended")
            assert sum(deletion.phase is not Phase.ENDED for deletion in found.values()) <= 1
