"""Reads the configuration again if it is asked to, and cluster files by itself when they change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, NoReturn

import structlog

from exporter.app.applied import Changes
from exporter.background import SingleFlight, begin
from exporter.concurrency import no_stray_cancellation
from exporter.config import Config, ConfigError, ConfigFiles, Problem

if TYPE_CHECKING:
    from exporter.web.auth import Protection

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

SCAN_SECONDS = 2.0
"""How often cluster files are read; a change is applied when two scans in a row have read the same."""
READ_SECONDS = 60.0
"""How long reading files may take; after that, a mount hangs."""
_NO_ANSWER = "the files cannot be read now: a disk or a mount does not answer"
LOGGED_PROBLEMS = 20
"""How many problems of a configuration are logged at most; the answer to a reload request has all of them."""


class Reloader:
    """Reads the configuration again and has it applied; one reload ends before the next begins.

    Args:
        files: the files of the configuration, already loaded.
        apply: applies a configuration.
        resume_paused: lets policies delete again that are paused after failures; a reload on demand does so.
        protection: the web configuration, which is read again as well; None: there is none.
        hold_off_collections: lets no full garbage collection stop the program for a while.
        wall_clock: gives Unix seconds.
        read_seconds: how long reading files may take.

    Attributes:
        successful: whether the last reload was accepted; scans of cluster files do not count.
        success_timestamp_seconds: when a configuration was last accepted.
    """

    def __init__(
        self,
        *,
        files: ConfigFiles,
        apply: Callable[[Config], Awaitable[Changes]],
        resume_paused: Callable[[], None],
        protection: Protection | None,
        hold_off_collections: Callable[[], None],
        wall_clock: Callable[[], float],
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._files = files
        self._read_seconds = read_seconds
        self._scanning: asyncio.Future[Config | None] | None = None
        """A scan that did not end in time: what it finds is applied, however late."""
        self._readings: SingleFlight[Config] = SingleFlight(name="read-configuration")
        self._apply = apply
        self._resume_paused = resume_paused
        self._protection = protection
        self._hold_off_collections = hold_off_collections
        self._wall_clock = wall_clock
        self._asked = asyncio.Event()
        self._waiting: list[asyncio.Future[str]] = []
        self._has_cluster_files = True
        self._warned: frozenset[Problem] = frozenset()
        self._logged: frozenset[Problem] = frozenset()
        self.successful = True
        self.success_timestamp_seconds = wall_clock()

    def ask(self) -> asyncio.Future[str]:
        """Ask for a reload; the files are read after this call.

        Returns:
            the problems of the files, one on each line; empty when the files have been applied.
        """
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self._asked.set()
        return answer

    async def run(self) -> NoReturn:
        """Reload when asked to, and scan the cluster files in between."""
        try:
            while True:
                try:
                    async with asyncio.timeout(SCAN_SECONDS if self._has_cluster_files else None):
                        await self._asked.wait()
                except TimeoutError:
                    pass
                try:
                    with no_stray_cancellation():
                        await (self._answer() if self._asked.is_set() else self._scan())
                except Exception:
                    log.exception("a bug ended a reload")
                    self.successful = False
        finally:
            for answer in self._waiting:
                answer.cancel()

    async def _answer(self) -> None:
        """Reload once for all requests so far."""
        self._asked.clear()
        waiting = tuple(self._waiting)
        wrong = "internal error: see the log"
        try:
            wrong = await self._reload()
        finally:
            for answer in waiting:
                self._waiting.remove(answer)
                if not answer.done():
                    answer.set_result(wrong)

    async def _reload(self) -> str:
        self._hold_off_collections()
        try:
            config = await self._read()
        except ConfigError as exc:
            for problem in exc.problems[:LOGGED_PROBLEMS]:
                log.error("mistake in the configuration", **problem.logged())  # noqa: TRY400 - an operator's mistake, not ours
            return self._refuse(exc)
        if config is None:
            return self._give_up()
        try:
            async with asyncio.timeout(self._read_seconds):
                wrong = None if self._protection is None else await self._protection.reload()
        except TimeoutError:
            return self._give_up()
        if wrong is not None:
            return self._refuse(wrong)
        # Accept only now: if anything refuses the configuration, it must not be applied later either.
        self._files.accept(config)
        self._resume_paused()
        self.note(config)
        changes = await self._apply(config)
        self.successful = True
        self.success_timestamp_seconds = self._wall_clock()
        self._logged = frozenset()
        log.info("the configuration was reloaded", **asdict(changes))
        return ""

    async def _read(self) -> Config | None:
        """Read all files; None if they do not answer in time, or an earlier reading still has no answer.

        Raises:
            ConfigError: they have mistakes.
        """
        if self._scanning is not None:
            await self._scan()  # what it finds is applied first
        if self._scanning is not None or self._readings.is_running():
            return None
        try:
            async with asyncio.timeout(self._read_seconds):
                return await self._readings.run(self._files.read)
        except TimeoutError:
            return None

    def _give_up(self) -> str:
        self.successful = False
        log.error("the configuration was not reloaded, the one before stays applied", error=_NO_ANSWER)
        return _NO_ANSWER

    def _refuse(self, wrong: ConfigError) -> str:
        self.successful = False
        log.error(
            "the configuration was not reloaded, the one before stays applied", problems=len(wrong.problems)
        )
        return str(wrong)

    async def _scan(self) -> None:
        """Apply changes of cluster files, and log each of their problems once."""
        # If a mount hangs, only this task waits; the event loop and the end of the program do not.
        is_late = self._scanning is not None
        if self._scanning is None:
            self._scanning = begin(self._files.scan, name="scan-cluster-files")
        await asyncio.wait({self._scanning}, timeout=0 if is_late else self._read_seconds)
        if not self._scanning.done():
            if not is_late:
                log.error("changes of cluster files are not noticed", error=_NO_ANSWER)
            return
        scanning, self._scanning = self._scanning, None
        config = scanning.result()
        problems = self._files.problems
        for problem in problems:
            if problem not in self._logged:
                log.error("a cluster file is broken, its last good content stays applied", **problem.logged())
        if self._logged and not problems:
            log.info("all cluster files can be used again")
        self._logged = frozenset(problems)
        if config is not None:
            self._hold_off_collections()
            self.note(config)
            changes = await self._apply(config)
            log.info("cluster files have changed", **asdict(changes))

    def note(self, config: Config) -> None:
        """Watch the cluster files that a configuration names, and log the warnings that are new."""
        self._has_cluster_files = bool(config.cluster_files)
        for warning in config.warnings:
            if warning not in self._warned:
                log.warning("warning about the configuration", **warning.logged())
        self._warned = frozenset(config.warnings)
