"""The credentials of one cluster: read when they are needed, remembered, and never shown.

Threads read the files: a disk that does not answer must delay no other cluster.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import aiohttp

from exporter.background import REFRESH_TIMEOUT_SECONDS, Refreshed
from exporter.files import read_file
from exporter.ontap.cluster_settings import (
    MAX_SECRET_BYTES,
    BasicLogin,
    Header,
    Login,
    Secret,
    Tls,
    TokenLogin,
    check_credentials,
    check_header_value,
    check_password,
    check_username,
)
from exporter.ontap.errors import ConnectionFailed, OntapError, Unauthorized
from exporter.ontap.redaction import redact, secrets_in, spellings
from exporter.ontap.tokens import TokenSource

REMEMBERED_CONTENTS = 3
"""How many of the last credentials are redacted: an answer may echo a secret that has changed since."""
_DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginContent:
    """The credentials that were read; equal ones are the same to the cluster."""

    header: str | None = field(repr=False)
    """The value of the ``Authorization`` header, if any."""
    secret: str = field(repr=False)
    """The secret in it."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False, compare=False)
    """More headers to send, by name and value."""
    secret_headers: tuple[str, ...] = field(default=(), repr=False)
    """The values of those that are secret."""
    certificate: tuple[bytes | None, ...]
    """Digests of the client certificate's files; None for a file that cannot be read."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown."""
        login = () if self.header is None else secrets_in(self.header, self.secret)
        return (*login, *self.secret_headers)


LoginReader = Callable[[Login, tuple[Header, ...], tuple[Path, ...]], LoginContent]


def read_login(
    login: Login, headers: tuple[Header, ...], certificate_files: tuple[Path, ...]
) -> LoginContent:
    """Read a login, the other headers and the files of a client certificate; may block.

    Raises:
        OSError: the file of a secret cannot be read.
        ValueError: a secret cannot be read or sent; holds nothing of it.
    """
    header, secret = None, ""
    if isinstance(login, BasicLogin):
        username = Secret(value=login.username or None, file=login.username_file).read(check_username)
        secret = login.password.read(check_password)
        header = aiohttp.encode_basic_auth(username, secret)
    elif isinstance(login, TokenLogin):
        secret = login.credentials.read(check_credentials)
        header = f"{login.type} {secret}"
    values = tuple((one, _value_of(one)) for one in headers)
    return LoginContent(
        header=header,
        secret=secret,
        headers=tuple((one.name, value) for one, value in values),
        secret_headers=tuple(value for one, value in values if one.is_secret),
        certificate=tuple(map(_digest, certificate_files)),
    )


class Credentials:
    """The credentials of one cluster.

    Args:
        login: user name and password, or a token; None if there is neither.
        tls: names the client certificate, if there is one.
        headers: more headers to send.
        tokens: gets the tokens of an :class:`~exporter.ontap.cluster_settings.OAuth2Login`.
        other_secrets: are redacted too.
        read: reads the files, in a thread.
        refresh_timeout_seconds: how long that may take; then those from before are sent.

    Attributes:
        sent: what was sent last; None if it could not be read.
        known: what was read last and could be sent; None before the first reading.
    """

    def __init__(
        self,
        login: Login,
        tls: Tls | None = None,
        *,
        headers: tuple[Header, ...] = (),
        tokens: TokenSource | None = None,
        other_secrets: tuple[str, ...] = (),
        read: LoginReader = read_login,
        refresh_timeout_seconds: float = REFRESH_TIMEOUT_SECONDS,
    ) -> None:
        self.sent: LoginContent | None = None
        self.known: LoginContent | None = None
        self._tokens = tokens
        self._other_secrets = other_secrets
        files = () if tls is None else tls.certificate_files
        self._read_now = partial(read, login, headers, files)
        self._has_files = bool(files) or any(secret.file for secret in _secrets_of(login, headers))
        self._content = Refreshed(
            self._read_now, name="credentials", refresh_timeout_seconds=refresh_timeout_seconds
        )
        self._refresh_timeout_seconds = refresh_timeout_seconds
        self._remembered: deque[LoginContent] = deque(maxlen=REMEMBERED_CONTENTS)
        self._spellings: tuple[str, ...] | None = None

    async def headers(self) -> tuple[tuple[str, str], ...]:
        """Read the credentials, and return all headers to send, by name and value.

        Raises:
            Unauthorized: a secret cannot be read or cannot be sent.
            OntapError: there is no token to be had.
        """
        try:
            read = await self._read()
        except BlockingIOError as exc:
            raise ConnectionFailed(f"the credentials cannot be read now: {exc.strerror}") from exc
        except (OSError, ValueError) as exc:
            self.sent = None
            raise Unauthorized(f"the credentials cannot be used: {exc}") from exc
        self.sent = content = await self._complete(read)
        own = () if content.header is None else (("Authorization", content.header),)
        return (*own, *content.headers)

    async def renew(self) -> None:
        """Read the credentials again now; if that fails or takes too long, those from before stay known."""
        with suppress(OSError, ValueError, OntapError):  # TimeoutError is an OSError
            async with asyncio.timeout(self._refresh_timeout_seconds):
                read = await self._read()
            await self._complete(read)

    @property
    def are_unsent(self) -> bool:
        """Whether credentials are known that differ from those that were sent last."""
        return self.known is not None and self.known != self.sent

    def drop_token(self) -> None:
        """Get another token before the next request: the cluster has refused the one that was sent."""
        if self._tokens is not None and self.sent is not None:
            self._tokens.drop(self.sent.secret)

    def redact(self, text: str) -> str:
        """Return a text from the cluster with the secrets in it redacted."""
        if self._spellings is None:
            secrets = [secret for content in self._remembered for secret in content.secrets]
            self._spellings = spellings((*secrets, *self._other_secrets))
        return redact(text, self._spellings)

    async def _read(self) -> LoginContent:
        """Read everything but the token."""
        return await self._content.get() if self._has_files else self._read_now()

    async def _complete(self, content: LoginContent) -> LoginContent:
        """Add the token, if there is one; what is sent is known and redacted from now on."""
        if self._tokens is not None:
            token = await self._tokens.get()
            content = replace(content, header=f"Bearer {token}", secret=token)
        if content in self._remembered:
            self._remembered.remove(content)
        else:
            self._spellings = None
        self._remembered.append(content)
        if None not in content.certificate:
            self.known = content
        return content


def _secrets_of(login: Login, headers: tuple[Header, ...]) -> tuple[Secret, ...]:
    """Return the secrets that are read for every request, and the user name."""
    others = tuple(header.value for header in headers)
    match login:
        case BasicLogin(username_file=file, password=password):
            return (Secret(file=file), password, *others)
        case TokenLogin(credentials=token):
            return (token, *others)
        case _:
            return others


def _digest(file: Path) -> bytes | None:
    """Return a digest of a file's content; None if it cannot be read (the TLS context reports why)."""
    try:
        content = read_file(file, max_bytes=MAX_SECRET_BYTES)
    except (OSError, ValueError):
        return None
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _value_of(header: Header) -> str:
    try:
        return header.value.read(check_header_value)
    except ValueError as exc:
        raise ValueError(f"{header.name}: {exc}") from None
