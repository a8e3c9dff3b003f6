"""Measures a scrape over HTTP: rendered again and sent over a new connection to another process."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from asyncio.subprocess import PIPE
from concurrent.futures import ThreadPoolExecutor

import uvloop

from exporter.metrics.exporter_metrics import ExporterState
from exporter.metrics.exposition import Exposition
from exporter.metrics.process import ProcessMetrics
from exporter.polling.board import Board, ClusterStatus
from exporter.web.routes import build_application, serving
from exporter.web.sources import Sources

_CLIENT = """
import socket, sys
buffer = bytearray(1 << 20)
def scrape():
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        connection.sendall(b"GET /metrics HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n")
        while connection.recv_into(buffer):
            pass
scrape()
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[2])):
    scrape()
"""
"""Scrapes once, so that neither its start nor the first answer counts, then again when it is told to."""
_STATE = ExporterState(
    version="0",
    python_version="3",
    revision="",
    last_reload_successful=True,
    last_reload_success_timestamp_seconds=0.0,
    cluster_files=0,
    cluster_files_failed=0,
    clusters=0,
    requests={},
    poll_delay_seconds=0.0,
    shard_ordinal=0,
    total_shards=1,
)


def measure(exposition: Exposition[ClusterStatus], *, now: float, rounds: int) -> float:
    """Return the CPU seconds of one scrape, the kernel's share included."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, ThreadPoolExecutor(2) as threads:
        sources = Sources(
            board=Board(on_change=lambda _: None),
            exposition=exposition,
            cleanup=lambda: None,
            process=ProcessMetrics(),
            exporter_state=lambda: _STATE,
            masked_config=str,
            configuration_version=int,
            reload=None,
            wall_clock=lambda: now,
            renderers=threads,
            page_renderers=threads,
            telemetry_path="/metrics",
        )
        return runner.run(_scrapes(sources, rounds))


async def _scrapes(sources: Sources, rounds: int) -> float:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
        async with serving(build_application(sources, shared_seconds=0), [bound]):
            client = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _CLIENT, str(port), str(rounds)), stdin=PIPE, stdout=PIPE
            )
            if client.stdin is None or client.stdout is None or not await client.stdout.readline():
                raise SystemExit("a scrape over HTTP failed")
            begun = time.process_time()
            client.stdin.write(b"\n")
            if await client.wait():
                raise SystemExit("a scrape over HTTP failed")
            return (time.process_time() - begun) / rounds
