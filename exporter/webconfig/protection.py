"""A web configuration in force: asked before every request, and read again when its files change."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from exporter.config import ConfigError, Position, Problem
from exporter.config.content import Signature, sign
from exporter.webconfig.bucket import TokenBucket
from exporter.webconfig.loader import load_web_config
from exporter.webconfig.model import ClientAuth, WebConfig
from exporter.webconfig.passwords import Passwords
from exporter.webconfig.tls import build_context, subject_alternative_names
from exporter.webconfig.turns import TooManyWaitError, Turns, client_of

Switch = Callable[[ssl.SSLContext | None, bool], Awaitable[None]]
"""Takes the TLS of new connections, and whether those that are open have to be made anew."""
Signatures = tuple[Signature, ...]
"""What tells that files have changed."""

LOOK_SECONDS: Final = 1.0
"""How often the files are looked at. A change is taken over once it has been seen unchanged twice."""
WEAKER_SECONDS: Final = 5.0
"""How long files must have stayed as they are where they protect less: the rest may be on its way."""
_READINGS: Final = 20
"""How often a reload reads files meanwhile."""
_CHALLENGE: Final = 'Basic realm="ontap-packages-exporter", charset="UTF-8"'

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class _WeakerError(Exception):
    """The files protect less than what is in force, and may yet change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """One version of the configuration, made ready for requests."""

    config: WebConfig
    context: ssl.SSLContext | None
    passwords: Passwords | None
    bucket: TokenBucket | None


