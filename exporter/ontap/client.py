"""The client of one cluster: sends the requests of conversations, under a deadline."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import TypeVar

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from exporter.ontap.cluster_settings import Endpoint, Proxy, Tls
from exporter.ontap.credentials import Credentials
from exporter.ontap.errors import DeadlineExceeded, OntapError
from exporter.ontap.proxy_headers import proxy_headers
from exporter.ontap.requests.messages import (
    Conversation,
    Request,
    Response,
    failure_of,
    pause_before_retry,
    read_date,
)
from exporter.ontap.session import ClusterResponse, read_body, translate
from exporter.ontap.tls import TlsContexts

T = TypeVar("T")

MAX_BODY_BYTES = 2 * 1024 * 1024
"""More than any page of 10,000 records has. No answer of this size holds up the event loop for long."""
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


class OntapClient:
    """Talks to one cluster, one request at a time.

    Attributes:
        clock_skew_seconds: the cluster's clock minus ours, by the last ``Date`` header of its answers; None
            if no answer since the begin of the last poll had one.
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

    async def converse(
        self, conversation: Conversation[T], *, deadline: float, gate: SendGate | None = None
    ) -> T:
        """Send the requests of a conversation until it ends, and return its result.

        The deadline, in the event loop's time, covers every request, retry and pause.

        Raises:
            OntapError: a request failed and the conversation has no answer to that, or an answer was not what
                it expects.
        """
        try:
            request = next(conversation)
            while True:
                try:
                    response = await self._send(request, deadline, gate)
                except OntapError as exc:
                    request = conversation.throw(exc)
                else:
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
            )
            if pause is None:
                raise failure
            await asyncio.sleep(pause)

    async def _exchange(self, request: Request, gate: SendGate | None) -> Response:
        """Send a request once and read the whole answer."""
        headers = CIMultiDict(await self.credentials.headers())
        context = await self._contexts.context(self._tls)
        clock = asyncio.get_running_loop().time
        begun = clock()

        def begin() -> None:
            nonlocal begun
            begun = clock()  # connecting is not part of ONTAP's return_timeout
            if gate is not None:
                gate.open()

        status: int | None = None
        is_kept_back = False
        try:
            async with self._session.request(
                request.method,
                URL(self._endpoint.origin + request.target, encoded=True),
                allow_redirects=False,
                headers=headers,
                server_hostname=self._tls.server_name,
                ssl=context,
                trace_request_ctx=begin,
                proxy=None if self._proxy is None else self._proxy.url,
                proxy_headers=proxy_headers(self._proxy),
            ) as response:
                status = response.status
                if isinstance(response, ClusterResponse):
                    self.certificate_expiry_timestamp_seconds = response.certificate_expiry_timestamp_seconds
                body = await read_body(response, max_bytes=MAX_BODY_BYTES)
        except NothingSentError:
            is_kept_back = True
            raise
        except aiohttp.ClientError as exc:
            raise translate(exc) from exc
        finally:
            if not is_kept_back:
                self._counts.add(request.method, status)
        received = time.time()
        served = read_date(response.headers.get("Date", ""))
        if served is not None:
            self.clock_skew_seconds = served - received
        return Response(
            status=response.status,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=body,
            elapsed_seconds=clock() - begun,
            received_timestamp_seconds=received,
            redact=self.credentials.redact,
        )
