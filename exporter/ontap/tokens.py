"""Gets bearer tokens from token endpoints, by OAuth 2.0's grant for client credentials.

All clusters with equal settings share a token. It is kept in memory, until shortly before it expires or
until a cluster refuses it. Source: RFC 6749, sections 2.3.1, 4.4 and 5.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final
from urllib.parse import quote_plus, urlencode

import aiohttp
from yarl import URL

from exporter.background import SingleFlight
from exporter.ontap.cluster_settings import OAuth2Login
from exporter.ontap.errors import (
    BadResponse,
    ConnectionFailed,
    DeadlineExceeded,
    OntapError,
    RateLimited,
    Unauthorized,
)
from exporter.ontap.proxy_headers import proxy_headers, proxy_secrets
from exporter.ontap.redaction import redact, secrets_in, spellings
from exporter.ontap.session import read_body, translate
from exporter.ontap.tls import TlsContexts

TOKEN_TIMEOUT_SECONDS: Final = 10.0
"""How long a token endpoint may take to answer."""
FAILURE_SECONDS: Final = 5.0
"""How long a token endpoint is not asked again after a failure, by all clusters together."""
_EARLIER_SECONDS: Final = 30.0
"""How long before its end a token is renewed; half of its lifetime, if that is shorter."""
_MAX_BODY_BYTES: Final = 64 * 1024
_REFUSED: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED})


class TokenSource:
    """Gets the tokens of one client, for all clusters with these settings."""

    def __init__(self, login: OAuth2Login, *, session: aiohttp.ClientSession, contexts: TlsContexts) -> None:
        self._login = login
        self._session = session
        self._contexts = contexts
        self._lock = asyncio.Lock()
        self._secret: SingleFlight[str] = SingleFlight(name="client secret")
        self._is_secret_in_body: bool | None = None  # where the endpoint wants it, if that is known
        self._token: str | None = None
        self._usable_until = float("inf")
        self._failure: OntapError | None = None
        self._failed_until = float("-inf")

    async def get(self) -> str:
        """Return a token that has not expired, a new one where there is none.

        Raises:
            OntapError: there is none to be had.
        """
        clock = asyncio.get_running_loop().time
        async with self._lock:
            if self._token is not None and clock() < self._usable_until:
                return self._token
            if self._failure is not None and clock() < self._failed_until:
                raise type(self._failure)(str(self._failure)) from self._failure
            try:
                async with asyncio.timeout(TOKEN_TIMEOUT_SECONDS):
                    self._token, lifetime_seconds = await self._fetch()
            except TimeoutError:
                failure: OntapError = DeadlineExceeded("the token endpoint did not answer in time")
            except OntapError as exc:
                failure = exc
            else:
                margin = min(_EARLIER_SECONDS, lifetime_seconds / 2)
                self._usable_until = clock() + lifetime_seconds - margin
                return self._token
            self._failure, self._failed_until = failure, clock() + FAILURE_SECONDS
            raise failure

    def drop(self, token: str) -> None:
        """Give this token to nobody any more: a cluster has refused it."""
        if self._token == token:
            self._token = None

    async def _fetch(self) -> tuple[str, float]:
        """Ask for a token, with the client secret in a header, then in the body, as Go's library does."""
        secret = await self._read_secret()
        redacted = spellings(
            (
                *secrets_in(_header(self._login, secret), secret),
                *(value.value or "" for _, value in self._login.parameters),
                *proxy_secrets(self._login.proxy),
            )
        )
        is_secret_in_body = self._is_secret_in_body is True
        try:
            status, body = await self._post(secret, is_secret_in_body=is_secret_in_body)
            if status in _REFUSED and self._is_secret_in_body is None:
                is_secret_in_body = True
                status, body = await self._post(secret, is_secret_in_body=is_secret_in_body)
        except OntapError as exc:
            exc.redact(lambda text: f"the token endpoint: {redact(text, redacted)}")
            raise
        try:
            token = _read_token(status, body)
        except OntapError as exc:
            exc.redact(lambda text: redact(text, redacted))
            raise
        self._is_secret_in_body = is_secret_in_body
        return token

    async def _read_secret(self) -> str:
        try:
            return await self._secret.run(self._login.client_secret.read)
        except BlockingIOError as exc:
            raise ConnectionFailed(f"the client secret cannot be read now: {exc.strerror}") from exc
        except (OSError, ValueError) as exc:
            raise Unauthorized(f"the client secret cannot be used: {exc}") from exc

    async def _post(self, secret: str, *, is_secret_in_body: bool) -> tuple[int, bytes]:
        """Send one request, never along a redirect, and return status and body."""
        from oauthlib.oauth2 import BackendApplicationClient  # noqa: PLC0415 - few clusters need it

        login = self._login
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
                proxy=None if login.proxy is None else login.proxy.url,
                proxy_headers=proxy_headers(login.proxy),
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
