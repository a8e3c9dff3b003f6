"""A server with a large exposition in a process of its own, whose memory can be watched.

``python -m support.large_server WEB_CONFIG`` prints its port, serves, and ends with its input.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from benchmarks.processes import status_of
from exporter.logs import LogFormat, LogLevel, configure_logging
from exporter.metrics.cluster_metrics import CLUSTER_FAMILIES, update_cluster
from exporter.metrics.exposition import Exposition
from exporter.polling.board import ClusterStatus
from exporter.web.auth import load_web_config, protecting
from exporter.web.routes import build_application, serving
from support.large import CLUSTERS, status
from support.stub_sources import sources

TESTS = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeServer:
    """A running server."""

    process: asyncio.subprocess.Process
    port: int
    log: Path

    def rss_mib(self, *, peak: bool = False) -> float:
        """Return the memory that it takes now, or the most that it has taken."""
        return int(status_of(self.process.pid)["VmHWM" if peak else "VmRSS"].split()[0]) / 1024


@asynccontextmanager
async def large_server(web_config: Path) -> AsyncIterator[LargeServer]:
    """Serve until the context ends."""
    log = web_config.with_suffix(".log")
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "support.large_server",
            str(web_config),
            cwd=TESTS,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            async with asyncio.timeout(60):
                port = int(await process.stdout.readline())
            yield LargeServer(process=process, port=port, log=log)
        finally:
            process.stdin.close()
            await process.wait()


async def _serve(web_config: Path) -> None:
    exposition: Exposition[ClusterStatus] = Exposition(CLUSTER_FAMILIES)
    for number in range(CLUSTERS):
        update_cluster(exposition, status(number))
    config = load_web_config(web_config, environ={})
    with socket.create_server(("127.0.0.1", 0)) as bound, protecting(config, environ={}) as protection:
        application = build_application(sources(exposition=exposition), protection)
        async with serving(application, [bound], protection):
            os.write(1, f"{bound.getsockname()[1]}\n".encode())
            loop = asyncio.get_running_loop()
            ended = asyncio.Event()
            loop.add_reader(0, ended.set)
            await ended.wait()


if __name__ == "__main__":
    configure_logging(level=LogLevel.DEBUG, form=LogFormat.LOGFMT)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(Path(sys.argv[1])))
