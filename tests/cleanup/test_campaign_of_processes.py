"""Several daemons share a journal in PostgreSQL: whatever breaks, only one at a time cleans a cluster.

They are killed and suspended, cut off from the database by a proxy that falls silent, and the server is
restarted. ``CAMPAIGN_ROUNDS`` and ``CAMPAIGN_SEED`` prolong and repeat the campaign, see `make chaos-full`.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import pytest

from exporter.simulator import FaultKind, SimulatedCluster, Simulator
from support.campaign import (
    Account,
    Life,
    chance_of,
    cleanup_config,
    jobs_total,
    living,
    troubles,
    until_cleaned,
)
from support.postgresql_server import PostgresqlServer, postgresql_programs, running_postgresql
from support.silent_proxy import SilentProxy, silent_proxy
from support.waiting import eventually
from support.warden import TOKEN, Warden, watched_cluster

SEED = int(os.environ.get("CAMPAIGN_SEED", "1"))
ROUNDS = int(os.environ.get("CAMPAIGN_ROUNDS", "0"))
"""Rounds of five blows each in the long form; 0: one blow of each kind."""
SHARDS: Sequence[Sequence[int]] = ((), (), (0, 2))
"""Two replicas of the whole, and one that has half of the clusters."""
ADDRESSES = ("{}", "[::ffff:{}]", "{}")
PASSWORD = "basic_auth: {username: monitor, password: simulated}"
LOGINS = (PASSWORD, PASSWORD, f"authorization: {{credentials: {TOKEN}}}")
"""Each daemon reaches the clusters in a way of its own, so that the simulator sees who asks."""
CLUSTERS = 6
SUPPLY = 4
TAKEOVER_AFTER_SECONDS = 4.0
MAX_TAKEOVER_SECONDS = TAKEOVER_AFTER_SECONDS + 10.0 if ROUNDS else 90.0
"""What the long form holds the daemons to; the short form may run on a machine that is busy."""
_LEASES = (
    "SELECT *, EXTRACT(EPOCH FROM clock_timestamp()) AS now FROM cleanup_leases",
    "SELECT *, EXTRACT(EPOCH FROM clock_timestamp()) AS now FROM cleanup_processes",
)
SOCKET = ".s.PGSQL.5432"
CALM_SECONDS = 180.0
REPEAT = f"CAMPAIGN_SEED={SEED} CAMPAIGN_ROUNDS={ROUNDS}"
BLOWS = ("kill", "pause", "silence", "restart", "stop")
LONG_BLOWS = ("kill", "kill", "kill", "pause", "silence")
"""Of the long form; the server is restarted every eighth round."""


@dataclass(slots=True, kw_only=True)
class Slot:
    """A daemon's place: its configuration and its way to the database, for one life after another."""

    number: int
    config: Path
    proxy: SilentProxy
    life: Life
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def revive(self) -> None:
        """Start the next life."""
        await self.stack.aclose()
        self.life = await self.stack.enter_async_context(living(self.config, shard=SHARDS[self.number]))
        await self.life.until_listening()


@dataclass(slots=True, kw_only=True)
class Processes:
    """All daemons, and what was measured."""

    slots: list[Slot]
    wardens: list[Warden]
    server: PostgresqlServer
    url: str
    chance: random.Random
    blows: Counter[str] = field(default_factory=Counter)
    takeovers: list[float] = field(default_factory=list)

    async def all_held(self) -> dict[int, set[str]]:
        """Wait until every cluster is held by one daemon, and may be by the others; return who holds what."""

        async def held() -> dict[int, set[str]]:
            if not all([await slot.life.may_take_over() for slot in self.slots]):
                return {}
            holds = {slot.number: await slot.life.holds() for slot in self.slots}
            clusters = Counter(warden.cluster.name for warden in self.wardens)
            return holds if Counter(chain(*holds.values())) == clusters else {}

        return await eventually(held, seconds=CALM_SECONDS, what="every cluster to be held by one daemon")

    async def strike(self, blow: str) -> None:
        """Let one thing happen to one daemon, or to the server, and wait until others go on."""
        self.blows[blow] += 1
        for warden in self.wardens:
            warden.supply(SUPPLY)
        holds = await self.all_held()
        slot = self.chance.choice([one for one in self.slots if holds[one.number]])
        held = holds[slot.number]
        await asyncio.sleep(self.chance.uniform(0.0, 0.5))
        match blow:
            case "kill":
                await slot.life.kill()
                await self._taken_over(slot, held)
                await slot.revive()
            case "stop":
                await slot.life.end_in_order()
                await self._taken_over(slot, held)
                await slot.revive()
            case "pause":
                async with slot.life.paused():
                    await self._taken_over(slot, held)
            case "silence":
                slot.proxy.fall_silent()
                try:
                    await self._taken_over(slot, held)
                finally:
                    slot.proxy.speak()
            case _:
                await asyncio.to_thread(self.server.restart)

    async def _taken_over(self, slot: Slot, held: set[str]) -> None:
        """Wait until other daemons hold the clusters of one that is gone, and note how long that took."""
        begun = time.monotonic()
        others = [one for one in self.slots if one is not slot]
        left = set(held)
        while left:
            found = {name for one in others for name in await one.life.holds()}
            taken = time.monotonic() - begun
            self.takeovers += [taken] * len(left & found)
            left -= found
            assert taken < MAX_TAKEOVER_SECONDS, (
                f"after {taken:.1f} s nobody has taken over {left}: {await self._leases()}"
            )
            await asyncio.sleep(0.05)

    async def _leases(self) -> str:
        """Return what the database says of leases and processes, for a message."""
        held, living = [await self.server.ask(self.url, query) for query in _LEASES]
        return f"leases: {held}; processes: {living}"

    def show(self) -> None:
        histogram = Counter(int(seconds) for seconds in self.takeovers)
        bars = " ".join(f"{seconds}s:{histogram[seconds]}" for seconds in sorted(histogram))
        arrived = sum(warden.arrived.total() for warden in self.wardens)
        print(  # noqa: T201 - the figures of docs/reliability.md
            f"\n{REPEAT}: {dict(self.blows)}, {arrived} DELETEs, takeovers of clusters by seconds: {bars}"
        )

    async def account(self) -> Account:
        """Return what the journal says."""
        deletions, totals = [await self.server.ask(self.url, query) for query in Account.QUERIES]
        return Account(deletions=[tuple(row) for row in deletions], totals=[tuple(row) for row in totals])


