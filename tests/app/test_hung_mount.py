"""If the mount of the cluster files hangs, only the scan of these files waits."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from exporter.app.applied import Changes
from exporter.app.reload import Reloader
from exporter.app.sharding import Shard
from exporter.config import Config, ConfigFiles
from support.waiting import eventually

WAIT_SECONDS = 60.0


async def never_applied(_config: Config) -> Changes:
    raise AssertionError("nothing has changed")


@pytest.mark.timeout(60)
async def test_a_file_that_hangs_while_it_is_read_delays_neither_the_event_loop_nor_the_end(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.yaml").write_text("cluster_files: ['*.json']\n")
    (tmp_path / "a.json").write_text("[]")
    hangs, begun, released = threading.Event(), threading.Event(), threading.Event()

    def read(path: Path) -> bytes:
        if hangs.is_set():
            begun.set()
            released.wait()
        return path.read_bytes()

    async def is_read() -> bool:
        return begun.is_set()

    files = ConfigFiles(tmp_path / "config.yaml", environ={}, read=read)
    files.load()
    hangs.set()
    reloader = Reloader(
        resume_paused=lambda: None,
        files=files,
        apply=never_applied,
        protection=None,
        shard=Shard(),
        hold_off_collections=lambda: None,
        wall_clock=time.time,
    )
    try:
        running = asyncio.create_task(reloader.run())
        await eventually(is_read, seconds=WAIT_SECONDS, what="the file to be read")
        running.cancel()
        done, _ = await asyncio.wait([running], timeout=WAIT_SECONDS)
        assert done == {running}
        assert not released.is_set()
    finally:
        released.set()


class Lost:
    """Files that cannot be read for a reason that nobody has thought of."""

    problems = ()

    def __init__(self, exc: BaseException) -> None:
        self.exc = exc
        self.reads = 0

    def read(self) -> Config:
        self.reads += 1
        raise self.exc

    scan = read


@pytest.mark.parametrize("exc", [RuntimeError("made up"), MemoryError()])
async def test_an_unexpected_error_fails_a_reload_and_ends_nothing(exc: Exception) -> None:
    reloader = Reloader(
        resume_paused=lambda: None,
        files=Lost(exc),  # type: ignore[arg-type]
        apply=never_applied,
        protection=None,
        shard=Shard(),
        hold_off_collections=lambda: None,
        wall_clock=time.time,
    )
    running = asyncio.create_task(reloader.run())
    try:
        for _ in range(2):
            async with asyncio.timeout(WAIT_SECONDS):
                assert await reloader.ask() == "internal error: see the log"
            assert not reloader.successful
    finally:
        running.cancel()
        await asyncio.wait([running], timeout=WAIT_SECONDS)
    assert running.cancelled()
