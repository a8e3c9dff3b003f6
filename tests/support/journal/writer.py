"""Writes to a journal without end, saying what it was told is written: ``writer.py URL``.

For every line that it reads, a seed, it starts such a process and says ``started PID``; once somebody has
killed that, it says ``over``.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys

from exporter.cleanup.journal import Journal
from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import Lease
from support.journal.journal_steps import NAMES, end, intend, new_run, opened, unfinished_on


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def write(url: str, chance: random.Random) -> None:
    async with opened(url, takeover_after_seconds=0.5) as journal:
        await journal.leases.heartbeat()
        leases: dict[str, Lease] = {}
        while len(leases) < len(NAMES):  # PostgreSQL keeps those of the life before for half a second
            leases |= await journal.leases.acquire(NAMES)
        for lease in leases.values():
            for left in await unfinished_on(journal, lease.cluster_uuid):
                await end(
                    journal,
                    lease,
                    left,
                    Outcome.FAILURE,
                    code="77",
                    message="resumed",
                    now=left.intended_timestamp_seconds + 5.0,
                )
        while True:
            leases |= (await journal.leases.heartbeat()).leases
            await write_run(journal, chance.choice(list(leases.values())), chance)


async def write_run(journal: Journal, lease: Lease, chance: random.Random) -> None:
    run_id = await new_run(journal, lease)
    for version in ("9.9.1", "9.10.1", "9.11.1"):
        if chance.random() < 0.2:
            left = await journal.deletions.end_unsent(
                lease, run_id, version=version, outcome=Outcome.PROTECTED, message="", now=2.0
            )
            say("ended", left.id)
            continue
        deletion = await intend(journal, lease, run_id, version=version, now=2.0)
        say("intended", deletion.id)
        while chance.random() < 0.3:
            deletion = await journal.deletions.wait(lease, deletion, code="5", message="busy")
            deletion = await journal.deletions.intend_again(lease, deletion, create_timestamp_seconds=50.0)
        if chance.random() < 0.7:
            deletion = await journal.deletions.follow(lease, deletion, job_uuid="j")
        outcome, code = chance.choice(((Outcome.SUCCESS, ""), (Outcome.FAILURE, "6"), (Outcome.TIMEOUT, "")))
        await end(journal, lease, deletion, outcome, code=code, now=2.0 + chance.random() * 100)
        say("ended", deletion.id)
    await journal.runs.end(lease, run_id, success=True, now=60.0)


def main(url: str) -> None:
    for seed in sys.stdin:
        process = os.fork()
        if process == 0:
            asyncio.run(write(url, random.Random(seed)))  # noqa: S311 - chance, not secrecy
        say("started", process)
        os.waitpid(process, 0)
        say("over")


if __name__ == "__main__":
    main(sys.argv[1])
