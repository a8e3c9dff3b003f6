"""What aiohttp raises, translated into the classes of :mod:`exporter.ontap.errors`: here, once."""

from __future__ import annotations

import os
import ssl

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from exporter.ontap.errors import BadResponse, ConnectionFailed, DeadlineExceeded, OntapError, TlsFailed


async def translated(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Translate the errors of one sending before aiohttp sees them.

    aiohttp answers a connection that broke by sending the request again, a DELETE too. Whether a request may
    be sent again is for :mod:`exporter.ontap.retry` to say.
    """
    try:
        return await handler(request)
    except (aiohttp.ClientConnectionError, ssl.SSLError) as exc:
        raise translate(exc) from exc


def translate(exc: aiohttp.ClientError | ssl.SSLError) -> OntapError:
    """Return the error that stands for what aiohttp or ssl has raised."""
    said = _said(exc)
    match exc:
        case aiohttp.ServerTimeoutError():
            return DeadlineExceeded(said)
        case _ if _tells_of_tls(exc) or _hung_up_on_hello(exc):
            return TlsFailed(f"no TLS: {said}")
        case aiohttp.ClientConnectorError():
            return ConnectionFailed(f"no connection: {said}")
        case aiohttp.ClientPayloadError() if not isinstance(exc.__cause__, ContentEncodingError):
            return ConnectionFailed(f"the answer was cut off: {said}", transient=True)
        case aiohttp.ClientConnectionError():
            return ConnectionFailed(f"the connection broke: {said}", transient=True)
        case _:
            return BadResponse(f"the answer is not HTTP as it should be: {said}")


def _hung_up_on_hello(exc: BaseException) -> bool:
    """Say whether the other side closed the connection in the handshake, orderly and without an alert.

    That is how some servers refuse a TLS version or a cipher. A reset connection has an error number.
    """
    if not isinstance(exc, aiohttp.ClientConnectorError):
        return False
    return isinstance(exc.os_error, ConnectionResetError) and exc.os_error.errno is None


def _said(exc: aiohttp.ClientError | ssl.SSLError) -> str:
    """Return the error's own words, without the addresses in memory that aiohttp adds."""
    if not isinstance(exc, aiohttp.ClientConnectorError):
        return str(exc) or type(exc).__name__
    cause = exc.os_error
    if _tells_of_tls(cause) or not cause.errno or cause.errno < 0:
        words = cause.strerror or str(cause)
    else:
        words = os.strerror(cause.errno)
    return f"{exc.host}:{exc.port}: {words or type(cause).__name__}"


def _tells_of_tls(exc: BaseException | None) -> bool:
    """Say whether an error, or one that led to it, is of TLS; an alert may come after the handshake."""
    while exc is not None:
        if isinstance(exc, ssl.SSLError | ssl.CertificateError | aiohttp.ClientSSLError):
            return True
        exc = exc.__cause__ or exc.__context__
    return False
