"""Requests and responses as values, and how every answer of ONTAP is read. No I/O.

A question that may take several requests is a *conversation*: a generator that yields each
:class:`Request`, receives its :class:`Response`, and returns the result. Where a request fails, the error is
raised at its ``yield``. A conversation decides what to ask; the client sends the requests. See
:meth:`exporter.ontap.client.OntapClient.converse`. Every conversation raises
:class:`~exporter.ontap.errors.BadResponse` where an answer is not of the shape that the reference describes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlencode

from exporter.ontap.errors import (
    MAX_MESSAGE_CHARACTERS,
    ApiError,
    BadResponse,
    Forbidden,
    OntapError,
    RateLimited,
    Unauthorized,
)
from exporter.ontap.redaction import LONGEST_TEXT_CHARACTERS, REDACTED

T = TypeVar("T")

JSON_MEDIA_TYPE = "application/json"
"""Sent as ``Accept``: ONTAP's answers then have ``_links.next`` but no other links."""

_BY_STATUS: Mapping[int, type[OntapError]] = {
    HTTPStatus.UNAUTHORIZED: Unauthorized,
    HTTPStatus.FORBIDDEN: Forbidden,
    HTTPStatus.TOO_MANY_REQUESTS: RateLimited,
}
_TRANSIENT = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})

MAX_ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.5

MAX_JSON_MARKS = 50_000
"""How many brackets, commas, colons and backslashes an answer may have: decoding takes longer with each."""
_JSON_MARKS = (b"[", b"{", b",", b":", b"\\")
_LONGEST_NUMBER = 40
_SURROGATE = re.compile("[\ud800-\udfff]")
_EXCERPT_CHARACTERS = 200
_EXCERPT_BYTES = 64 * 1024
_CODE = re.compile(r"[0-9A-Za-z_.-]{1,32}")
_CODES_END = 10**32
_NUMBER = re.compile(r"[0-9A-Fa-f-]+")
NO_ENTRY_CODE = "4"
"""ONTAP's code for "entry doesn't exist"."""
INVALID_VALUE_CODE = "262197"
"""ONTAP's code for a value that a parameter does not take, such as a field that the release does not know."""
UNREADABLE_CODE = "unreadable"
"""The error code if ONTAP sends one that is not usable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request to one cluster."""

    method: str
    target: str
    """Path and query exactly as they go on the wire, percent-encoding included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One complete HTTP response."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    """By lower-case name."""
    body: bytes
    """Decompressed."""
    elapsed_seconds: float = 0.0
    """From sending the request to the end of the body."""
    received_timestamp_seconds: float = 0.0
    redact: Callable[[str], str] = field(default=str, repr=False, compare=False)
    """Removes secrets from a text. Messages of the cluster are redacted before they are cut or quoted.
    Data is not redacted, because a short password could change a version."""


Conversation = Generator[Request, Response, T]


def get(path: str, query: Mapping[str, str | int]) -> Request:
    """Build a GET; ``query`` is percent-encoded, commas stay readable."""
    return Request(method="GET", target=f"{path}?{urlencode(query, safe=',')}")


def read_object(response: Response) -> dict[str, Any]:
    """Return the JSON object of a response with a good status.

    Raises:
        BadResponse: the body is not a JSON object.
        ApiError: the object states an error, so the rest of it is not trusted.
    """
    document = read_record(response)
    if (stated := _stated_error(document, response.redact)) is not None and document["error"]:
        raise ApiError(f"HTTP {response.status}, but {stated}", status=response.status, code=stated.code)
    return document


def read_record(response: Response) -> dict[str, Any]:
    """Return the JSON object of a response; an ``error`` in it belongs to the record, for example to a job.

    Raises:
        BadResponse: the body is not a JSON object.
    """
    try:
        document = _decode(response.body)
    except ValueError as exc:
        raise BadResponse(f"the body is not JSON: {exc}; it begins {_excerpt(response)}") from exc
    if not isinstance(document, dict):
        raise BadResponse(f"the body is JSON but not an object; it begins {_excerpt(response)}")
    return document


def _decode(body: bytes) -> object:
    """Return the JSON value of a body; raise ValueError if it is none, or if decoding it could take long."""
    if sum(map(body.count, _JSON_MARKS)) > MAX_JSON_MARKS:
        raise ValueError("it has more values than any answer of ONTAP")
    try:
        return json.loads(body.decode("utf-8-sig"), parse_int=_whole_number, parse_float=_no_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _whole_number(digits: str) -> int:
    """Return a number, or only the beginning of one that is too long for any use: reading it takes long."""
    return int(digits[:_LONGEST_NUMBER])


def _no_number(_: str) -> float:
    """Return NaN for any fraction: ONTAP's have no use here, and reading them takes long."""
    return math.nan


