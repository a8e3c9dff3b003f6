"""The HTTP session of all clusters: how it looks names up, connects, and bounds what a cluster sends.

Exceptions of aiohttp are translated to the classes of :mod:`exporter.ontap.errors` here and nowhere else.
"""

from __future__ import annotations

import os
import socket
import ssl
import zlib
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError

from exporter import __version__
from exporter.background import SingleFlight
from exporter.ontap.errors import BadResponse, ConnectionFailed, DeadlineExceeded, OntapError, TlsFailed
from exporter.ontap.requests.messages import JSON_MEDIA_TYPE

CONNECT_TIMEOUT_SECONDS = 10.0
"""How long establishing a connection may take, however long the poll may take."""
UNACKNOWLEDGED_MILLISECONDS = 20_000
"""How long the kernel tries to deliver what a cluster does not acknowledge."""
RECEIVE_BUFFER_BYTES = 16 * 1024
"""How much the kernel keeps of what a cluster sends: what arrives at once is parsed at once, while all other
clusters wait. Linux doubles the number."""
KEEPALIVE_SECONDS = 0.5
"""How long a connection may be idle: long enough for one poll's requests, which follow each other at once.

ONTAP closes an idle connection after 5 s, so one that it is about to close is never reused. A TLS connection
also holds a buffer of 256 KiB, which is not needed between polls.
"""
MAX_HEADER_LINE_BYTES = 64 * 1024
"""A proxy in front of a cluster may set large cookies."""
MAX_INTERIM_ANSWERS = 20
"""How many answers like ``100 Continue`` may come before the one that counts."""

_INTERIM = range(100, 200)
_GZIP_WINDOW = 16 + zlib.MAX_WBITS

LookUp = Callable[..., list[tuple[Any, ...]]]
"""As :func:`socket.getaddrinfo`."""


def open_session(*, look_up: LookUp = socket.getaddrinfo) -> aiohttp.ClientSession:
    """Open the session that the clients of all clusters share; the caller closes it.

    If a request has a ``trace_request_ctx``, it is called right before the first byte goes out.

    Args:
        look_up: looks a name up, in a thread.
    """
    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(_call_before_sending)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,  # a poll and a deletion have one connection each
            keepalive_timeout=KEEPALIVE_SECONDS,
            use_dns_cache=False,
            resolver=SystemResolver(look_up),
            socket_factory=_make_socket,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={
            "Accept": JSON_MEDIA_TYPE,
            "Accept-Encoding": "gzip",
            "User-Agent": f"ontap-packages-exporter/{__version__}",
        },
        auto_decompress=False,
        max_line_size=MAX_HEADER_LINE_BYTES,
        max_field_size=MAX_HEADER_LINE_BYTES,
        middlewares=(_translate_errors,),
        response_class=ClusterResponse,
        trace_configs=[trace],
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_SECONDS),
    )


class SystemResolver(AbstractResolver):
    """Looks names up as every other program on the machine does, anew for each connection.

    Nothing is cached here: a name that appears or moves is found by the next poll. A thread waits for the
    answer, at most one for each name: a name server that does not answer delays nobody else.
    """

    def __init__(self, look_up: LookUp = socket.getaddrinfo) -> None:
        self._look_up = look_up
        self._look_ups: SingleFlight[list[ResolveResult]] = SingleFlight(name="look up")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host, or raise OSError."""
        key = (host, port, family)
        return await self._look_ups.run(partial(self._addresses, *key), key=key)

    async def close(self) -> None:
        """Do nothing: the end of the program does not wait for the threads."""

    def _addresses(self, host: str, port: int, family: int) -> list[ResolveResult]:
        try:
            found = self._look_up(host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
        except UnicodeError as exc:
            raise OSError(None, "no name has this form") from exc
        numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
        return [
            ResolveResult(
                hostname=host,
                host=socket.getnameinfo(address, numeric)[0],  # keeps the zone of a link-local address
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]


def _make_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Make a socket that gives up what is not acknowledged: nothing may arrive long after it was sent."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # not on macOS
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MILLISECONDS)
    return made


async def _call_before_sending(_: object, context: SimpleNamespace, __: object) -> None:
    if context.trace_request_ctx is not None:
        context.trace_request_ctx()


class ClusterResponse(aiohttp.ClientResponse):
    """A response that gives up after some interim answers; aiohttp itself would read them forever.

    Attributes:
        certificate_expiry_timestamp_seconds: when the certificate of the cluster expires, Unix seconds; None
            where it was not verified.
    """

    certificate_expiry_timestamp_seconds: float | None = None

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Read up to the headers of the answer that counts."""
        # The connection is gone when the body has been read.
        certificate = connection.transport.get_extra_info("peercert") if connection.transport else None
        if certificate and "notAfter" in certificate:
            self.certificate_expiry_timestamp_seconds = float(
                ssl.cert_time_to_seconds(certificate["notAfter"])
            )
        return await super().start(_Connection(connection))  # type: ignore[arg-type]


