"""The only HTTP client: sends the requests of conversations to one cluster, under a deadline.

Exceptions of aiohttp are translated to the classes of :mod:`exporter.ontap.errors`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType, SimpleNamespace
from typing import TypeVar

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http_exceptions import ContentEncodingError
from multidict import CIMultiDict
from yarl import URL

from exporter import __version__
from exporter.ontap.credentials import Credentials
from exporter.ontap.endpoint import Endpoint, Proxy, Tls
from exporter.ontap.errors import BadResponse, ConnectionFailed, DeadlineExceeded, OntapError, TlsFailed
from exporter.ontap.through_proxy import proxy_arguments
from exporter.ontap.tls import TlsContexts
from exporter.ontap.wire import (
    JSON_MEDIA_TYPE,
    Conversation,
    Request,
    Response,
    failure_of,
    pause_before_retry,
    read_date,
)

T = TypeVar("T")

MAX_BODY_BYTES = 8 * 1024 * 1024
"""More than any page of 10,000 records has."""
CONNECT_TIMEOUT_SECONDS = 10.0
"""How long a connection may take to come about, however long the poll may take."""
UNACKNOWLEDGED_MILLISECONDS = 20_000
"""How long the kernel tries to deliver what a cluster does not acknowledge."""
KEEPALIVE_SECONDS = 0.5
"""How long a connection may be idle: long enough for one poll's requests, which follow each other at once.

ONTAP closes an idle connection after 5 s, so one that it is about to close is never reused. A TLS connection
also holds a buffer of 256 KiB, which is not needed between polls.
"""


_KNOWN_STATUSES = frozenset(status.value for status in HTTPStatus)
"""A status becomes a label, so a cluster must not be able to make up any number of them."""


class NothingSentError(Exception):
    """A gate kept a request back: not a byte of it has gone out."""


@dataclass(slots=True, kw_only=True)
class SendGate:
    """Asked right before the first byte of a request goes out, on the connection that will carry it.

    Attributes:
        why_not: says why the request must not go out, "" where it may. It must not wait for anything.
        sent: whether the request has gone out, so that the cluster may have it.
    """

    why_not: Callable[[], str] = str
    sent: bool = False

    def open(self) -> None:
        """Let the request out.

        Raises:
            NothingSentError: it must not go out.
        """
        if why := self.why_not():
            raise NothingSentError(why)
        self.sent = True


class RequestCounts:
    """How many requests were sent, by method and HTTP status or ``error``."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, method: str, status: int | None) -> None:
        """Count one request; None: no answer came. A status that HTTP does not know counts as ``other``."""
        code = "error" if status is None else str(status) if status in _KNOWN_STATUSES else "other"
        self._counts[method, code] += 1

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
            socket_factory=_make_socket,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept": JSON_MEDIA_TYPE, "User-Agent": f"ontap-packages-exporter/{__version__}"},
        middlewares=(_translate_errors,),
        response_class=_Response,
        trace_configs=[_trace_of_sending()],
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_SECONDS),
    )


def _make_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Make a socket that gives up what is not acknowledged: nothing may arrive long after it was sent."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MILLISECONDS)
    return made


class OntapClient:
    """Talks to one cluster, one request at a time.

    Args:
        session: from :func:`open_session`.
        contexts: shared TLS contexts.
        endpoint: the address of the cluster.
        credentials: the credentials to send.
        tls: how to verify the cluster's certificate, and which client certificate to show.
        proxy: the proxy through which it is reached.
        counts: counts the requests.
        jitter: gives random numbers from 0 to 1.

    Attributes:
        clock_skew_seconds: the cluster's clock minus ours, by the ``Date`` header of its last answer; None
            where it had none.
        certificate_expiry_timestamp_seconds: when the certificate expires that the cluster showed last, Unix
            seconds; None where none was verified.
    """

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        contexts: TlsContexts,
        endpoint: Endpoint,
        credentials: Credentials,
        tls: Tls,
        proxy: Proxy | None = None,
        counts: RequestCounts,
        jitter: Callable[[], float],
    ) -> None:
        self.credentials = credentials
        self.clock_skew_seconds: float | None = None
        self.certificate_expiry_timestamp_seconds: float | None = None
        self._session = session
        self._contexts = contexts
        self._endpoint = endpoint
        self._tls = tls
        self._proxy = proxy
        self._counts = counts
        self._jitter = jitter

    async def converse(
        self, conversation: Conversation[T], *, deadline: float, gate: SendGate | None = None
    ) -> T:
        """Send the requests of a conversation until it ends, and return its result.

        Args:
            conversation: see :mod:`exporter.ontap.wire`.
            deadline: in the event loop's time; covers every request, retry and pause.
            gate: asked before a request goes out.

        Raises:
            OntapError: a request failed, or an answer was not what the conversation expects.
        """
        try:
            request = next(conversation)
            while True:
                response = await self._send(request, deadline, gate)
                request = conversation.send(response)
        except StopIteration as stop:
            result: T = stop.value
            return result
        except OntapError as exc:
            exc.redact(self.credentials.redact)
            raise
        finally:
            conversation.close()

    async def renew_login(self) -> None:
        """Read the credentials again: the secret and the client certificate."""
        self._contexts.recheck(self._tls)
        await self.credentials.renew()

    async def _send(self, request: Request, deadline: float, gate: SendGate | None) -> Response:
        """Send a request, again where that is safe and useful, until the deadline."""
        clock = asyncio.get_running_loop().time
        attempt = 0
        while True:
            attempt += 1
            try:
                async with asyncio.timeout_at(deadline):
                    response = await self._exchange(request, gate)
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

    async def _exchange(self, request: Request, gate: SendGate | None) -> Response:
        """Send a request once and read the whole answer."""
        headers = CIMultiDict(await self.credentials.headers())
        context = await self._contexts.context(self._tls)
        clock = asyncio.get_running_loop().time
        sending = _Sending(clock=clock, sent=clock(), gate=gate)
        status: int | None = None
        sent = True
        try:
            async with self._session.request(
                request.method,
                URL(self._endpoint.origin + request.target, encoded=True),
                allow_redirects=False,
                headers=headers,
                server_hostname=self._tls.server_name,
                ssl=context,
                trace_request_ctx=sending,
                **proxy_arguments(self._proxy),
            ) as response:
                status = response.status
                if isinstance(response, _Response):
                    self.certificate_expiry_timestamp_seconds = response.certificate_expiry_timestamp_seconds
                body = await _read_body(response)
        except NothingSentError:
            sent = False
            raise
        except aiohttp.ClientError as exc:
            raise _translate(exc) from exc
        finally:
            if sent:
                self._counts.add(request.method, status)
        received = time.time()
        served = read_date(response.headers.get("Date", ""))
        self.clock_skew_seconds = None if served is None else served - received
        return Response(
            status=response.status,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=body,
            elapsed_seconds=clock() - sending.sent,
            received_timestamp_seconds=received,
            redact=self.credentials.redact,
        )


