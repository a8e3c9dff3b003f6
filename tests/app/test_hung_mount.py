"""If a mount hangs, only what needs its files waits: the scan of cluster files, or cleanup."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import NoReturn

import pytest

from exporter.app.applied import Changes
from exporter.app.reload import READ_SECONDS, Reloader
from exporter.config import Config, ConfigFiles
from exporter.ontap.requests.listing import PACKAGES_PATH
from exporter.simulator import SimulatedCluster, Simulator
from exporter.simulator.exporter_configuration import exporter_config, write_secret
from support.daemon_process import program
from support.held_files import held
from support.waiting import eventually

WAIT_SECONDS = 60.0
STOP_SECONDS = 10.0
CLEANUP = """
cleanup:
  state: sqlite:///journal/state.db
  policies:
    - {name: retire-old, every: 24h, older_than: 90d, dry_run: false, seen_for: 0s}
"""


async def never_applied(_config: Config) -> Changes:
    raise AssertionError("nothing has changed")


async def applied(_config: Config) -> Changes:
    return Changes(added=0, changed=0, removed=0, kept=0)


class Hanging:
    """A reloader whose one cluster file hangs from now on, until it is released."""

    def __init__(
        self, folder: Path, *, apply: Callable[[Config], Awaitable[Changes]], read_seconds: float
    ) -> None:
        self.released = threading.Event()
        self._begun, self._hangs = threading.Event(), False
        (folder / "config.yaml").write_text("cluster_files: ['*.json']\n")
        (folder / "a.json").write_text("[]")
        files = ConfigFiles(folder / "config.yaml", environ={}, read=self._read)
        files.load()
        self._hangs = True
        self.reloader = Reloader(
            resume_paused=lambda: None,
            files=files,
            apply=apply,
            protection=None,
            hold_off_collections=lambda: None,
            wall_clock=time.time,
            read_seconds=read_seconds,
        )

    def _read(self, path: Path) -> bytes:
        if self._hangs:
            self._begun.set()
            self.released.wait()
        return path.read_bytes()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[NoReturn]]:
        running = asyncio.create_task(self.reloader.run())
        try:
            yield running
        finally:
            self.released.set()
            running.cancel()
            await asyncio.wait([running], timeout=WAIT_SECONDS)

    async def until_read(self) -> None:
        assert await asyncio.to_thread(self._begun.wait, WAIT_SECONDS)

    async def until_reloaded(self) -> None:
        async def is_reloaded() -> bool:
            return await self.reloader.ask() == ""

        await eventually(is_reloaded, seconds=WAIT_SECONDS, what="a reload")


@pytest.mark.timeout(60)
async def test_a_file_that_hangs_while_it_is_read_delays_neither_the_event_loop_nor_the_end(
    tmp_path: Path,
) -> None:
    hanging = Hanging(tmp_path, apply=never_applied, read_seconds=READ_SECONDS)
    async with hanging.running() as running:
        await hanging.until_read()
        running.cancel()
        done, _ = await asyncio.wait([running], timeout=WAIT_SECONDS)
        assert done == {running}
        assert not hanging.released.is_set()


@pytest.mark.timeout(60)
async def test_while_a_scan_hangs_a_reload_is_refused_and_says_why(tmp_path: Path) -> None:
    hanging = Hanging(tmp_path, apply=applied, read_seconds=0.05)
    async with hanging.running():
        await hanging.until_read()
        for _ in range(2):
            async with asyncio.timeout(WAIT_SECONDS):
                assert "a disk or a mount does not answer" in await hanging.reloader.ask()
            assert not hanging.reloader.successful
        hanging.released.set()
        await hanging.until_reloaded()
        assert hanging.reloader.successful


@pytest.mark.timeout(60)
async def test_a_reload_whose_files_hang_is_given_up_and_a_later_one_works(tmp_path: Path) -> None:
    hanging = Hanging(tmp_path, apply=applied, read_seconds=0.05)
    asked = hanging.reloader.ask()  # before the first scan
    async with hanging.running():
        async with asyncio.timeout(WAIT_SECONDS):
            assert "a disk or a mount does not answer" in await asked
        hanging.released.set()
        await hanging.until_reloaded()


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


@pytest.mark.parametrize("name", ["state.db.lock", "state.db-wal"])
async def test_a_journal_that_hangs_while_it_is_opened_delays_neither_polls_nor_the_end(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "journal").mkdir()
    if name == "state.db-wal":  # which SQLite itself opens, in a transaction
        with closing(sqlite3.connect(tmp_path / "journal" / "state.db")) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE anything (number)")
    cluster = SimulatedCluster("c1", packages=("9.9.1", "9.14.1P2"))
    async with Simulator([cluster], directory=tmp_path) as simulator:
        write_secret(tmp_path / "config.yaml", exporter_config(simulator, poll_interval="1s", extra=CLEANUP))
        with held(tmp_path / "journal" / name) as file:
            arguments = ("run", f"--config.file={tmp_path}/config.yaml", "--web.listen-address=127.0.0.1:0")
            async with program(*arguments) as daemon:
                await eventually(file.is_waited_for, seconds=WAIT_SECONDS, what="the journal to hang")
                polls = len(cluster.requests_to(PACKAGES_PATH))

                async def is_polled() -> bool:
                    return len(cluster.requests_to(PACKAGES_PATH)) > polls + 1

                await eventually(is_polled, seconds=WAIT_SECONDS, what="another poll")
                assert await daemon.value("ontap_cleanup_journal_open") == 0
                _, text = await daemon.get("/api/v1/cleanup")
                assert json.loads(text)["problem"] == "the journal is not open yet"
                began = time.monotonic()
                assert await daemon.stop() == 0
                assert time.monotonic() - began < STOP_SECONDS
    assert set(cluster.versions) == {"9.9.1", "9.14.1P2"}
