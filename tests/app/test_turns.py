"""A new configuration of very many clusters is applied without holding up anything else."""

from __future__ import annotations

import asyncio
from pathlib import Path

from exporter.app.applied import AppliedConfiguration
from exporter.app.sharding import Shard
from exporter.cleanup.delete.limits import Pace
from exporter.cleanup.kill_switch import KillSwitch
from exporter.config import Config, load_config
from exporter.ontap.session import open_session
from support.loop_lag import longest_turn_seconds

CLUSTERS = 2000
LONGEST_SECONDS = 0.05


def configured(folder: Path, *, site: str, clusters: range) -> Config:
    """Return a configuration of clusters that refuse every connection."""
    file = folder / "config.yaml"
    defaults = f"{{basic_auth: {{username: u, password: p}}, labels: {{site: {site}}}}}"
    lines = [f"max_concurrent_polls: 1\ndefaults: {defaults}\nclusters:\n"]
    lines += [
        f"- {{name: c{number}, address: '127.9.{number >> 8}.{number & 255}:1'}}\n" for number in clusters
    ]
    file.write_text("".join(lines))
    return load_config(file, environ={})


async def test_no_change_of_very_many_clusters_holds_up_the_event_loop(tmp_path: Path) -> None:
    everybody, half = range(CLUSTERS), range(CLUSTERS // 2)
    first = configured(tmp_path, site="ams", clusters=everybody)
    changes = {
        "nothing": configured(tmp_path, site="ams", clusters=everybody),
        "a label": configured(tmp_path, site="fra", clusters=everybody),
        "half of them gone": configured(tmp_path, site="fra", clusters=half),
        "half of them new": configured(tmp_path, site="fra", clusters=everybody),
    }
    async with open_session() as session, asyncio.TaskGroup() as group:
        applied = AppliedConfiguration(
            first,
            shard=Shard(),
            session=session,
            group=group,
            kill_switch=KillSwitch(active=False),
            pace=Pace(),
        )
        await applied.apply(first)
        sent_meanwhile = applied.counts.totals()
        try:
            stalls = {
                change: await longest_turn_seconds(applied.apply(config))
                for change, config in changes.items()
            }
            names = [status.name for status in applied.board.statuses()]
        finally:
            applied.stop()
    assert sent_meanwhile == {}, "polls began before all was applied and served, and held it up"
    assert {change: stall for change, stall in stalls.items() if stall > LONGEST_SECONDS} == {}
    assert names == [f"c{number}" for number in everybody]