@dataclass(slots=True)
class _Sending:
    """When a request went out; connecting is not part of ONTAP's return_timeout."""

    clock: Callable[[], float]
    sent: float
    gate: SendGate | None


def _trace_of_sending() -> aiohttp.TraceConfig:
    async def note(_: object, context: SimpleNamespace, __: object) -> None:
        sending: _Sending | None = context.trace_request_ctx
        if sending is None:  # a request for a token
            return
        sending.sent = sending.clock()
        if sending.gate is not None:
            sending.gate.open()

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(note)
    return trace


class _Response(aiohttp.ClientResponse):
    """Notes which certificate the connection has, before the end of the body gives the connection back."""

    certificate_expiry_timestamp_seconds: float | None = None

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        certificate = connection.transport.get_extra_info("peercert") if connection.transport else None
        if certificate and "notAfter" in certificate:
            self.certificate_expiry_timestamp_seconds = float(
                ssl.cert_time_to_seconds(certificate["notAfter"])
            )
        return await super().start(connection)


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


async def _translate_errors(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Translate the errors of one attempt before aiohttp sees them.

    aiohttp sends a request again if the connection broke, even a DELETE. Only
    :func:`~exporter.ontap.wire.pause_before_retry` may decide that.
    """
    try:
        return await handler(request)
    except (aiohttp.ClientConnectionError, ssl.SSLError) as exc:
        raise _translate(exc) from exc


def _translate(exc: aiohttp.ClientError | ssl.SSLError) -> OntapError:
    """Return our error for an exception of aiohttp or ssl."""
    message = _message_of(exc)
    match exc:
        case aiohttp.ServerTimeoutError():
            return DeadlineExceeded(message)
        case _ if _is_tls_error(exc) or _closed_in_handshake(exc):
            return TlsFailed(f"no TLS: {message}")
        case aiohttp.ClientConnectorError() | aiohttp.ClientHttpProxyError():
            return ConnectionFailed(f"no connection: {message}")
        case aiohttp.ClientPayloadError() if not isinstance(exc.__cause__, ContentEncodingError):
            return ConnectionFailed(f"the answer was cut off: {message}", transient=True)
        case aiohttp.ClientConnectionError():
            return ConnectionFailed(f"the connection broke: {message}", transient=True)
        case _:
            return BadResponse(f"the answer is not HTTP as it should be: {message}")


def _closed_in_handshake(exc: BaseException) -> bool:
    """Say whether the server closed the connection during the handshake, without a TLS alert.

    Some servers refuse a TLS version or a cipher like this. If the connection was reset, there is an errno.
    """
    if not isinstance(exc, aiohttp.ClientConnectorError):
        return False
    return isinstance(exc.os_error, ConnectionResetError) and exc.os_error.errno is None


def _message_of(exc: aiohttp.ClientError | ssl.SSLError) -> str:
    """Return the error's message, without the memory addresses that aiohttp adds."""
    if isinstance(exc, aiohttp.ClientHttpProxyError):
        return f"the proxy answers HTTP {exc.status} {exc.message}"
    if not isinstance(exc, aiohttp.ClientConnectorError):
        return str(exc) or type(exc).__name__
    whose = "the proxy " if isinstance(exc, aiohttp.ClientProxyConnectionError) else ""
    cause = exc.os_error
    if _is_tls_error(cause) or not cause.errno or cause.errno < 0:
        words = cause.strerror or str(cause)
    else:
        words = os.strerror(cause.errno)
    return f"{whose}{exc.host}:{exc.port}: {words or type(cause).__name__}"


def _is_tls_error(exc: BaseException | None) -> bool:
    """Say whether an error or one of its causes is a TLS error; an alert may come after the handshake."""
    while exc is not None:
        if isinstance(exc, ssl.SSLError | ssl.CertificateError | aiohttp.ClientSSLError):
            return True
        exc = exc.__cause__ or exc.__context__
    return False
