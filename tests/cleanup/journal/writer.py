"""Writes to a state without end, saying what it was told is written: ``writer.py STATE``.

For every line that it reads, a seed, it starts such a process and says ``started PID``; once somebody has
killed that, it says ``over``.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys

from exporter.cleanup.journal import Journal, open_journal
from exporter.cleanup.records import Outcome


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def write(state: str, chance: random.Random) -> None:
    async with open_journal(state) as journal:
        for left in await journal.unended():
            await journal.end(left, outcome=Outcome.FAILURE, code="77", message="resumed", now=50.0)
        while True:
            await write_run(journal, chance)


async def write_run(journal: Journal, chance: random.Random) -> None:
    cluster = chance.choice(("ams", "fra"))
    run_id = await journal.begin_run(
        cluster=cluster, policy="old", dry_run=False, plan="[]", candidates=1, now=1.0
    )
    for version in ("9.9.1", "9.10.1", "9.11.1"):
        if chance.random() < 0.2:
            say(
                "ended",
                (
                    await journal.leave(
                        run_id, version=version, outcome=Outcome.PROTECTED, message="", now=2.0
                    )
                ).id,
            )
            continue
        deletion = await journal.intend(run_id, version=version, now=2.0)
        say("intended", deletion.id)
        while chance.random() < 0.3:
            deletion = await journal.wait(deletion, code="5", message="busy")
            deletion = await journal.intend_again(deletion)
        if chance.random() < 0.7:
            deletion = await journal.follow(deletion, job_uuid="j")
        outcome, code = chance.choice(((Outcome.SUCCESS, ""), (Outcome.FAILURE, "6"), (Outcome.TIMEOUT, "")))
        await journal.end(deletion, outcome=outcome, code=code, message="", now=2.0 + chance.random() * 100)
        say("ended", deletion.id)
    await journal.end_run(run_id, success=True, now=60.0)


def main(state: str) -> None:
    for seed in sys.stdin:
        process = os.fork()
        if process == 0:
            asyncio.run(write(state, random.Random(seed)))  # noqa: S311 - chance, not secrecy
        say("started", process)
        os.waitpid(process, 0)
        say("over")


if __name__ == "__main__":
    main(sys.argv[1])
