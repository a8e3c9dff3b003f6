"""Opens the journal, keeps it alive with heartbeats, and lets the clusters be cleaned meanwhile."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn, TypeVar

import structlog

from exporter.cleanup.approval import SavedPlans
from exporter.cleanup.cleaners.cleaned_clusters import CleanedClusters
from exporter.cleanup.cleaners.lease_sharing import LeaseSharing, heartbeat_pause_seconds
from exporter.cleanup.cleanup_board import CleanupBoard
from exporter.cleanup.delete.limits import Pace
from exporter.cleanup.journal import Journal, JournalError, SchemaChangedError, open_journal
from exporter.cleanup.journal.runs import RunStore
from exporter.cleanup.journal.seen import CLOCK_STEP_SECONDS
from exporter.cleanup.kill_switch import KillSwitch
from exporter.cleanup.policy_values import digest_of
from exporter.cleanup.records import PolicyPause, Stops
from exporter.cleanup.run import Services
from exporter.concurrency import ConcurrencyLimit, is_being_cancelled, no_stray_cancellation
from exporter.config import CleanupConfig, PolicyConfig
from exporter.ontap.access import ClusterAccess
from exporter.ontap.requests.inventory import Inventory

T = TypeVar("T")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

SILENCE_SECONDS = 10.0
MOST_READINGS = 32
"""How many requests may read the journal at once; cleaners have to wait for them."""
READ_SECONDS = 5.0
"""How long a page waits for the journal."""
PASSING_SECONDS = 8.0
"""A journal counts as not usable only after it has failed for this long: the next heartbeat may be good."""


class CleanupService:
    """Cleans the clusters of a configuration, which may change meanwhile.

    Args:
        shard: identifies the share of the clusters that this process may clean.
        clock: seconds that never go back and go on while the machine is suspended.
        wall_clock: Unix seconds.
        silence_seconds: after this long without any answer, the journal counts as not usable.

    Attributes:
        journal: remembers everything; None while it is not open, so that nothing is deleted.
        problem: why nothing is deleted anywhere; "" if the journal is open and can be used.
        sharing: which clusters this process cleans.
    """

    def __init__(
        self,
        *,
        config: CleanupConfig,
        shard: str = "",
        board: CleanupBoard,
        kill_switch: KillSwitch,
        pace: Pace,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self.journal: Journal | None = None
        self.problem = "the journal is not open yet"
        self._shard = shard
        self._board = board
        self._kill_switch = kill_switch
        self._pace = pace
        self._clock = clock
        self._wall_clock = wall_clock
        self._latest_wall_clock = 0.0
        self._silence_seconds = silence_seconds
        self._owner = secrets.token_hex(8)
        self._active = ConcurrencyLimit(config.max_concurrent_clusters)
        self._saved_plans = SavedPlans()
        self._clusters = CleanedClusters(config, board=board, clock=clock, wall_clock=self._now)
        self.sharing = LeaseSharing(self._clusters.cleaners, clock=clock, wall_clock=self._now)
        self._resumes_paused = False
        self._beat_now = asyncio.Event()
        self._exchange_now = asyncio.Event()
        self._exchange_problem = ""
        self._unusable_since: float | None = None
        self._is_silent = False
        self._readings: set[asyncio.Future[Any]] = set()
        self._is_halted = kill_switch.active
        kill_switch.notify(self._note_kill_switch)

    @property
    def is_open(self) -> bool:
        """Whether the journal is open and can be used; one failure that soon passes does not count."""
        since = self._unusable_since
        return self.journal is not None and (since is None or self._clock() - since < PASSING_SECONDS)

    def policies(self) -> Sequence[PolicyConfig]:
        """Return every configured policy."""
        return self._clusters.config.policies

    def pauses(self) -> Sequence[PolicyPause]:
        """Return what is paused after failures."""
        found = (self._board.paused.get((one.name, digest_of(one))) for one in self._clusters.config.policies)
        return [pause for pause in found if pause is not None]

    async def configure(self, config: CleanupConfig, accesses: Mapping[str, ClusterAccess]) -> None:
        """Clean by this configuration from now on; ``state`` must be the same.

        Another journal needs a new service.

        A run whose policy or cluster has changed sends nothing more; what ONTAP has accepted is followed to
        its end. Everything that is no longer configured vanishes from the board.
        """
        self._active.change(config.max_concurrent_clusters)
        await self._clusters.configure(config, accesses)
        self._beat_now.set()

    def note_good_poll(self, name: str, inventory: Inventory) -> None:
        """Take note of who a cluster is and what it holds, from a good poll."""
        if self._clusters.note_good_poll(name, inventory):
            self._beat_now.set()

    def resume_paused(self) -> None:
        """Let policies delete again that are paused after failures; without a journal, nothing happens.

        A reload must not resume a policy that another process pauses only after the reload.
        """
        self._resumes_paused = self.journal is not None
        self._beat_now.set()

    async def run(self) -> NoReturn:
        """Clean for ever; if the journal cannot be used, nothing is deleted until it can."""
        while True:
            try:
                with no_stray_cancellation():
                    async with open_journal(
                        self._clusters.config.state,
                        owner=self._owner,
                        shard=self._shard,
                        takeover_after_seconds=self._takeover_after_seconds,
                    ) as journal:
                        await self._clean(journal)
            except* JournalError as group:
                self._note_problem(str(group.exceptions[0]))
            except* Exception:
                log.exception("a bug ended cleanup, so nothing is deleted until it starts again")
                self.problem = "internal error: see the log"
            finally:
                self.journal = None
                self._resumes_paused = False
                self._clusters.cleaners.clear()
                await self._clusters.show_leases()
            if is_being_cancelled():
                raise asyncio.CancelledError  # an error on the way out must not swallow it
            await self._board.forget_cleaners()
            await asyncio.sleep(self._pace.retry_seconds)

    async def recorded(self, ask: Callable[[RunStore], Awaitable[T]]) -> tuple[T | None, str]:
        """Return what the journal answers about its runs, and ""; or None, and why it cannot be read."""
        if self.journal is None or self._is_silent:
            return None, self.problem
        if len(self._readings) >= MOST_READINGS:
            return None, "too many requests are reading the journal now"
        reading = asyncio.ensure_future(ask(self.journal.runs))
        self._readings.add(reading)
        reading.add_done_callback(self._readings.discard)
        reading.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait({reading}, timeout=READ_SECONDS)
        if not reading.done():  # it ends by itself when the disk answers
            return None, f"{self._clusters.config.state}: no answer in {READ_SECONDS:g} s"
        try:
            return reading.result(), ""
        except JournalError as exc:
            return None, str(exc)

    async def _clean(self, journal: Journal) -> None:
        """Open the journal for cleaners, and renew their leases until it has failed for too long."""
        services = Services(
            journal=journal,
            board=self._board,
            kill_switch=self._kill_switch,
            pace=self._pace,
            saved_plans=self._saved_plans,
            active=self._active,
            clock=self._clock,
            wall_clock=self._now,
        )
        self._exchange_problem = ""
        if self._kill_switch.drop_old_release():
            log.warning("SIGUSR2 came over a minute before the journal was open, so the journal decides")
        self._board.reads_all_totals = True
        try:
            stops = await self._beat(journal)
            await self._exchange(journal)
            self.journal = journal  # only now: whoever sees it open finds what it has counted
            self._note_usable()
            log.info("the journal is open")
            if stops.unfinished:
                clusters = ", ".join(sorted(set(stops.unfinished.values())))
                log.info("deletions in the journal are unfinished", clusters=clusters)
            async with asyncio.TaskGroup() as group:
                try:
                    await self._clusters.start(group, services)
                    self._beat_now.set()
                    group.create_task(self._exchange_for_ever(journal), name="exchange with the journal")
                    await self._beat_for_ever(journal)
                finally:
                    self._clusters.stop_starting()
        finally:  # a signal may have come a moment before the end
            with suppress(JournalError):
                await self._record_kill_switch(journal)

    async def _beat_for_ever(self, journal: Journal) -> NoReturn:
        """Renew the leases again and again, and look whether the wall clock was set meanwhile."""
        clock_without_suspends = asyncio.get_running_loop().time
        failing_since: float | None = None
        while True:
            ahead = self._now() - clock_without_suspends()
            with suppress(TimeoutError):
                async with asyncio.timeout(heartbeat_pause_seconds(self._takeover_after_seconds)):
                    await self._beat_now.wait()
            self._beat_now.clear()
            now = self._wall_clock()
            is_set_back = now < self._latest_wall_clock - CLOCK_STEP_SECONDS
            if is_set_back or now - clock_without_suspends() > ahead + CLOCK_STEP_SECONDS:
                self._latest_wall_clock = now
                async for cleaner in self._clusters.each_cleaner():
                    if is_set_back:
                        cleaner.reschedule()
                    else:
                        cleaner.recheck()
            try:
                await self._beat_watched(journal)
            except SchemaChangedError:
                raise
            except JournalError as exc:
                self._note_problem(str(exc))
                await self._clusters.show_leases()
                failing_since = self._clock() if failing_since is None else failing_since
                if self._clock() - failing_since > self._pace.retry_seconds:
                    raise
                await asyncio.sleep(min(self._pace.retry_seconds, 1.0))
                self._beat_now.set()
            else:
                failing_since = None
                self._note_usable()
            self._exchange_now.set()

    async def _beat_watched(self, journal: Journal) -> None:
        """Renew the leases, and say if the journal does not answer meanwhile: its disk may hang."""
        watching = asyncio.create_task(self._watch_silence(journal), name="silence of the journal")
        try:
            await self._beat(journal)
        finally:
            watching.cancel()
            self._is_silent = False

    async def _watch_silence(self, journal: Journal) -> NoReturn:
        """While the journal does not answer, show that, and which leases have lapsed."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(self._silence_seconds)
            self._is_silent = clock() - journal.answered_at >= self._silence_seconds
            if not self._is_silent:
                continue
            self._note_problem(
                f"{self._clusters.config.state}: no answer for {self._silence_seconds:g} s or more"
            )
            await self._clusters.show_leases()

    async def _exchange_for_ever(self, journal: Journal) -> NoReturn:
        """Exchange after each heartbeat; the next heartbeat does not wait for it, however long it takes."""
        while True:
            await self._exchange_now.wait()
            self._exchange_now.clear()
            try:
                with no_stray_cancellation():
                    await self._exchange(journal)
            except JournalError as exc:
                self._exchange_problem = str(exc)
                self._note_problem(str(exc))
            else:
                mended, self._exchange_problem = self._exchange_problem, ""
                if mended and self.problem == mended:
                    self._note_usable()

    async def _exchange(self, journal: Journal) -> None:
        """Note what the polls have listed, and show what the journal has counted."""
        await self._clusters.note_listings(journal)
        await self._board.read_totals(journal.totals)

    def _now(self) -> float:
        """Return Unix seconds, and remember the latest: a clock that is set back is noticed by that."""
        now = self._wall_clock()
        self._latest_wall_clock = max(self._latest_wall_clock, now)
        return now

    async def _beat(self, journal: Journal) -> Stops:
        """Renew leases and take over what is free; learn and return what other processes have changed."""
        journal.leases.takeover_after_seconds = self._takeover_after_seconds
        await self._record_kill_switch(journal)
        await self._resume_paused(journal)
        beat = await journal.leases.heartbeat()
        stops = await journal.stops.read()
        self._follow_kill_switch(active=stops.kill_switch)
        self._board.paused = stops.paused
        for uuid, cleaner in self._clusters.cleaners.items():
            cleaner.hold(beat.leases.get(uuid))
        is_halted = self._kill_switch.active or not self._kill_switch.is_recorded
        was_halted, self._is_halted = self._is_halted, is_halted
        if was_halted and not self._is_halted:
            async for cleaner in self._clusters.each_cleaner():
                cleaner.resume_intervals()
        unfinished = stops.unfinished.keys() & self._clusters.uuids
        await self.sharing.share(journal, beat, unfinished=unfinished)
        await self._clusters.show_leases()
        return stops

    async def _record_kill_switch(self, journal: Journal) -> None:
        """Store a change of the kill switch that was made here."""
        if not self._kill_switch.is_recorded:
            active = self._kill_switch.active
            await journal.stops.set_kill_switch(engaged=active)
            self._kill_switch.is_recorded = active == self._kill_switch.active

    def _follow_kill_switch(self, *, active: bool) -> None:
        """Take over what the journal says of the kill switch, and say if that is a change."""
        before = self._kill_switch.active
        self._kill_switch.follow(active=active)
        if self._kill_switch.active != before:
            log.warning("the kill switch follows the journal", halted=self._kill_switch.active)

    async def _resume_paused(self, journal: Journal) -> None:
        """Resume policies if a reload has asked for it since the journal was opened."""
        resumes, self._resumes_paused = self._resumes_paused, False
        if resumes:
            try:
                await journal.stops.resume()
            except JournalError:
                self._resumes_paused = True
                raise

    @property
    def _takeover_after_seconds(self) -> float:
        return self._clusters.config.takeover_after.total_seconds()

    def _note_kill_switch(self) -> None:
        self._is_halted |= self._kill_switch.active
        self._beat_now.set()
        for cleaner in self._clusters.cleaners.values():
            if cleaner.is_busy:
                cleaner.recheck()

    def _note_problem(self, problem: str) -> None:
        write = log.debug if problem == self.problem else log.error
        write("the journal cannot be used, so nothing is deleted", error=problem)
        self.problem = problem
        if self._unusable_since is None:
            self._unusable_since = self._clock()

    def _note_usable(self) -> None:
        self.problem = self._exchange_problem
        if not self.problem:
            self._unusable_since = None
