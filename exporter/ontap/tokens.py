"""Gets bearer tokens from token endpoints, by OAuth 2.0's grant for client credentials.

All clusters with equal settings share a token. It is kept in memory, until shortly before it expires or
until a cluster refuses it. Source: RFC 6749, sections 2.3.1, 4.4 and 5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import quote_plus, urlencode

import aiohttp
from yarl import URL

from exporter.background import SingleFlight
from exporter.ontap.endpoint import OAuth2Login
from exporter.ontap.errors import (
    BadResponse,
    ConnectionFailed,
    DeadlineExceeded,
    OntapError,
    RateLimited,
    Unauthorized,
)
from exporter.ontap.redaction import redact, secrets_in, spellings
from exporter.ontap.session import read_body, translate
from exporter.ontap.through_proxy import proxy_arguments, proxy_secrets
from exporter.ontap.tls import TlsContexts

TOKEN_TIMEOUT_SECONDS: Final = 10.0
"""How long a token endpoint may take to answer."""
FAILURE_SECONDS: Final = 5.0
"""How long a token endpoint is not asked again after a failure, by all clusters together."""
_EARLIER_SECONDS: Final = 30.0
"""How long before its end a token is renewed; half of its lifetime, if that is shorter."""
_MAX_BODY_BYTES: Final = 64 * 1024
_REFUSED: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED})


@dataclass(slots=True, kw_only=True)
class _TokenState:
    """What is known about the tokens of one client; times are the event loop's."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    token: str | None = None
    usable_until: float = float("inf")
    failure: OntapError | None = None
    failed_until: float = float("-inf")
    is_secret_in_body: bool | None = None
    """Where the endpoint wants the client secret: in the body or in a header; None: not known."""


