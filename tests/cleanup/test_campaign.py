"""Whatever breaks, nothing is deleted that may not be, nothing twice, and nothing without an account.

Real daemons clean simulated clusters while they are killed, stopped, suspended and reloaded, while their disk
is full, their journal may not be written, their descriptors are used up and their wall clock jumps, while
clients hold connections without taking an answer, and while clusters come into use and show every fault that
the simulator has. No daemon ever connects to the server to which redirects and next links of other origin
lead, or holds more memory, descriptors, threads or tasks than it may. ``CAMPAIGN_SEED`` repeats what is done
in a campaign, though not at which moment; ``CAMPAIGN_KILLS`` and ``CAMPAIGN_DELETIONS`` prolong it, as
`make chaos` and `make chaos-full` do.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from exporter.simulator import FaultKind, JobScript, Simulator
from exporter.simulator.exporter_configuration import exporter_config
from support.campaign import (
    CONFIGURED_LABEL,
    Account,
    BadScrapers,
    Life,
    Scraper,
    WallClock,
    calm_down,
    chance_of,
    change_guards,
    cleanup_config,
    jobs_total,
    living,
    rarities,
    scripts,
    troubles,
    uninvolved,
    until_cleaned,
)
from support.programs import WITHOUT_ROOT_RIGHTS
from support.waiting import eventually
from support.warden import Warden, watched_cluster

SEED = int(os.environ.get("CAMPAIGN_SEED", "1"))
KILLS = int(os.environ.get("CAMPAIGN_KILLS", "6"))
DELETIONS = int(os.environ.get("CAMPAIGN_DELETIONS", "0"))
CLUSTERS = int(os.environ.get("CAMPAIGN_CLUSTERS", "12"))
SUPPLY = 6
KILLED_SHARE = 0.85
"""This many lives are killed; the others are stopped in order."""
LONGEST_LIFE_SECONDS = 12.0
MOST_DELETES = max(12, 2 * DELETIONS // KILLS)
"""A life ends after this many DELETEs at the latest."""
CALM_SECONDS = 180.0
"""More than `job_timeout`: the job of a deletion may have been lost with an answer."""
REPEAT = (
    f"CAMPAIGN_SEED={SEED} CAMPAIGN_KILLS={KILLS} CAMPAIGN_DELETIONS={DELETIONS} CAMPAIGN_CLUSTERS={CLUSTERS}"
)
FAULT_CHANCE = 0.15
READ_ONLY_CHANCE = 0.04


@dataclass(slots=True, kw_only=True)
class Figures:
    """What a campaign has done."""

    begun: float = field(default_factory=time.monotonic)
    done: Counter[str] = field(default_factory=Counter)
    faults: Counter[FaultKind] = field(default_factory=Counter)

    def show(self, wardens: list[Warden], scraper: Scraper) -> None:
        deleted = sum(len(warden.cluster.deletions) for warden in wardens)
        arrived = sum(warden.arrived.total() for warden in wardens)
        accepted = sum(len(warden.jobs) for warden in wardens)
        print(  # noqa: T201 - the figures of docs/reliability.md
            f"\n{REPEAT}: {dict(self.done)}, {self.faults.total()} faults of "
            f"{len(+self.faults)} kinds, {arrived} DELETEs, {accepted} accepted, {deleted} deletions, "
            f"{scraper.scrapes} scrapes, at most {scraper.most_held}, "
            f"{time.monotonic() - self.begun:.0f} s"
        )


@dataclass(slots=True, kw_only=True)
class Campaign:
    """One daemon after another on one journal."""

    simulator: Simulator
    wardens: list[Warden]
    config: Path
    journal: Path
    clock: WallClock
    chance: random.Random
    max_deletes_per_run: int = 10
    figures: Figures = field(default_factory=Figures)
    scraper: Scraper = field(default_factory=Scraper)
    scrapers: BadScrapers = field(default_factory=BadScrapers)
    remembered: dict[int, Sequence[Any]] = field(default_factory=dict)
    """Deletions by their ids, since a journal whose clock is ahead forgets what it kept for a day."""

    def write_config(self) -> None:
        """Write the configuration, another one than before."""
        chosen = self.chance.choice(self.wardens).cluster
        chosen.labels = {CONFIGURED_LABEL: str(self.chance.randrange(10**6))}
        if chosen.name < "c3":  # another policy ends every run, another label those on one cluster
            self.max_deletes_per_run = self.chance.randint(3, 12)
        cleanup = cleanup_config(f"sqlite:///{self.journal}", max_deletes_per_run=self.max_deletes_per_run)
        new = self.config.with_suffix(".new")
        new.write_text(exporter_config(self.simulator, poll_interval="2s", extra=cleanup))
        new.replace(self.config)

    async def lead_a_life(self) -> None:
        """Start the daemon, disturb it, and end it at a moment that chance picks."""
        chance, done = self.chance, self.figures.done
        for warden in self.wardens:
            warden.supply(SUPPLY)
            warden.cluster.job_script = scripts(chance)
        is_read_only = self.journal.exists() and chance.random() < READ_ONLY_CHANCE
        if is_read_only:
            self.journal.chmod(0o400)
        async with living(self.config, clock=self.clock, wrapper=WITHOUT_ROOT_RIGHTS) as life:
            if is_read_only:
                await self._let_write_once_refused(life)
                await self._disturb(life)
            elif chance.random() < FAULT_CHANCE:
                await asyncio.sleep(chance.uniform(0.3, 2.0))  # perhaps before it listens
            else:
                await life.until_listening()
                await self._disturb(life)
                await self.scraper.check(life)
            if chance.random() < KILLED_SHARE or not life.url:
                await life.kill()
                done["kills"] += 1
            else:
                await life.end_in_order()
                done["stops"] += 1
        await self.scrapers.go()
        if self.journal.exists() and chance.random() < FAULT_CHANCE:
            self.autopsy()

    async def _let_write_once_refused(self, life: Life) -> None:
        """Give the permission back without which the journal could not be opened."""
        try:
            await life.until_listening()
            await life.until_line("cannot open it: Permission denied")
            assert (await life.samples_of())["ontap_cleanup_journal_open", ()] == 0
        finally:
            self.journal.chmod(0o600)
        self.figures.done["read-only journals"] += 1

    async def _disturb(self, life: Life) -> None:
        """Let things happen until some DELETEs have arrived."""
        chance = self.chance
        end = time.monotonic() + LONGEST_LIFE_SECONDS
        enough = self.arrived() + chance.randint(0, MOST_DELETES)
        while time.monotonic() < end and self.arrived() < enough:
            await asyncio.sleep(chance.uniform(0.01, 0.2))
            change_guards(chance.choice(self.wardens), chance)
            for warden in self.wardens:
                warden.supply(SUPPLY)
            (blow,) = chance.choices((None, *self._blows), weights=(116, *self._blows.values()))
            if blow is not None:
                await blow(self, life)

    async def _scrape(self, life: Life) -> None:
        await self.scraper.check(life)

    async def _scrape_badly(self, life: Life) -> None:
        await self.scrapers.come(life, self.chance)
        self.figures.done["bad scrapers"] += 1

    async def _change_jobs(self, _life: Life) -> None:
        self.chance.choice(self.wardens).cluster.job_script = scripts(self.chance)

    async def _reload(self, life: Life) -> None:
        self.write_config()
        life.process.send_signal(signal.SIGHUP)
        self.figures.done["reloads"] += 1

    async def _suspend(self, life: Life) -> None:
        async with life.paused():
            await asyncio.sleep(self.chance.choice((0.1, 0.1, 0.5, 0.5, 1.0, 6.0)))
        self.figures.done["suspensions"] += 1

    async def _fill_disk(self, life: Life) -> None:
        with life.without_disk():
            await asyncio.sleep(self.chance.uniform(0.1, 2.0))
        self.figures.done["full disks"] += 1

    async def _use_up_descriptors(self, life: Life) -> None:
        if life.has_started:
            with life.without_descriptors():
                await asyncio.sleep(self.chance.uniform(0.1, 2.0))
            self.figures.done["times without descriptors"] += 1

    async def _set_clock(self, life: Life) -> None:
        if not life.has_started:
            return
        async with life.paused():
            self.autopsy()
        self.clock.set_ahead(days=self.chance.choice((-400, 400)))
        await asyncio.sleep(self.chance.uniform(0.5, 2.5))
        self.clock.set_ahead(days=0)
        self.figures.done["clock jumps"] += 1

    _blows: ClassVar = {  # by how often they come
        _reload: 4,
        _suspend: 4,
        _change_jobs: 12,
        _scrape: 12,
        _scrape_badly: 40,
        _fill_disk: 1,
        _use_up_descriptors: 1,
        _set_clock: 1,
    }

    def arrived(self) -> int:
        """Return how many DELETEs the clusters have received."""
        return sum(warden.arrived.total() for warden in self.wardens)

    def autopsy(self) -> Account:
        """Check a copy of the journal's file, and return what it says or has said."""
        copy = self.journal.with_name("copy.db")
        for suffix in ("", "-wal"):
            copy.with_name(f"copy.db{suffix}").unlink(missing_ok=True)
            source = self.journal.with_name(f"{self.journal.name}{suffix}")
            if source.exists():
                shutil.copyfile(source, copy.with_name(f"copy.db{suffix}"))
        with closing(sqlite3.connect(copy)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
            deletions, totals = (connection.execute(query).fetchall() for query in Account.QUERIES)
        self.remembered.update((row[-1], row) for row in deletions)
        return Account(deletions=[*self.remembered.values()], totals=totals)

    async def end_undisturbed(self) -> None:
        """Let a daemon finish without faults, then compare its account with what has really happened."""
        for warden in self.wardens:
            for fault in warden.cluster.faults.active[1:]:  # the first is the warden's own look
                warden.cluster.faults.remove(fault)
            warden.cluster.job_script = JobScript()
            warden.guard(lambda warden=warden: calm_down(warden))  # type: ignore[misc]
        async with living(self.config, clock=self.clock) as life:
            await life.until_listening()
            await until_cleaned(self.wardens, [life], seconds=CALM_SECONDS)

            async def counted() -> bool:
                async with life.paused():  # a copy of what is being written would be torn
                    account = self.autopsy()
                return not account.has_unfinished and await jobs_total(life) == account.by_outcome()

            await eventually(counted, seconds=CALM_SECONDS, what="the counters to be the journal's")
            await self.scraper.check(life)
            await life.end_in_order()
        account = self.autopsy()
        found = [one for warden in self.wardens for one in account.differences(warden)]
        assert not found, "\n".join([f"repeat it with: {REPEAT} make chaos", *found[:50]])


@pytest.mark.skipif(WallClock.library() is None, reason="not installed: apt-get install libfaketime")
@pytest.mark.timeout(240 + 20 * KILLS + DELETIONS / 4)
async def test_one_daemon_after_another_keeps_a_true_account_in_sqlite(tmp_path: Path) -> None:
    wardens = [
        Warden(watched_cluster(f"c{number}", plain_http=number % 4 != 0)) for number in range(CLUSTERS)
    ]
    clusters = [warden.cluster for warden in wardens]
    async with (
        uninvolved() as (elsewhere, connections_elsewhere),
        Simulator(clusters, directory=tmp_path, kept_requests=10) as simulator,
    ):
        it = Campaign(
            simulator=simulator,
            wardens=wardens,
            config=tmp_path / "config.yaml",
            journal=tmp_path / "state.db",
            clock=WallClock(file=tmp_path / "clock"),
            chance=random.Random(SEED),  # noqa: S311 - to repeat it
        )
        for warden in wardens:
            chance = chance_of(warden, seed=SEED)
            warden.cluster.faults.add(
                *troubles(chance, it.figures.faults),
                *rarities(chance, it.figures.faults, elsewhere=elsewhere),
            )
        it.write_config()
        it.clock.set_ahead(days=0)
        try:
            while (
                it.figures.done["kills"] < KILLS
                or sum(len(one.cluster.deletions) for one in wardens) < DELETIONS
            ):
                await it.lead_a_life()
                assert not [one for warden in wardens for one in warden.violations]
                assert connections_elsewhere() == 0
            await it.end_undisturbed()
        except BaseException as exc:
            exc.add_note(f"repeat it with: {REPEAT} make chaos")
            raise
        finally:
            it.figures.show(wardens, it.scraper)
        assert connections_elsewhere() == 0
        assert sum(len(warden.jobs) for warden in wardens) > CLUSTERS