def text_or_none(value: object) -> str | None:
    """Return a text that is not empty, or None for anything else. A text that is too long for any use is cut.

    JSON may contain lone surrogates, which cannot be encoded. They become replacement characters.
    """
    if not isinstance(value, str) or not value:
        return None
    text = value[: LONGEST_TEXT_CHARACTERS + 1]  # one more, so that it is redacted as a text that was cut
    return text if text.isascii() else _SURROGATE.sub("\ufffd\ufffd\ufffd", text)


def read_code(value: object, redact: Callable[[str], str]) -> str:
    """Return an error code, which is a text or a number; "" for anything else, or if there is none.

    A code becomes a label. If it has an unusual form or holds a secret, it becomes ``UNREADABLE_CODE``.
    """
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        return ""
    code = str(value) if isinstance(value, str) or abs(value) < _CODES_END else UNREADABLE_CODE
    return code if _CODE.fullmatch(code) and not holds_secret(code, redact) else UNREADABLE_CODE


def holds_secret(word: str, redact: Callable[[str], str]) -> bool:
    """Say whether a word contains a secret; a number must equal it, since it may contain one by chance."""
    redacted = redact(word)
    return redacted == REDACTED if _NUMBER.fullmatch(word) else redacted != word


def failure_of(response: Response) -> OntapError | None:
    """Return the error that a response means, or None for HTTP 200 to 202.

    For 401, 403 and 429 the status decides. Any other error is an :class:`ApiError` if ONTAP states an error
    in the body, else a :class:`BadResponse`.
    """
    if HTTPStatus.OK <= response.status <= HTTPStatus.ACCEPTED:
        return None
    stated = _stated_error(_json_or_none(response.body), response.redact)
    status = response.status
    said = f"HTTP {status}" + (f": {stated}" if stated else "")
    retry_after = _retry_after_seconds(response)
    transient = status in _TRANSIENT
    if (decided_by_status := _BY_STATUS.get(status)) is not None:
        code = stated.code if stated else ""
        return decided_by_status(said, transient=transient, retry_after_seconds=retry_after, code=code)
    if stated is not None and status >= HTTPStatus.BAD_REQUEST:
        return ApiError(
            said,
            status=status,
            code=stated.code,
            transient=transient or is_locked(stated.message),
            retry_after_seconds=retry_after,
        )
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return BadResponse(f"HTTP {status}: a redirect, which is never followed")
    return BadResponse(
        f"HTTP {status} without an error of ONTAP's; the body begins {_excerpt(response)}",
        status=status,
        transient=transient,
        retry_after_seconds=retry_after,
    )


def is_locked(message: str) -> bool:
    """Say whether a message means that something is busy. ONTAP may send it with the code of "not found"."""
    return "temporarily locked" in message.lower()


def pause_before_retry(
    *, request: Request, error: OntapError, attempt: int, remaining_seconds: float
) -> float | None:
    """Return the seconds to wait before the next attempt, or None to give up.

    Only a GET that failed for a transient reason (a reset, HTTP 429 or 503) is sent again, at most
    ``MAX_ATTEMPTS`` times in all. The cluster may ask for a pause; otherwise the pause begins with half a
    second and doubles. There is no retry if the pause would last beyond the deadline.

    ``attempt`` says how often the request has been sent, from 1.
    """
    if request.method != "GET" or not error.transient or attempt >= MAX_ATTEMPTS:
        return None
    pause = error.retry_after_seconds
    if pause is None:
        pause = FIRST_PAUSE_SECONDS * 2 ** (attempt - 1)
    return pause if pause < remaining_seconds else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _StatedError:
    message: str
    code: str

    def __str__(self) -> str:
        return f"{self.message} (code {self.code or 'none'})"


def _json_or_none(body: bytes) -> object:
    try:
        return _decode(body)
    except ValueError:
        return None


def _stated_error(document: object, redact: Callable[[str], str]) -> _StatedError | None:
    """Read ``{"error": {"message": ..., "code": ...}}``; the code may be a text or a number."""
    error = document.get("error") if isinstance(document, dict) else None
    if not isinstance(error, dict):
        return None
    return _StatedError(
        message=redact(text_or_none(error.get("message")) or "no message")[:MAX_MESSAGE_CHARACTERS],
        code=read_code(error.get("code"), redact),
    )


def _retry_after_seconds(response: Response) -> float | None:
    """Read ``Retry-After``, in seconds or as an HTTP date; None if it is missing or unreadable."""
    value = response.headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        moment, served = read_date(value), read_date(response.headers.get("date", ""))
        if moment is None:
            return None
        seconds = moment - (response.received_timestamp_seconds if served is None else served)
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def read_date(value: str) -> float | None:
    """Read an HTTP date as Unix seconds; without a zone it is in UTC."""
    try:
        moment = parsedate_to_datetime(value)
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return aware.timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):  # all that email.utils raises
        return None


def _excerpt(response: Response) -> str:
    """Return the beginning of a body, with secrets redacted."""
    text = response.body[:_EXCERPT_BYTES].decode("utf-8", "replace")
    return repr(response.redact(text)[:_EXCERPT_CHARACTERS])