class Tokens:
    """The tokens of all clients.

    Args:
        session: sends the requests.
        contexts: shared TLS contexts.
    """

    def __init__(self, *, session: aiohttp.ClientSession, contexts: TlsContexts) -> None:
        self._session = session
        self._contexts = contexts
        self._held: dict[OAuth2Login, _TokenState] = {}
        self._secrets: SingleFlight[str] = SingleFlight(name="client secret")

    async def get(self, login: OAuth2Login) -> str:
        """Return a token that has not expired, a new one where there is none.

        Raises:
            OntapError: there is none to be had.
        """
        held = self._held.setdefault(login, _TokenState())
        clock = asyncio.get_running_loop().time
        async with held.lock:
            if held.token is not None and clock() < held.usable_until:
                return held.token
            held.token = None
            if held.failure is not None and clock() < held.failed_until:
                raise type(held.failure)(str(held.failure)) from held.failure
            try:
                async with asyncio.timeout(TOKEN_TIMEOUT_SECONDS):
                    return await self._fetch(login, held)
            except TimeoutError:
                failure: OntapError = DeadlineExceeded("the token endpoint did not answer in time")
            except OntapError as exc:
                failure = exc
            held.failure, held.failed_until = failure, clock() + FAILURE_SECONDS
            raise failure

    def drop(self, login: OAuth2Login, token: str) -> None:
        """Give this token to nobody any more: a cluster has refused it."""
        held = self._held.get(login)
        if held is not None and held.token == token:
            held.token = None

    def keep(self, in_use: Collection[OAuth2Login]) -> None:
        """Drop the tokens of all other clients."""
        self._held = {login: held for login, held in self._held.items() if login in in_use}

    async def _fetch(self, login: OAuth2Login, held: _TokenState) -> str:
        """Ask for a token, with the client secret in a header, then in the body, as Go's library does."""
        secret = await self._read_secret(login)
        redacted = spellings(
            (
                *secrets_in(_header(login, secret), secret),
                *(value.value or "" for _, value in login.parameters),
                *proxy_secrets(login.proxy),
            )
        )
        ways = (False, True) if held.is_secret_in_body is None else (held.is_secret_in_body,)
        for is_secret_in_body in ways:
            try:
                status, body = await self._post(login, secret, is_secret_in_body=is_secret_in_body)
            except OntapError as exc:
                exc.redact(lambda text: f"the token endpoint: {redact(text, redacted)}")
                raise
            is_last = is_secret_in_body is ways[-1]
            if status in _REFUSED and not is_last:
                continue
            try:
                token, lifetime_seconds = _read_token(status, body)
            except OntapError as exc:
                exc.redact(lambda text: redact(text, redacted))
                raise
            held.is_secret_in_body = is_secret_in_body
            margin = min(_EARLIER_SECONDS, lifetime_seconds / 2)
            held.token = token
            held.usable_until = asyncio.get_running_loop().time() + lifetime_seconds - margin
            return token
        raise AssertionError  # the last way has returned or raised

    async def _read_secret(self, login: OAuth2Login) -> str:
        try:
            return await self._secrets.run(login.client_secret.read, key=login)
        except BlockingIOError as exc:
            raise ConnectionFailed(f"the client secret cannot be read now: {exc.strerror}") from exc
        except (OSError, ValueError) as exc:
            raise Unauthorized(f"the client secret cannot be used: {exc}") from exc

    async def _post(self, login: OAuth2Login, secret: str, *, is_secret_in_body: bool) -> tuple[int, bytes]:
        """Send one request, never along a redirect, and return status and body."""
        from oauthlib.oauth2 import BackendApplicationClient  # noqa: PLC0415 - few clusters need it

        parameters = {name: value.value or "" for name, value in login.parameters}
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept-Encoding": "identity"}
        if is_secret_in_body:
            parameters["client_secret"] = secret
        else:
            headers["Authorization"] = _header(login, secret)
        body: str = BackendApplicationClient(login.client_id).prepare_request_body(
            body=urlencode(parameters),
            scope=" ".join(login.scopes) or None,
            include_client_id=is_secret_in_body,
        )
        context = await self._contexts.context(login.tls)
        try:
            async with self._session.post(
                URL(login.token_url, encoded=True),
                data=body.encode(),
                allow_redirects=False,
                headers=headers,
                server_hostname=login.tls.server_name,
                ssl=context,
                **proxy_arguments(login.proxy),
            ) as response:
                return response.status, await read_body(response, max_bytes=_MAX_BODY_BYTES)
        except aiohttp.ClientError as exc:
            raise translate(exc) from exc


def _header(login: OAuth2Login, secret: str) -> str:
    """Return the header that carries the client secret."""
    return aiohttp.encode_basic_auth(quote_plus(login.client_id), quote_plus(secret))


def _read_token(status: int, body: bytes) -> tuple[str, float]:
    """Return a token and its lifetime in seconds.

    Raises:
        Unauthorized: the endpoint refuses to give one.
        RateLimited: it has been asked too often.
        BadResponse: the answer holds no token.
    """
    from oauthlib.oauth2 import (  # noqa: PLC0415 - few clusters need it
        BackendApplicationClient,
        MissingTokenError,
        OAuth2Error,
    )

    no_token = f"the token endpoint gives no token: HTTP {status}"
    is_refused = status == HTTPStatus.UNAUTHORIZED
    token = lifetime = None
    try:
        answer = BackendApplicationClient("").parse_request_body_response(body.decode("utf-8", "replace"))
        token, lifetime = answer["access_token"], answer.get("expires_in")
    except MissingTokenError:
        pass
    except OAuth2Error as exc:
        no_token = f"{no_token}: {exc.error}: {exc.description or 'no description'}"
        is_refused = status < HTTPStatus.INTERNAL_SERVER_ERROR
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):
        no_token = f"the token endpoint's answer is not a token response: HTTP {status}"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise RateLimited(no_token)
    if is_refused:
        raise Unauthorized(no_token)
    if token is None or not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise BadResponse(no_token)
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token.strip():
        raise BadResponse("the token endpoint gives a token that a header cannot carry")
    return token, float(lifetime) if isinstance(lifetime, int) and lifetime > 0 else float("inf")
