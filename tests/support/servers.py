"""The servers of other projects, as processes of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp


@asynccontextmanager
async def running(*command: str, log: Path, folder: Path | None = None) -> AsyncIterator[int]:
    """Run a program, whose output goes to a file, until the context ends; give its process id.

    Args:
        command: the program and its arguments.
        log: the file.
        folder: where it runs; None: where we do.
    """
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output, cwd=folder)
        try:
            yield process.pid
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    """Say whether a server says that it is ready, as Prometheus and its relatives do."""
    try:
        async with session.get(f"{url}/-/ready") as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False