class _Connection:
    """Wraps a connection: its protocol counts interim answers, and closing it does not wait."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.protocol = _Protocol(connection.protocol)

    def release(self) -> None:
        """Keep the connection for the next request, if it can be used for one."""
        if self.protocol.should_close:
            self.close()
        else:
            self._connection.release()

    def close(self) -> None:
        """Close without TLS's closing handshake, which would read what still comes for half a minute."""
        transport = self._connection.transport
        if transport is not None:
            transport.abort()  # first: Python 3.11.2 could not abort what was closed twice
        self._connection.close()

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)


class _Protocol:
    """Wraps a protocol: it raises after too many interim answers."""

    def __init__(self, protocol: Any) -> None:  # noqa: ANN401 - aiohttp does not export its class
        self._protocol = protocol
        self._interim = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._protocol, name)

    async def read(self) -> Any:  # noqa: ANN401 - likewise
        """Read the headers of one answer."""
        message, payload = await self._protocol.read()
        self._interim += message.code in _INTERIM
        if self._interim > MAX_INTERIM_ANSWERS:
            raise HttpProcessingError(message=f"more than {MAX_INTERIM_ANSWERS} interim answers")
        return message, payload


async def read_body(response: aiohttp.ClientResponse, *, max_bytes: int) -> bytes:
    """Read a body to its end.

    Raises:
        BadResponse: it is larger than ``max_bytes`` after decompression, or cannot be decompressed.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in {"", "identity", "gzip", "x-gzip"}:
        raise BadResponse("the body has a Content-Encoding that was not asked for")
    unzip = zlib.decompressobj(_GZIP_WINDOW) if "gzip" in encoding else None
    body = bytearray()
    received = 0
    async for chunk in response.content.iter_any():
        received += len(chunk)
        try:
            body += chunk if unzip is None else unzip.decompress(chunk, max_bytes + 1 - len(body))
        except zlib.error as exc:
            raise BadResponse(f"the body is not gzip: {exc}") from exc
        if max(received, len(body)) > max_bytes:
            raise BadResponse(f"the body is larger than {max_bytes} bytes")
        if unzip is not None and unzip.unused_data:
            raise BadResponse("something follows the end of the gzip body")
    if unzip is not None and received and not unzip.eof:
        raise BadResponse("the gzip body has no end")
    return bytes(body)


async def _translate_errors(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Translate the errors of one attempt before aiohttp sees them.

    aiohttp sends a request again if the connection broke, even a DELETE. Only
    :func:`~exporter.ontap.requests.messages.pause_before_retry` may decide that.
    """
    try:
        return await handler(request)
    except (aiohttp.ClientConnectionError, ssl.SSLError) as exc:
        raise translate(exc) from exc


def translate(exc: aiohttp.ClientError | ssl.SSLError) -> OntapError:
    """Return our error for an exception of aiohttp or ssl."""
    message = _message_of(exc)
    match exc:
        case aiohttp.ServerTimeoutError():
            return DeadlineExceeded(message)
        case _ if _is_tls_error(exc) or _closed_in_handshake(exc):
            return TlsFailed(f"the TLS handshake failed: {message}")
        case aiohttp.ClientConnectorError() | aiohttp.ClientHttpProxyError():
            return ConnectionFailed(f"no connection: {message}")
        case aiohttp.ClientPayloadError():
            return ConnectionFailed(f"the answer was cut off: {message}", transient=True)
        case aiohttp.ClientConnectionError():
            return ConnectionFailed(f"the connection broke: {message}", transient=True)
        case _:
            return BadResponse(f"the answer is not valid HTTP: {message}")


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
    if isinstance(exc, aiohttp.ClientResponseError):
        # What follows quotes what was received, in a form in which no secret would be found.
        return exc.message.partition(":")[0].partition(" line ")[0]
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
