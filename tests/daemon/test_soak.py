"""Days of polls, reloads, deletions and flapping clusters leave nothing behind in the process.

``SOAK_POLLS`` says how many polls of each cluster are made; `make soak` makes as many as a day has.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from exporter.simulator import Fault, FaultKind, SimulatedCluster, Simulator
from exporter.simulator.exporter_configuration import exporter_config, write_secret
from support.daemon_process import Daemon, program
from support.held_resources import Held, held_by

POLLS = int(os.environ.get("SOAK_POLLS", "10"))
"""Of each cluster: a day has 288 with the default interval."""
CLUSTERS = 20
OLD = "2019-02-04T19:00:00+00:00"
DAY_POLLS = 288
MOST_GROWTH_MIB_A_DAY = 8.0
TROUBLES = (FaultKind.RESET, FaultKind.SERVER_ERROR, FaultKind.HANG, FaultKind.HTML, FaultKind.PAGING_LOOP)
CLEANUP = """
cleanup:
  state: sqlite:///state.db
  policies:
    - {name: retire-old, every: 5s, older_than: 90d, seen_for: 0s, stop_after_failures: 0, dry_run: false}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the process holds after this many polls."""

    polls: float
    held: Held


@dataclass(slots=True, kw_only=True)
class Soak:
    """A daemon, what disturbs it, and what it held meanwhile."""

    simulator: Simulator
    config: Path
    daemon: Daemon
    chance: random.Random
    samples: list[Sample] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)

    def write_config(self) -> None:
        """Write the configuration with other labels than before."""
        for cluster in self.simulator.clusters:
            cluster.labels = {"round": str(self.chance.randrange(3))}
        text = exporter_config(self.simulator, poll_interval="1s", poll_timeout="1s", extra=CLEANUP)
        write_secret(self.config, text)

    async def disturb(self) -> None:
        """Let a second of a hard life pass."""
        cluster = self.chance.choice(self.simulator.clusters)
        match self.chance.randrange(4):
            case 0:
                cluster.faults.clear()
                cluster.faults.add(Fault(self.chance.choice(TROUBLES), times=3))
            case 1:
                cluster.add_package((f"9.8P{len(self.samples) + 1}", OLD))
            case 2:
                self.write_config()
                self.daemon.process.send_signal(signal.SIGHUP)
                self.done["reloads"] += 1
            case _:
                reader, writer = await asyncio.open_connection(*self.daemon.url[7:].split(":"))
                writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
                writer.transport.abort()
                del reader
                self.done["half-open clients"] += 1
        for path in ("/metrics", "/", f"/clusters/{cluster.name}", "/cleanup"):
            with suppress(aiohttp.ClientError):
                assert (await self.daemon.get(path))[0] == 200
            self.done["pages"] += 1

    async def look(self) -> None:
        """Note what the process holds."""
        polls = sum((await self.daemon.by_cluster("ontap_polls_total")).values()) / CLUSTERS
        held = held_by(self.daemon.process.pid, self.daemon.lines)
        self.samples.append(Sample(polls=polls, held=held))

    def growth_mib_a_day(self) -> float:
        """Return by how much memory grows in a day's polls: the slope over the second half."""
        later = self.samples[len(self.samples) // 2 :]
        mean_polls = sum(one.polls for one in later) / len(later)
        mean_mib = sum(one.held.mib for one in later) / len(later)
        spread = sum((one.polls - mean_polls) ** 2 for one in later)
        slope = sum((one.polls - mean_polls) * (one.held.mib - mean_mib) for one in later) / spread
        return slope * DAY_POLLS


@pytest.mark.timeout(120 + 10 * POLLS)
async def test_a_long_hard_life_leaves_nothing_behind(tmp_path: Path) -> None:
    clusters = [
        SimulatedCluster(f"c{number}", packages=[("9.14.1", OLD)], version="9.14.1", job_seconds=0.1)
        for number in range(CLUSTERS)
    ]
    config = tmp_path / "config.yaml"
    async with Simulator(clusters, directory=tmp_path, kept_requests=10) as simulator:
        write_secret(config, exporter_config(simulator, poll_interval="1s", extra=CLEANUP))
        async with program(str(config), environ={"COUNT_TASKS": "1"}, is_hasty=True) as daemon:
            soak = Soak(simulator=simulator, config=config, daemon=daemon, chance=random.Random(1))  # noqa: S311
            await daemon.until_ready()
            await daemon.until_line("tasks=")
            while not soak.samples or soak.samples[-1].polls < POLLS:
                await soak.disturb()
                await soak.look()
                await asyncio.sleep(0.5)
            growth = soak.growth_mib_a_day()
            deleted = sum(len(cluster.deletions) for cluster in clusters)
            print(  # noqa: T201 - the figures of docs/reliability.md
                f"\nSOAK_POLLS={POLLS}: {POLLS * CLUSTERS} polls, {deleted} deletions, {dict(soak.done)}; "
                f"{growth:+.1f} MiB in a day's polls, {soak.samples[-1]}"
            )
            first, later = (
                soak.samples[: len(soak.samples) // 2],
                soak.samples[len(soak.samples) // 2 :],
            )
            for what in ("descriptors", "threads", "tasks"):
                before, after = (sorted(getattr(one.held, what) for one in half) for half in (first, later))
                assert after[len(after) // 2] <= 1.25 * before[len(before) // 2] + 2, (what, before, after)
            if POLLS >= DAY_POLLS:  # in less time, caches that fill up would count as growth
                assert growth <= MOST_GROWTH_MIB_A_DAY
            assert await daemon.stop() == 0
