"""Debian's Alertmanager as a process of its own, and the webhook that it calls."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from support.programs import UNPACKED
from support.servers import is_ready, running
from support.waiting import eventually

WAIT_SECONDS = 60.0
PROGRAM = "prometheus-alertmanager"

TEMPLATES = "/usr/share/prometheus/alertmanager"
"""Where Debian's Alertmanager looks for its templates, a place that is compiled in."""

needs_alertmanager = pytest.mark.skipif(
    shutil.which(PROGRAM) is None,
    reason="not installed: apt-get install --no-install-recommends prometheus-alertmanager",
)
needs_amtool = pytest.mark.skipif(shutil.which("amtool") is None, reason="amtool is not installed")


@dataclass(slots=True, kw_only=True)
class Webhook:
    """Takes what Alertmanager sends.

    Attributes:
        url: where to send it; the path after it names the receiver.
        alerts: every alert of every message in the order of their arrival, with its ``receiver``.
        messages: for each message, its receiver and the names of its alerts.
    """

    url: str
    alerts: list[dict[str, Any]] = field(default_factory=list)
    messages: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, request: web.Request) -> web.Response:
        message = await request.json()
        names = frozenset(alert["labels"]["alertname"] for alert in message["alerts"])
        async with self._arrived:
            self.messages.append((request.match_info["receiver"], names))
            self.alerts += [
                {**alert, "receiver": request.match_info["receiver"]} for alert in message["alerts"]
            ]
            self._arrived.notify_all()
        return web.Response()

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for an alert to arrive, and return the first that is wanted.

        Raises:
            TimeoutError: none did; the message shows what did.
        """
        try:
            async with asyncio.timeout(WAIT_SECONDS), self._arrived:
                while True:
                    for alert in self.alerts:
                        if wanted(alert):
                            return alert
                    await self._arrived.wait()
        except TimeoutError as exc:
            raise TimeoutError(f"arrived: {self.alerts}") from exc


@asynccontextmanager
async def webhook() -> AsyncIterator[Webhook]:
    """Listen on a free port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        hook = Webhook(url=f"http://127.0.0.1:{bound.getsockname()[1]}")
        application = web.Application()
        application.add_routes([web.post("/{receiver}", hook.take)])
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.SockSite(runner, bound).start()
            yield hook
        finally:
            await runner.cleanup()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alertmanager:
    """A running Alertmanager."""

    address: str
    session: aiohttp.ClientSession

    async def alerts(self, *matchers: str) -> list[dict[str, Any]]:
        """Return the alerts that it holds, the inhibited ones included."""
        params = [("filter", matcher) for matcher in matchers]
        async with self.session.get(f"http://{self.address}/api/v2/alerts", params=params) as response:
            assert response.status == 200, await response.text()
            found: list[dict[str, Any]] = await response.json()
            return found

    async def fire(self, *alerts: Mapping[str, str]) -> None:
        """Let alerts with these labels fire, all at once."""
        fired = [{"labels": dict(labels)} for labels in alerts]
        async with self.session.post(f"http://{self.address}/api/v2/alerts", json=fired) as response:
            assert response.status == 200, await response.text()

    async def until_inhibited(self, *matchers: str) -> None:
        """Wait until it holds such an alert, and another one inhibits it.

        Raises:
            TimeoutError: it never did.
        """

        async def inhibited() -> bool:
            return any(alert["status"]["inhibitedBy"] for alert in await self.alerts(*matchers))

        await eventually(inhibited, seconds=WAIT_SECONDS, what=f"an inhibited alert {matchers}")

    async def ready(self) -> bool:
        """Say whether it takes alerts."""
        return await is_ready(self.session, f"http://{self.address}")


def _program(directory: Path) -> str:
    """Return Alertmanager; where it is only unpacked, a copy that looks for its templates in this folder."""
    found = shutil.which(PROGRAM)
    assert found is not None
    if Path(TEMPLATES).exists():
        return found
    here = f"./{'t' * (len(TEMPLATES) - 2)}"  # as long as the place that it replaces
    copy = directory / PROGRAM
    copy.write_bytes(Path(found).read_bytes().replace(TEMPLATES.encode(), here.encode()))
    copy.chmod(0o700)
    shutil.copytree(UNPACKED / TEMPLATES.removeprefix("/"), directory / here)
    return str(copy)


@asynccontextmanager
async def alertmanager(directory: Path, config: dict[str, Any]) -> AsyncIterator[Alertmanager]:
    """Run Alertmanager, without peers, for as long as the context lasts."""
    file = directory / "alertmanager.yml"
    file.write_text(json.dumps(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = (
        _program(directory),
        f"--config.file={file}",
        f"--storage.path={directory / 'alertmanager'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    )
    log = directory / "alertmanager.log"
    async with running(*command, log=log, folder=directory), aiohttp.ClientSession() as session:
        server = Alertmanager(address=address, session=session)
        await eventually(server.ready, seconds=WAIT_SECONDS, what="Alertmanager to be ready")
        yield server
