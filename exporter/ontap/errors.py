"""The errors of requests to a cluster.

::

    OntapError
    ├── DeadlineExceeded    timeout        retry   at the next poll
    ├── ConnectionFailed    connection     retry
    ├── TlsFailed           tls            fix the configuration, or the cluster's certificate
    ├── Unauthorized        unauthorized   fix the configuration; asked again only with growing pauses
    ├── LoginPaused         unauthorized   wait; nothing was sent
    ├── Forbidden           forbidden      fix the role
    ├── RateLimited         rate_limited   retry   when ONTAP says so
    ├── ApiError            api_error      give up, but for HTTP 503
    ├── BadResponse         bad_response   give up, but for HTTP 503
    └── IncompleteListing   incomplete     give up

An exception of any other class is a bug in the exporter; the poll that it ends has the reason
``internal_error``.

Exceptions of other libraries are translated in :mod:`exporter.ontap.session` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from http import HTTPStatus
from typing import ClassVar


class Reason(StrEnum):
    """Why a poll failed: the ``reason`` label of ``ontap_poll_failures_total``."""

    TIMEOUT = "timeout"  # the deadline of the poll, or of its connection, passed
    CONNECTION = "connection"  # no connection, or it broke
    TLS = "tls"  # the handshake failed, or the certificate is not trusted
    UNAUTHORIZED = "unauthorized"  # HTTP 401
    FORBIDDEN = "forbidden"  # HTTP 403
    RATE_LIMITED = "rate_limited"  # HTTP 429
    API_ERROR = "api_error"  # any other error that ONTAP states
    BAD_RESPONSE = "bad_response"  # not JSON, of a wrong shape, or too large
    INCOMPLETE = "incomplete"  # paging failed, or the listing may have been cut short
    INTERNAL_ERROR = "internal_error"  # a bug of the exporter, not of the cluster


MAX_MESSAGE_CHARACTERS = 1_000
"""A longer message of a cluster is cut."""


class OntapError(Exception):
    """A request to a cluster got no usable answer.

    Attributes:
        reason: the class of the failure.
        transient: whether sending the same safe request again may help at once.
        retry_after_seconds: the pause that the cluster asked for, or None.
        code: ONTAP's error code, "" if it states none; it may become a label.
        status: the HTTP status; 0 if the status is not what is wrong.
    """

    reason: ClassVar[Reason]

    def __init__(
        self,
        message: str,
        *,
        transient: bool = False,
        retry_after_seconds: float | None = None,
        code: str = "",
        status: int = 0,
    ) -> None:
        super().__init__(message)
        self.transient = transient
        self.retry_after_seconds = retry_after_seconds
        self.code = code
        self.status = status

    def __str__(self) -> str:
        return str(self.args[0])[:MAX_MESSAGE_CHARACTERS]

    def redact(self, redact: Callable[[str], str]) -> None:
        """Redact secrets in the message before it is cut: half a secret would not be found."""
        self.args = (redact(str(self.args[0])),)


class DeadlineExceeded(OntapError):  # noqa: N818 - reads as what happened
    """The answer was not complete in time."""

    reason = Reason.TIMEOUT


class ConnectionFailed(OntapError):  # noqa: N818 - reads as what happened
    """There was no connection (not transient), or it broke before the answer was complete (transient)."""

    reason = Reason.CONNECTION


class TlsFailed(OntapError):  # noqa: N818 - reads as what happened
    """The TLS handshake failed or the certificate was not accepted, on either side."""

    reason = Reason.TLS


class Unauthorized(OntapError):  # noqa: N818 - HTTP's own word
    """HTTP 401: the same request is not sent again, because ONTAP locks accounts."""

    reason = Reason.UNAUTHORIZED


class LoginPaused(OntapError):  # noqa: N818 - reads as what happened
    """The credentials were refused a short while ago: nothing was sent."""

    reason = Reason.UNAUTHORIZED


class Forbidden(OntapError):  # noqa: N818 - HTTP's own word
    """HTTP 403: the role does not allow the request."""

    reason = Reason.FORBIDDEN


class RateLimited(OntapError):  # noqa: N818 - reads as what happened
    """HTTP 429."""

    reason = Reason.RATE_LIMITED


class ApiError(OntapError):
    """Any other error that ONTAP states in its own words."""

    reason = Reason.API_ERROR


class BadResponse(OntapError):  # noqa: N818 - names the response, not us
    """The body is not what the API describes: not JSON, of a wrong shape, or too large."""

    reason = Reason.BAD_RESPONSE


class IncompleteListing(OntapError):  # noqa: N818 - names the listing
    """The listing may not be whole, so none of it is used."""

    reason = Reason.INCOMPLETE


def is_hidden(error: OntapError) -> bool:
    """Say whether what was asked for can never be read: the role forbids it, or nothing is at its path.

    A 404 that passes by itself says that something is locked.
    """
    if isinstance(error, ApiError | BadResponse):
        return error.status == HTTPStatus.NOT_FOUND and not error.transient
    return isinstance(error, Forbidden)
