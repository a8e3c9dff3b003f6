"""Holds a lease on two clusters, says so, and does nothing until its standard input ends.

``holder.py URL TAKEOVER_AFTER_SECONDS``
"""

from __future__ import annotations

import asyncio
import sys

from exporter.cleanup.journal import JournalError
from support.journal.journal_steps import AMS, FRA, opened


async def hold(url: str, takeover_after_seconds: float) -> None:
    try:
        async with opened(url, takeover_after_seconds=takeover_after_seconds) as journal:
            await journal.leases.heartbeat()
            sys.stdout.write(f"held {len(await journal.leases.acquire([AMS, FRA]))}\n")
            sys.stdout.flush()
            await asyncio.to_thread(sys.stdin.read)
    except JournalError as exc:
        sys.stdout.write(f"{type(exc).__name__}: {exc}\n")


if __name__ == "__main__":
    asyncio.run(hold(sys.argv[1], float(sys.argv[2])))
