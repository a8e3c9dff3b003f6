"""The daemon, whose cleanup makes short pauses: `hasty_daemon.py CONFIG [SHARD TOTAL_SHARDS]`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from exporter.app import daemon
from exporter.app.event_loop import fast_loop_factory
from exporter.app.sharding import Shard
from exporter.app.signals import stop_on_signals
from exporter.cleanup.delete.limits import Pace, Pauses
from exporter.config import ConfigFiles
from exporter.held_signals import hold_signals, let_stop_signals_through
from exporter.logs import LogFormat, LogLevel, configure_logging
from exporter.web.addresses import ListenAddress

HASTY = Pace(
    job=Pauses(first_seconds=0.05, factor=1.5, longest_seconds=0.3),
    busy=Pauses(first_seconds=0.1, factor=2.0, longest_seconds=0.5),
    check=Pauses(first_seconds=0.1, factor=1.5, longest_seconds=0.5),
    in_flight_seconds=3.0,
    retry_seconds=1.0,
)


async def count_tasks() -> None:
    """Write how many tasks there are, again and again."""
    while True:
        print(f"tasks={len(asyncio.all_tasks())}", flush=True)  # noqa: T201 - for the soak test
        await asyncio.sleep(1)


async def run(config_file: Path, shard: Shard) -> None:
    """Poll, clean and serve until SIGTERM."""
    counting = asyncio.create_task(count_tasks()) if "COUNT_TASKS" in os.environ else None
    files = ConfigFiles(config_file, environ=os.environ)
    settings = daemon.DaemonSettings(
        listen_addresses=(ListenAddress(host="127.0.0.1", port=0),),
        telemetry_path="/metrics",
        shard=shard,
        pace=HASTY,
    )
    stop = asyncio.Event()
    with stop_on_signals(stop):
        await daemon.run(files, files.load(), settings, stop=stop)
    if counting is not None:
        counting.cancel()


if __name__ == "__main__":
    hold_signals()
    let_stop_signals_through()
    configure_logging(level=LogLevel.INFO, form=LogFormat.LOGFMT)
    ordinal, total = (int(number) for number in sys.argv[2:4] or (0, 1))
    with asyncio.Runner(loop_factory=fast_loop_factory()) as runner:
        runner.run(run(Path(sys.argv[1]), Shard(ordinal=ordinal, total=total)))
