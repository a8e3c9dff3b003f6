"""Debian's Prometheus as a process of its own, asked over its HTTP API."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from support.servers import is_ready, running
from support.waiting import eventually

WAIT_SECONDS = 60.0

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="prometheus and promtool are not installed",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prometheus:
    """A running Prometheus."""

    url: str
    session: aiohttp.ClientSession
    pid: int

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an instant query: each with ``metric`` (labels) and ``value`` (a float)."""
        async with self.session.get(f"{self.url}/api/v1/query", params={"query": expression}) as response:
            answer = await response.json()
        assert answer["status"] == "success", answer
        return [
            {"metric": sample["metric"], "value": float(sample["value"][1])}
            for sample in answer["data"]["result"]
        ]

    async def until(self, expression: str) -> list[dict[str, Any]]:
        """Wait until a query gives samples, and return them.

        Raises:
            TimeoutError: it never did.
        """
        return await eventually(
            lambda: self.query(expression), seconds=WAIT_SECONDS, what=f"a sample of {expression}"
        )

    async def ready(self) -> bool:
        """Say whether it takes queries."""
        return await is_ready(self.session, self.url)


@asynccontextmanager
async def prometheus(
    directory: Path, scrape_configs: list[dict[str, Any]], **sections: Any
) -> AsyncIterator[Prometheus]:
    """Run Prometheus with these scrape configurations, every second, and other sections of its file."""
    config = directory / "prometheus.yml"
    document = {"global": {"scrape_interval": "1s"}, "scrape_configs": scrape_configs, **sections}
    config.write_text(json.dumps(document))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = (
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    log = directory / "prometheus.log"
    async with running(*command, log=log) as pid, aiohttp.ClientSession() as session:
        server = Prometheus(url=f"http://127.0.0.1:{port}", session=session, pid=pid)
        await eventually(server.ready, seconds=WAIT_SECONDS, what="Prometheus to be ready")
        yield server
