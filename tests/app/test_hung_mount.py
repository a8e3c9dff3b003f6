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