def config_of(clusters: Sequence[SimulatedCluster], number: int, url: str) -> str:
    """Return the configuration of one of the daemons."""
    entries = []
    for cluster in clusters:
        host, _, port = cluster.address.rpartition(":")
        entries.append(
            f'  - {{name: {cluster.name}, address: "http://{ADDRESSES[number].format(host)}:{port}"}}'
        )
    return "\n".join(
        (
            "defaults:",
            "  poll_interval: 2s",
            "  allow_http: true",
            f"  {LOGINS[number]}",
            "clusters:",
            *entries,
            cleanup_config(url, takeover_after=f"{TAKEOVER_AFTER_SECONDS:g}s"),
        )
    )


@asynccontextmanager
async def processes(directory: Path) -> AsyncIterator[Processes]:
    """Start the server, the proxies and the daemons."""
    programs = postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL's initdb and pg_ctl are not installed")
    wardens = [Warden(watched_cluster(f"c{number}", plain_http=True)) for number in range(CLUSTERS)]
    clusters = [warden.cluster for warden in wardens]
    async with AsyncExitStack() as stack:
        server = stack.enter_context(running_postgresql(programs))
        url = await server.new_database()
        await stack.enter_async_context(Simulator(clusters, directory=directory, kept_requests=10))
        slots = []
        for number in range(len(SHARDS)):
            folder = directory / str(number)
            folder.mkdir()
            proxy = await stack.enter_async_context(silent_proxy(server.folder / SOCKET, folder))
            config = folder / "config.yaml"
            through_proxy = url.replace(f"host={server.folder}", f"host={folder}")
            config.write_text(config_of(clusters, number, through_proxy))
            own = await stack.enter_async_context(AsyncExitStack())
            life = await own.enter_async_context(living(config, shard=SHARDS[number]))
            slots.append(Slot(number=number, config=config, proxy=proxy, life=life, stack=own))
        for slot in slots:
            await slot.life.until_listening()
        yield Processes(
            slots=slots,
            wardens=wardens,
            server=server,
            url=url,
            chance=random.Random(SEED),  # noqa: S311 - to repeat it
        )


def planned_blows() -> list[str]:
    if not ROUNDS:
        return list(BLOWS)
    return [
        blow for number in range(ROUNDS) for blow in (*LONG_BLOWS, *(("restart",) if number % 8 == 7 else ()))
    ]


@pytest.mark.timeout(300 + 300 * ROUNDS)
async def test_daemons_that_share_a_journal_clean_each_cluster_one_at_a_time(tmp_path: Path) -> None:
    async with processes(tmp_path) as it:
        faults = Counter[FaultKind]()
        for warden in it.wardens:
            warden.cluster.faults.add(*troubles(chance_of(warden, seed=SEED), faults))
        try:
            for blow in planned_blows():
                await it.strike(blow)
                assert not [one for warden in it.wardens for one in warden.violations]
            for warden in it.wardens:
                for fault in warden.cluster.faults.active[1:]:  # the first is the warden's own look
                    warden.cluster.faults.remove(fault)
            await it.all_held()
            await until_cleaned(it.wardens, [slot.life for slot in it.slots], seconds=CALM_SECONDS)

            async def counted() -> bool:
                account = await it.account()
                shown = [await jobs_total(slot.life) for slot in it.slots]
                expected = [account.by_outcome()] * 2
                # A shard shows its own clusters.
                own = {key: count for key, count in account.by_outcome().items() if key in shown[2]}
                return not account.has_unfinished and shown == [*expected, own] and bool(own)

            await eventually(counted, seconds=CALM_SECONDS, what="equal counters in all daemons")
            account = await it.account()
            found = [one for warden in it.wardens for one in account.differences(warden)]
            assert not found, "\n".join(found[:50])
        except BaseException as exc:
            exc.add_note(f"repeat it with: {REPEAT} make chaos")
            exc.add_note("\n".join(slot.life.output[-3000:] for slot in it.slots))
            raise
        finally:
            it.show()
