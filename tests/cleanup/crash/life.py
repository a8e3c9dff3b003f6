"""One life of the daemon: a process that can be killed at any moment, even before it listens."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from support.waiting import eventually

WAIT_SECONDS = 60.0
_ROOT = Path(__file__).parents[3]
_LISTENING = re.compile(r"msg=listening address=(\S+)")


@dataclass(slots=True, kw_only=True)
class Life:
    """A running daemon.

    Attributes:
        process: the daemon.
        session: for requests to it.
        lines: what it has written so far.
        listens: set when it listens, or has ended.
        url: where it listens; "" before.
    """

    process: asyncio.subprocess.Process
    session: aiohttp.ClientSession
    lines: list[str] = field(default_factory=list)
    listens: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    @property
    def output(self) -> str:
        """What it has written so far."""
        return "\n".join(self.lines)

    async def until_listening(self) -> None:
        """Wait until it serves.

        Raises:
            AssertionError: it ended before; the message shows what it wrote.
        """
        async with asyncio.timeout(WAIT_SECONDS):
            await self.listens.wait()
        assert self.url, self.output

    async def until_line(self, *texts: str) -> str:
        """Wait until it has written a line that holds all the texts, and return the line."""

        async def written() -> str:
            return next((line for line in self.lines if all(text in line for text in texts)), "")

        return await eventually(written, seconds=WAIT_SECONDS, what=f"a line with {texts}")

    async def get(self, path: str) -> str:
        """Return the text of a good answer."""
        await self.until_listening()
        async with self.session.get(self.url + path) as response:
            assert response.status == 200, await response.text()
            return await response.text()

    async def outlives(self, waiting: Awaitable[object]) -> None:
        """Wait for something that must come while it lives.

        Raises:
            AssertionError: it ended before; the message shows what it wrote.
        """
        awaited = asyncio.ensure_future(waiting)
        ended = asyncio.create_task(self.process.wait())
        try:
            await asyncio.wait({awaited, ended}, return_when=asyncio.FIRST_COMPLETED)
            assert awaited.done(), self.output
            await awaited
        finally:
            for task in (awaited, ended):
                task.cancel()
            await asyncio.gather(awaited, ended, return_exceptions=True)

    async def kill(self) -> None:
        """End it as a power cut would, and wait until it is gone."""
        assert self.process.returncode is None, self.output
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> tuple[int, float]:
        """Stop it in order; return its exit code and how many seconds it took."""
        assert self.process.returncode is None, self.output
        begun = time.monotonic()
        self.process.terminate()
        async with asyncio.timeout(WAIT_SECONDS):
            code = await self.process.wait()
        return code, time.monotonic() - begun


@asynccontextmanager
async def living(*program: str | Path) -> AsyncIterator[Life]:
    """Start Python with these arguments; at the end kill it where it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *map(str, program),
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with aiohttp.ClientSession() as session:
        life = Life(process=process, session=session)
        reading = asyncio.create_task(_read(life))
        try:
            yield life
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await reading


async def _read(life: Life) -> None:
    assert life.process.stdout is not None
    async for raw in life.process.stdout:
        line = raw.decode().rstrip("\n")
        life.lines.append(line)
        if not life.url and (match := _LISTENING.search(line)):
            life.url = f"http://{match[1]}"
            life.listens.set()
    life.listens.set()
