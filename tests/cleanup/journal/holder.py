"""Holds a state, says so, and does nothing until its standard input ends: ``holder.py STATE``."""

from __future__ import annotations

import asyncio
import sys

from exporter.cleanup.journal import JournalError, open_journal


async def hold(state: str) -> None:
    try:
        async with open_journal(state):
            sys.stdout.write("held\n")
            sys.stdout.flush()
            await asyncio.to_thread(sys.stdin.read)
    except JournalError as exc:
        sys.stdout.write(f"{type(exc).__name__}: {exc}\n")


if __name__ == "__main__":
    asyncio.run(hold(sys.argv[1]))