class Protection:
    """Holds the configuration in force. Made by :func:`protecting`."""

    def __init__(
        self,
        config: WebConfig,
        turns: Turns,
        *,
        environ: Mapping[str, str],
        clock: Callable[[], float],
        weaker_seconds: float,
    ) -> None:
        self._environ = environ
        self._weaker_seconds = weaker_seconds
        self._turns = turns
        self._clock = clock
        self._rules = self._made_ready(config, before=None)
        self._switch: Switch | None = None
        self._reading = asyncio.Lock()
        self._loaded: Signatures = ()
        self._seen: Signatures = ()
        self._seen_since = 0.0
        """By the loop's clock."""
        self._failed: tuple[Problem, ...] = ()
        """What was wrong with the newest version; empty where it is in force."""

    @property
    def context(self) -> ssl.SSLContext | None:
        """The TLS of new connections; ``None`` for plain HTTP."""
        return self._rules.context

    def on_switch(self, switch: Switch) -> None:
        """Say what is to be done when :attr:`context` changes."""
        self._switch = switch

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request that may not be answered by its handler; a middleware for every path."""
        rules = self._rules
        if not _is_asked_for_enough(rules.config, request):
            refusal = web.Response(status=421, text="More is asked for by now: connect anew.\n")
            refusal.force_close()
            return refusal
        if not _is_allowed_certificate(rules.config, request):
            refusal = web.Response(status=403, text="The client's certificate bears no allowed name.\n")
            refusal.force_close()
            return refusal
        if rules.bucket is not None and not rules.bucket.take(self._clock()):
            return web.Response(status=429, text="Too Many Requests\n")
        if rules.passwords is not None:
            authorization = request.headers.get(hdrs.AUTHORIZATION)
            try:
                accepted = await rules.passwords.accepts(authorization, client=client_of(request.remote))
            except TooManyWaitError:
                text = "Too many passwords wait to be checked.\n"
                return web.Response(status=429, text=text, headers={hdrs.RETRY_AFTER: "1"})
            if not accepted:
                headers = {hdrs.WWW_AUTHENTICATE: _CHALLENGE}
                return web.Response(status=401, text="Unauthorized\n", headers=headers)
        return await handler(request)

    async def dress(self, request: web.Request, response: web.StreamResponse) -> None:
        """Set the configured headers, and end connections whose TLS is no longer in force; a signal."""
        rules = self._rules
        for name, value in rules.config.headers:
            response.headers[name] = value
        transport = request.transport
        if transport is not None and transport.get_extra_info("sslcontext") is not rules.context:
            response.force_close()
            response.headers[hdrs.CONNECTION] = "close"  # too late for aiohttp to set it by itself

    async def watch(self, *, look_seconds: float = LOOK_SECONDS) -> None:
        """Look at the files again and again, and take over what has changed; until it is cancelled."""
        before: Signatures = ()
        while True:
            seen = await self._look()
            is_settled, before = seen == before, seen
            if is_settled and (seen != self._loaded or self._failed):
                with suppress(_WeakerError):  # then it is read again at the next look
                    await self._read(seen)
            await asyncio.sleep(look_seconds)

    async def reload(self) -> ConfigError | None:
        """Read the files now; return what is wrong with them where the last good version stays in force.

        What protects less than before is read again until it has stayed the same for as long as it must.
        """
        while True:
            try:
                return await self._read(await self._look())
            except _WeakerError:
                await asyncio.sleep(self._weaker_seconds / _READINGS)

    async def _look(self) -> Signatures:
        """Look at the files, and remember since when they are as they are."""
        seen = await asyncio.to_thread(_sign_all, self._rules.config.files)
        if seen != self._seen:
            self._seen, self._seen_since = seen, asyncio.get_running_loop().time()
        return seen

    async def _read(self, seen: Signatures) -> ConfigError | None:
        """Read the files, seen as they are now, and take over what they say.

        Raises:
            _WeakerError: they protect less than before, and have not been like this for long enough.
        """
        path = self._rules.config.path
        async with self._reading:
            try:
                config = await asyncio.to_thread(load_web_config, path, environ=self._environ)
                if config != self._rules.config or self._failed:
                    await self._check_settled(config, seen)
                    await self._take_over(config)
            except ConfigError as error:
                failure = error
            except OSError as error:
                message = f"cannot be taken over: {error.strerror or error}"
                failure = ConfigError([Problem(file=str(path), line=0, key="", message=message)])
            else:
                self._failed, self._loaded = (), seen
                return None
            if failure.problems != self._failed or seen != self._loaded:
                _tell_mistakes(path, failure.problems)
            self._failed, self._loaded = failure.problems, seen
            return failure

    async def _check_settled(self, config: WebConfig, seen: Signatures) -> None:
        if not (lost := config.lacks_of(self._rules.config)):
            return
        is_same = await self._look() == seen
        if not is_same or asyncio.get_running_loop().time() - self._seen_since < self._weaker_seconds:
            raise _WeakerError
        log.warning("protection is weaker than before", file=str(config.path), without=", ".join(lost))

    async def _take_over(self, config: WebConfig) -> None:
        before = self._rules
        rules = self._made_ready(config, before=before)
        if rules.context is not before.context and self._switch is not None:
            old, new = before.config.tls, config.tls
            is_other = old is None or new is None or old.demands() != new.demands()
            await self._switch(rules.context, is_other)
        self._rules = rules
        _tell(config)

    def _made_ready(self, config: WebConfig, *, before: _Rules | None) -> _Rules:
        """Make the rules of a configuration; what has not changed goes on with what it remembers."""
        context, passwords, bucket = None, None, None
        if config.tls is not None:
            is_same = before is not None and before.config.tls == config.tls
            context = before.context if before is not None and is_same else build_context(config.tls)
        if config.users:
            is_same = before is not None and before.config.users == config.users
            passwords = before.passwords if before is not None and is_same else None
            passwords = passwords or Passwords(config.users, self._turns)
        if config.rate_limit is not None:
            is_same = before is not None and before.config.rate_limit == config.rate_limit
            bucket = before.bucket if before is not None and is_same else None
            bucket = bucket or TokenBucket.full(config.rate_limit, now=self._clock())
        return _Rules(config=config, context=context, passwords=passwords, bucket=bucket)


@contextmanager
def protecting(
    config: WebConfig,
    *,
    environ: Mapping[str, str],
    clock: Callable[[], float] = time.monotonic,
    weaker_seconds: float = WEAKER_SECONDS,
) -> Iterator[Protection]:
    """Put a configuration in force for as long as the context lasts."""
    turns = Turns()
    try:
        protection = Protection(config, turns, environ=environ, clock=clock, weaker_seconds=weaker_seconds)
        _tell(config)
        yield protection
    finally:
        turns.close()


def _is_asked_for_enough(config: WebConfig, request: web.Request) -> bool:
    """Say whether a connection, maybe begun under other rules, is encrypted and has shown what it must."""
    if config.tls is None:
        return True
    transport = request.transport
    if transport is None or transport.get_extra_info("sslcontext") is None:
        return False
    return config.tls.client_auth is not ClientAuth.REQUIRED or bool(transport.get_extra_info("peercert"))


def _is_allowed_certificate(config: WebConfig, request: web.Request) -> bool:
    allowed = config.tls.client_allowed_sans if config.tls is not None else frozenset[str]()
    if not allowed:
        return True
    transport = request.transport
    certificate = None if transport is None else transport.get_extra_info("peercert")
    return not allowed.isdisjoint(subject_alternative_names(certificate))


def _sign_all(files: Iterable[Path]) -> Signatures:
    return tuple(map(sign, files))


def _tell(config: WebConfig) -> None:
    for warning in config.warnings:
        _tell_problem(log.warning, warning)
    log.info(
        "web configuration in force",
        file=str(config.path),
        tls=config.tls is not None,
        client_certificates="NoClientCert" if config.tls is None else str(config.tls.client_auth),
        users=len(config.users),
        rate_limit=config.rate_limit is not None,
    )


def _tell_mistakes(path: Path, problems: Iterable[Problem]) -> None:
    for problem in problems:
        _tell_problem(log.error, problem)
    log.error("new web configuration cannot be used, the last good one stays in force", file=str(path))


def _tell_problem(write: Callable[..., None], problem: Problem) -> None:
    place = Position(file=problem.file, line=problem.line)
    write("web configuration", place=str(place), key=problem.key, why=problem.message)
