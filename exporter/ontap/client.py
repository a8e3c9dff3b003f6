"""The only HTTP client: carries conversations to one cluster under a deadline.

What aiohttp raises comes out as one of the classes of :mod:`exporter.ontap.errors`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import TypeVar

import aiohttp
from yarl import URL

from exporter import __version__
from exporter.ontap.endpoint import BasicLogin, Endpoint, Login, Tls, TokenLogin
from exporter.ontap.errors import (
    BadResponse,
    DeadlineExceeded,
    OntapError,
    Unauthorized,
)
from exporter.ontap.retry import pause_before_retry
from exporter.ontap.tls import TlsContexts
from exporter.ontap.translation import translate, translated
from exporter.ontap.wire import JSON_MEDIA_TYPE, Conversation, Request, Response, failure_of

T = TypeVar("T")

MAX_BODY_BYTES = 8 * 1024 * 1024
"""More than any page of 10,000 records has."""
CONNECT_TIMEOUT_SECONDS = 10.0
"""How long a connection may take to come about, however long the poll may take."""
KEEPALIVE_SECONDS = 0.5
"""How long a connection may be idle: long enough for one poll's requests, which follow each other at once.

ONTAP closes an idle connection after 5 s, so one that it is about to close is never reused. A TLS connection
also holds a buffer of 256 KiB, which nobody needs between polls.
"""
SHORTEST_SECRET_CHARACTERS = 4
"""A shorter one is not looked for in what a cluster says: it would match anything."""


class RequestCounts:
    """How many requests were sent, by method and HTTP status or ``error``."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}

    def add(self, method: str, code: str) -> None:
        """Count one request."""
        key = (method, code)
        self._counts[key] = self._counts.get(key, 0) + 1

    def totals(self) -> Mapping[tuple[str, str], int]:
        """Return the counts so far, by (method, code)."""
        return MappingProxyType(dict(self._counts))


