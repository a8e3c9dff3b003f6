"""The applied web configuration: checks every request, and is read again when its files change."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, NoReturn

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from exporter.background import begin
from exporter.config import ConfigError, Problem
from exporter.files import read_file
from exporter.pem import MAX_PEM_BYTES
from exporter.web.addresses import client_of
from exporter.web.admission import BoundedServer
from exporter.web.auth.fair_queue import FairQueue, TooManyWaitError
from exporter.web.auth.passwords import Passwords
from exporter.web.auth.toolkit_file import WebConfig, load_web_config
from exporter.web.auth.toolkit_schema import ClientAuth, RateLimitConfig, TlsServerConfig

CHECK_SECONDS: Final = 2.0
"""How often the files are scanned. A change is applied when two scans in a row have found it."""
_THREAD: Final = "web configuration"
_CHALLENGE: Final = 'Basic realm="ontap-packages-exporter", charset="UTF-8"'

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class TokenBucket:
    """Limits the rate of requests: full at the start; a request takes a token, each ``interval`` brings one.

    Source: https://pkg.go.dev/golang.org/x/time/rate, which exporter-toolkit uses.
    """

    def __init__(self, limit: RateLimitConfig, *, now: float) -> None:
        self._limit = limit
        self._tokens = float(limit.burst)
        self._filled_at = now

    def take(self, now: float) -> bool:
        """Take a token, or return False if there is none; ``now`` is in seconds."""
        earned = (now - self._filled_at) / self._limit.interval.total_seconds()
        self._tokens = min(self._tokens + max(earned, 0.0), float(self._limit.burst))
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Protection:
    """Holds the applied configuration. Made by :func:`protecting`."""

    def __init__(
        self,
        config: WebConfig,
        queue: FairQueue,
        *,
        environ: Mapping[str, str],
        clock: Callable[[], float],
    ) -> None:
        self._environ = environ
        self._queue = queue
        self._clock = clock
        self._server: BoundedServer | None = None
        self._reading = asyncio.Lock()
        self._read_hashes: tuple[str, ...] = ()
        """The hashes of the files when they were last read."""
        self._problems: tuple[Problem, ...] = ()
        """The mistakes of the newest version; empty if it is applied."""
        self._use(config)

    def _use(self, config: WebConfig) -> None:
        self.config = config
        self._passwords = Passwords(config.users, self._queue) if config.users else None
        limit = config.rate_limit
        self._bucket = TokenBucket(limit, now=self._clock()) if limit is not None else None

    def protect(self, server: BoundedServer) -> None:
        """Give a server the TLS of its connections, now and whenever it changes."""
        self._server = server
        server.context = self.config.context

    @web.middleware
    async def authenticate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse a request, or pass it on to its handler; a middleware for all paths."""
        if (refusal := _refuse_connection(self.config.tls, request.transport)) is not None:
            return refusal
        if self._bucket is not None and not self._bucket.take(self._clock()):
            return web.Response(status=429, text="Too Many Requests\n")
        if self._passwords is not None:
            authorization = request.headers.get(hdrs.AUTHORIZATION)
            try:
                accepted = await self._passwords.accepts(authorization, client=client_of(request.remote))
            except TooManyWaitError:
                text = "Too many passwords wait to be checked.\n"
                return web.Response(status=429, text=text, headers={hdrs.RETRY_AFTER: "1"})
            if not accepted:
                headers = {hdrs.WWW_AUTHENTICATE: _CHALLENGE}
                return web.Response(status=401, text="Unauthorized\n", headers=headers)
        return await handler(request)

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the configured headers, and end connections with an earlier TLS; a signal."""
        for name, value in self.config.headers:
            response.headers[name] = value
        transport = request.transport
        if transport is not None and transport.get_extra_info("sslcontext") is not self.config.context:
            response.force_close()
            response.headers[hdrs.CONNECTION] = "close"  # too late for aiohttp to set it by itself

    async def watch(self, *, check_seconds: float = CHECK_SECONDS) -> NoReturn:
        """Scan the files and apply their changes, until cancelled."""
        before: tuple[str, ...] = ()
        while True:
            try:
                hashes = await self._hash()
                if hashes == before:
                    await self._read_if_changed(hashes)
                before = hashes
            except BlockingIOError as exc:
                log.error("the web configuration cannot be read now", error=str(exc))  # noqa: TRY400 - not ours
            await asyncio.sleep(check_seconds)

    async def reload(self) -> ConfigError | None:
        """Read the files now; if they have mistakes, return these and keep the last good version.

        Files that are applied already are no mistake, even if the certificate has expired since.
        """
        return await self._read_if_changed(await self._hash())

    def _hash(self) -> asyncio.Future[tuple[str, ...]]:
        files = self.config.files
        return begin(lambda: tuple(map(_hash_of, files)), name=_THREAD)

    async def _read_if_changed(self, hashes: tuple[str, ...]) -> ConfigError | None:
        """Read the files unless they are applied; a version with mistakes may name files that come later."""
        async with self._reading:
            if hashes == self._read_hashes and not self._problems:
                return None
            path = self.config.path
            try:
                config = await begin(lambda: load_web_config(path, environ=self._environ), name=_THREAD)
            except ConfigError as error:
                if error.problems != self._problems or hashes != self._read_hashes:
                    _log_problems(path, error.problems)
                self._problems, self._read_hashes = error.problems, hashes
                return error
            if config != self.config or self._problems:
                self._apply(config)
            self._problems, self._read_hashes = (), hashes
            return None

    def _apply(self, config: WebConfig) -> None:
        before = self.config
        self._use(config)
        if self._server is not None:
            self._server.context = config.context
            if config.client_requirements != before.client_requirements:
                self._server.end_connections()
        _log_applied(config)


@contextmanager
def protecting(
    config: WebConfig, *, environ: Mapping[str, str], clock: Callable[[], float] = time.monotonic
) -> Iterator[Protection]:
    """Apply a configuration for as long as the context lasts."""
    queue = FairQueue()
    try:
        protection = Protection(config, queue, environ=environ, clock=clock)
        _log_applied(config)
        yield protection
    finally:
        queue.close()


def _refuse_connection(
    tls: TlsServerConfig | None, transport: asyncio.Transport | None
) -> web.Response | None:
    """Refuse a connection, maybe begun under an earlier configuration, without the TLS that is required."""
    if tls is None:
        return None
    refusal = None
    is_encrypted = transport is not None and transport.get_extra_info("sslcontext") is not None
    certificate = None if transport is None else transport.get_extra_info("peercert")
    if not is_encrypted or (tls.client_auth_type is ClientAuth.REQUIRED and not certificate):
        refusal = web.Response(status=421, text="The client requirements have changed: connect again.\n")
    elif tls.client_allowed_sans and not set(tls.client_allowed_sans) & set(_names_in(certificate)):
        refusal = web.Response(status=403, text="The client's certificate has no allowed name.\n")
    if refusal is not None:
        refusal.force_close()
    return refusal


def _names_in(certificate: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield the subject alternative names of a client's certificate, as ``ssl`` gives it."""
    for kind, value in (certificate or {}).get("subjectAltName", ()):
        if kind in {"DNS", "email", "URI"}:
            yield value
        elif kind == "IP Address":
            with suppress(ValueError):  # OpenSSL writes what is no address as <invalid>
                yield str(ip_address(value.strip()))


def _hash_of(path: Path) -> str:
    """Return a hash of a file's content, or the error if it cannot be read."""
    try:
        return hashlib.sha256(read_file(path, max_bytes=MAX_PEM_BYTES)).hexdigest()
    except (OSError, ValueError) as error:
        return str(error)


def _log_applied(config: WebConfig) -> None:
    for warning in config.warnings:
        log.warning("warning about the web configuration", **warning.logged())
    log.info(
        "web configuration applied",
        file=str(config.path),
        tls=config.tls is not None,
        client_certificates="NoClientCert" if config.tls is None else str(config.tls.client_auth_type),
        users=len(config.users),
        rate_limit=config.rate_limit is not None,
    )


def _log_problems(path: Path, problems: Iterable[Problem]) -> None:
    for problem in problems:
        log.error("mistake in the web configuration", **problem.logged())
    log.error("new web configuration cannot be used, the last good one stays applied", file=str(path))
