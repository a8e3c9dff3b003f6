"""The real program as a process of its own, listening on a free port of loopback."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from support.waiting import eventually

START_SECONDS = 60.0
FOR_CLIENTS_WITH_CERTIFICATE = """\
tls_server_config:
  cert_file: server.pem
  key_file: server.pem
  client_ca_file: ca.pem
  client_auth_type: RequireAndVerifyClientCert
"""
"""A web configuration, whose files stand beside it."""
_LISTENING = re.compile(r'msg"?[:=] ?"?listening\b.*?address=(\S+)|address": ?"([^"]+)"')


@dataclass(slots=True, kw_only=True)
class Daemon:
    """A running program.

    Attributes:
        process: the program.
        lines: what it has written so far.
        url: where it listens.
        session: for requests to it.
        listens: set when it listens, or has ended.
    """

    process: asyncio.subprocess.Process
    session: aiohttp.ClientSession
    lines: list[str] = field(default_factory=list)
    url: str = ""
    ended: bool = False
    listens: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def output(self) -> str:
        """What the program has written so far."""
        return "\n".join(self.lines)

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Return the status and the text of an answer."""
        async with self.session.get(self.url + path, headers=headers) as response:
            return response.status, await response.text()

    async def post(self, path: str, *, method: str = "POST") -> tuple[int, str]:
        """Return the status and the text of the answer to a request without a body."""
        async with self.session.request(method, self.url + path) as response:
            return response.status, await response.text()

    async def samples(self, name: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Return the samples of one metric: from their labels, by name, to the value."""
        _, text = await self.get("/metrics")
        return {
            tuple(sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        }

    async def by_cluster(self, name: str) -> dict[str, float]:
        """Return the samples of a metric that has one for each cluster, by the cluster's name."""
        return {dict(labels)["cluster"]: value for labels, value in (await self.samples(name)).items()}

    async def value(self, name: str) -> float:
        """Return the only sample of a metric."""
        (value,) = (await self.samples(name)).values()
        return value

    async def until_ready(self) -> None:
        """Wait until every cluster has been polled once."""

        async def ready() -> bool:
            return (await self.get("/-/ready"))[0] == 200

        await eventually(ready, seconds=START_SECONDS, what="the program to be ready")

    async def until_line(self, text: str) -> None:
        """Wait until the program has written a line that holds the text."""

        async def written() -> bool:
            return any(text in line for line in self.lines)

        await eventually(written, seconds=START_SECONDS, what=f"a line with {text}")

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        async with asyncio.timeout(START_SECONDS):
            return await self.process.wait()


D = TypeVar("D", bound=Daemon)


@asynccontextmanager
async def started(kind: type[D], *command: str, folder: Path, environ: Mapping[str, str]) -> AsyncIterator[D]:
    """Start a program with this environment added to ours; kill it at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with aiohttp.ClientSession() as session:
        daemon = kind(process=process, session=session)
        reading = asyncio.create_task(_read(daemon))
        try:
            yield daemon
        finally:
            if process.returncode is None:
                process.kill()
            await reading
            await process.wait()


@asynccontextmanager
async def program(
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    signals_while_starting: Sequence[signal.Signals] = (),
    wrapper: Sequence[str] = (),
    is_hasty: bool = False,
) -> AsyncIterator[Daemon]:
    """Run the program with these arguments; kill it at the end if it still runs.

    Args:
        arguments: the command and its flags.
        environ: added to this process's own.
        signals_while_starting: sent at once, as soon as the program holds them back and before it listens.
        wrapper: a command that runs the program.
        is_hasty: run :mod:`support.hasty_daemon` instead, whose cleanup makes short pauses.

    Raises:
        TimeoutError: it neither listened nor ended in time.
    """
    module = "support.hasty_daemon" if is_hasty else "exporter"
    command = (*wrapper, sys.executable, "-m", module, *arguments)
    folder = Path(__file__).parents[1 if is_hasty else 2]
    async with started(Daemon, *command, folder=folder, environ=environ or {}) as daemon:
        if signals_while_starting:
            held = partial(_holds, daemon.process, signals_while_starting[0])
            await eventually(held, seconds=START_SECONDS, what="the program to hold signals")
        for number in signals_while_starting:
            daemon.process.send_signal(number)
        async with asyncio.timeout(START_SECONDS):
            await daemon.listens.wait()
        yield daemon


async def _holds(process: asyncio.subprocess.Process, number: signal.Signals) -> bool:
    """Say whether a process blocks a signal or, later on, handles it."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    masks = (int(mask, 16) for mask in re.findall(r"^Sig(?:Blk|Cgt):\s*(\w+)$", status, re.MULTILINE))
    return any(mask >> (number - 1) & 1 for mask in masks)


async def _read(daemon: Daemon) -> None:
    """Collect the program's lines; the first one with an address says that it listens."""
    assert daemon.process.stdout is not None
    async for raw in daemon.process.stdout:
        line = raw.decode(errors="replace").rstrip("\n")
        daemon.lines.append(line)
        match = _LISTENING.search(line)
        if match and not daemon.url:
            daemon.url = f"http://{match[1] or match[2]}"
            daemon.listens.set()
    daemon.ended = True
    daemon.listens.set()