def open_session() -> aiohttp.ClientSession:
    """Open the session that the clients of all clusters share; the caller closes it."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,  # a poll and a deletion have one connection each
            keepalive_timeout=KEEPALIVE_SECONDS,
            use_dns_cache=False,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept": JSON_MEDIA_TYPE, "User-Agent": f"ontap-packages-exporter/{__version__}"},
        middlewares=(translated,),
        trace_configs=[_trace_of_sending()],
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_SECONDS),
    )


class OntapClient:
    """Talks to one cluster, one request at a time.

    Args:
        session: from :func:`open_session`.
        contexts: shared TLS contexts.
        endpoint: where the cluster is.
        login: how to log in.
        tls: how to trust it.
        counts: where requests are counted.
        jitter: gives random numbers from 0 to 1.
    """

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        contexts: TlsContexts,
        endpoint: Endpoint,
        login: Login,
        tls: Tls,
        counts: RequestCounts,
        jitter: Callable[[], float],
    ) -> None:
        self._session = session
        self._contexts = contexts
        self._endpoint = endpoint
        self._login = login
        self._tls = tls
        self._counts = counts
        self._jitter = jitter
        self._authorization: str | None = None
        self._secrets: tuple[str, ...] = ()

    async def converse(self, conversation: Conversation[T], *, deadline: float) -> T:
        """Carry a conversation to its end and return its result.

        Args:
            conversation: see :mod:`exporter.ontap.wire`.
            deadline: in the event loop's time; covers every request, retry and pause.

        Raises:
            OntapError: a request failed, or an answer was not what the conversation expects.
        """
        try:
            request = next(conversation)
            while True:
                response = await self._send(request, deadline)
                request = conversation.send(response)
        except StopIteration as stop:
            result: T = stop.value
            return result
        except OntapError as exc:
            exc.args = (self.conceal(str(exc)),)
            raise
        finally:
            conversation.close()

    def conceal(self, text: str) -> str:
        """Return a text of the cluster's without the secrets that it may have echoed."""
        for secret in self._secrets:
            text = text.replace(secret, "<secret>")
        return text

    def forget_credentials(self) -> None:
        """Read the secret again before the next request."""
        self._authorization = None

    def credentials_changed(self) -> bool:
        """Read the secret again; say whether it differs from the one sent last, and use it from now on."""
        previous, self._authorization = self._authorization, None
        try:
            return self._authorization_header() != previous
        except Unauthorized:
            self._authorization = previous
            return False

    async def _send(self, request: Request, deadline: float) -> Response:
        """Send a request, again where that is safe and useful, until the deadline."""
        clock = asyncio.get_running_loop().time
        attempt = 0
        while True:
            attempt += 1
            try:
                async with asyncio.timeout_at(deadline):
                    response = await self._exchange(request)
                failure = failure_of(response)
                if failure is None:
                    return response
            except TimeoutError as exc:
                raise DeadlineExceeded("the answer was not complete within the deadline") from exc
            except OntapError as exc:
                failure = exc
            pause = pause_before_retry(
                request=request,
                error=failure,
                attempt=attempt,
                remaining_seconds=deadline - clock(),
                jitter=self._jitter(),
            )
            if pause is None:
                raise failure
            await asyncio.sleep(pause)

    async def _exchange(self, request: Request) -> Response:
        """Send a request once and read the whole answer."""
        clock = asyncio.get_running_loop().time
        sending = _Sending(clock=clock, sent=clock())
        headers = {}
        if (authorization := self._authorization_header()) is not None:
            headers["Authorization"] = authorization
        code = "error"
        try:
            async with self._session.request(
                request.method,
                URL(self._endpoint.origin + request.target, encoded=True),
                allow_redirects=False,
                headers=headers,
                server_hostname=self._tls.server_name,
                ssl=self._contexts.context(self._tls),
                trace_request_ctx=sending,
            ) as response:
                code = str(response.status)
                body = await _read_body(response)
        except aiohttp.ClientError as exc:
            raise translate(exc) from exc
        finally:
            self._counts.add(request.method, code)
        return Response(
            status=response.status,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=body,
            elapsed_seconds=clock() - sending.sent,
            received_timestamp_seconds=time.time(),
        )

    def _authorization_header(self) -> str | None:
        """Return the header's value, its secret read from its file once.

        Raises:
            Unauthorized: the secret cannot be read or cannot be sent.
        """
        if self._authorization is None and self._login is not None:
            try:
                self._authorization, secret = _authorization(self._login)
                known = (self._authorization, self._authorization.partition(" ")[2], secret)
                self._secrets = tuple(one for one in known if len(one) >= SHORTEST_SECRET_CHARACTERS)
            except (OSError, ValueError) as exc:
                raise Unauthorized(f"the credentials cannot be used: {exc}") from exc
        return self._authorization


def _authorization(login: BasicLogin | TokenLogin) -> tuple[str, str]:
    """Return the header's value and the secret in it.

    Raises:
        OSError: the secret's file cannot be read.
        ValueError: the file is not UTF-8, or the header could not carry the value.
    """
    if isinstance(login, BasicLogin):
        password = login.password.read()
        return aiohttp.encode_basic_auth(login.username, password), password
    token = login.credentials.read()
    if not token.isascii() or not token.isprintable():
        raise ValueError("the token holds characters that an HTTP header cannot carry")
    return f"{login.type} {token}", token


@dataclass(slots=True)
class _Sending:
    """When a request went out; connecting is not part of ONTAP's return_timeout."""

    clock: Callable[[], float]
    sent: float


def _trace_of_sending() -> aiohttp.TraceConfig:
    async def note(_: object, context: SimpleNamespace, __: object) -> None:
        sending: _Sending = context.trace_request_ctx
        sending.sent = sending.clock()

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(note)
    return trace


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    """Read a body to its end.

    Raises:
        BadResponse: it is larger than ``MAX_BODY_BYTES`` after decompression.
    """
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BadResponse(f"the body is larger than {MAX_BODY_BYTES} bytes")
    return bytes(body)
