"""The exporter's pages behind a web configuration, on a free port of loopback, with certificates for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import aiohttp
import bcrypt
import trustme

from exporter.web.auth import Protection, load_web_config, protecting
from exporter.web.routes import build_application, serving
from support.client_connections import connected
from support.stub_sources import sources

PAGES = (
    "/",
    "/metrics",
    "/sd",
    "/api/v1/clusters",
    "/api/v1/cleanup",
    "/config",
    "/-/healthy",
    "/-/ready",
)
WAYS = ("/probe", "/-/reload", "/no-such-page")
"""Paths whose answers are not 200: a parameter, a method or a page is missing."""
CHECK_SECONDS = 0.02
HOUR = timedelta(hours=1)
WAIT_SECONDS = 60.0
_TIMEOUT = aiohttp.ClientTimeout(WAIT_SECONDS)


def basic(user: str, password: str) -> str:
    """Return the header that logs in."""
    return aiohttp.encode_basic_auth(user, password, "utf-8")


@cache
def hashed(password: str) -> str:
    """Return the cheapest hash of a password."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def write(path: Path, content: str | bytes) -> Path:
    """Write a file atomically, readable by its owner alone."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_bytes(content.encode() if isinstance(content, str) else content)
    new.replace(path)
    return path


class Certificates:
    """An authority, and what it has signed; the files of the server are in the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.ca_file = write(folder / "ca.pem", self.authority.cert_pem.bytes())
        self.issue_server()

    def issue_server(self, *, valid_from: timedelta = -HOUR, valid_to: timedelta = HOUR) -> None:
        """Write a new certificate of the server, and its key; its dates count from now."""
        now = datetime.now(UTC)
        leaf = self.authority.issue_cert(
            "127.0.0.1", "localhost", not_before=now + valid_from, not_after=now + valid_to
        )
        write(self.folder / "server.key", leaf.private_key_pem.bytes())
        write(self.folder / "server.crt", leaf.cert_chain_pems[0].bytes())

    def client(
        self, *names: str, signed_by: trustme.CA | None = None, maximum: ssl.TLSVersion | None = None
    ) -> ssl.SSLContext:
        """Return what a client needs to trust the server and, with names, to show a certificate."""
        context = ssl.create_default_context(cafile=self.ca_file)
        if maximum is not None:
            context.minimum_version = context.maximum_version = maximum
        if names:
            (signed_by or self.authority).issue_cert(*names).configure_cert(context)
        return context


TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A running server."""

    port: int
    protection: Protection

    async def get(
        self,
        path: str = "/-/healthy",
        *,
        context: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
        method: str = "GET",
        address: str = "127.0.0.1",
    ) -> aiohttp.ClientResponse:
        """Ask over a connection of its own, from an address of loopback; with TLS if a context is given.

        Raises:
            aiohttp.ClientError: there was no answer.
        """
        scheme = "http" if context is None else "https"
        headers = {} if login is None else {"Authorization": basic(*login)}
        connector = aiohttp.TCPConnector(
            force_close=True, ssl=context if context is not None else True, local_addr=(address, 0)
        )
        async with (
            aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session,
            session.request(method, f"{scheme}://127.0.0.1:{self.port}{path}", headers=headers) as response,
        ):
            await response.read()
            return response

    async def status(
        self,
        path: str = "/-/healthy",
        *,
        context: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
    ) -> int:
        """Return the status of an answer; 0 if there was none."""
        try:
            return (await self.get(path, context=context, login=login)).status
        except (aiohttp.ClientError, ConnectionError):
            return 0

    async def serial_number(self, context: ssl.SSLContext) -> str:
        """Return the number of the certificate that the server shows."""
        async with connected("127.0.0.1", self.port, context) as (_, writer):
            return str(writer.get_extra_info("peercert")["serialNumber"])


@asynccontextmanager
async def guarded(path: Path, *, clock: Callable[[], float] = time.monotonic) -> AsyncIterator[Guarded]:
    """Serve under the web configuration at ``path``, and scan it often."""
    config = load_web_config(path, environ=os.environ)
    bound = socket.create_server(("127.0.0.1", 0))
    with (
        bound,
        ThreadPoolExecutor(1) as renderers,
        protecting(config, environ={}, clock=clock) as protection,
    ):
        application = build_application(sources(renderers=renderers, wall_clock=time.time), protection)
        async with serving(application, [bound], protection):
            watching = asyncio.create_task(protection.watch(check_seconds=CHECK_SECONDS))
            try:
                yield Guarded(port=bound.getsockname()[1], protection=protection)
            finally:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching
