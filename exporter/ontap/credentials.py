"""The credentials of one cluster: read when they are needed, remembered, and never shown.

Threads read the files: a disk that does not answer must delay no other cluster.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import aiohttp

from exporter.background import REFRESH_TIMEOUT_SECONDS, Refreshed
from exporter.files import read_file
from exporter.ontap.endpoint import (
    MAX_SECRET_BYTES,
    BasicLogin,
    Header,
    Login,
    OAuth2Login,
    Secret,
    Tls,
    TokenLogin,
    check_credentials,
    check_header_value,
    check_password,
    check_username,
)
from exporter.ontap.errors import ConnectionFailed, Unauthorized
from exporter.ontap.redaction import redact, spellings
from exporter.ontap.tokens import Tokens

REMEMBERED_SECRETS = 12
"""How many of the last secrets are redacted: an answer may echo a secret that has changed since."""
_DIGEST_BYTES: Final = 16
_KEY: Final = os.urandom(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginContent:
    """The credentials that were read.

    Attributes:
        header: the value of the ``Authorization`` header, if any.
        secret: the secret in it.
        headers: more headers to send, by name and value.
        secret_headers: the values of those that are secret.
        certificate: digests of the client certificate's files; None for a file that cannot be read.
    """

    header: str | None = field(repr=False)
    secret: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    secret_headers: tuple[str, ...] = field(default=(), repr=False)
    certificate: tuple[bytes | None, ...]

    @property
    def fingerprint(self) -> bytes:
        """Identifies the credentials within this process; empty if a certificate cannot be read."""
        if None in self.certificate:
            return b""
        secrets = (value.encode() for value in self.secret_headers)
        parts = (one or b"" for one in (self.header and self.header.encode(), *secrets, *self.certificate))
        return hashlib.blake2b(b"\0".join(parts), digest_size=_DIGEST_BYTES, key=_KEY).digest()


LoginReader = Callable[[Login, tuple[Path, ...]], LoginContent]
"""Reads a login, and the files of a client certificate."""


def read_login(login: Login, certificate_files: tuple[Path, ...]) -> LoginContent:
    """Read the credentials. Blocks for as long as the files' disks do.

    Raises:
        OSError: the secret's file cannot be read.
        ValueError: a secret cannot be read or sent; holds nothing of it.
    """
    header, secret = _header(login)
    return LoginContent(header=header, secret=secret, certificate=tuple(map(_digest, certificate_files)))


@dataclass(slots=True, kw_only=True)
class _Source:
    """Where the credentials are read from: on its own, so that they hold no reference to themselves."""

    login: Login
    headers: tuple[Header, ...]
    certificate_files: tuple[Path, ...]
    read_login: LoginReader

    def read(self, _: LoginContent | None = None) -> LoginContent:
        """Read the login and the other headers.

        Raises:
            OSError: a file cannot be read.
            ValueError: its content cannot be used.
        """
        content = self.read_login(self.login, self.certificate_files)
        if not self.headers:
            return content
        headers = tuple((header, _value_of(header)) for header in self.headers)
        return replace(
            content,
            headers=tuple((header.name, value) for header, value in headers),
            secret_headers=tuple(value for header, value in headers if header.is_secret),
        )


class Credentials:
    """The credentials of one cluster.

    Args:
        login: user name and password, or a token; None if there is neither.
        tls: names the client certificate, if there is one.
        headers: more headers to send.
        tokens: gets the tokens of an :class:`~exporter.ontap.endpoint.OAuth2Login`, which cannot do without.
        other_secrets: are redacted too.
        read: reads the files, in a thread.
        refresh_timeout_seconds: how long reading the files again may take.
    """

    def __init__(
        self,
        login: Login,
        tls: Tls | None = None,
        *,
        headers: tuple[Header, ...] = (),
        tokens: Tokens | None = None,
        other_secrets: tuple[str, ...] = (),
        read: LoginReader = read_login,
        refresh_timeout_seconds: float = REFRESH_TIMEOUT_SECONDS,
    ) -> None:
        self._login = login
        self._tokens = tokens
        self._other_secrets = other_secrets
        files = () if tls is None else tls.certificate_files
        self._source = _Source(login=login, headers=headers, certificate_files=files, read_login=read)
        self._content: Refreshed[LoginContent] = Refreshed(
            self._source.read, name="credentials", refresh_timeout_seconds=refresh_timeout_seconds
        )
        self._sent: LoginContent | None = None
        self._secrets: tuple[str, ...] = ()
        self._spellings: tuple[str, ...] | None = None

    async def headers(self) -> tuple[tuple[str, str], ...]:
        """Read the credentials if necessary, and return all headers to send, by name and value.

        Raises:
            Unauthorized: a secret cannot be read or cannot be sent.
            OntapError: there is no token to be had.
        """
        try:
            self._content.expire()  # a token may have been renewed in its file a moment ago
            content = await self._content.get() if self._has_files else self._source.read()
        except BlockingIOError as exc:
            raise ConnectionFailed(f"the credentials cannot be read now: {exc.strerror}") from exc
        except (OSError, ValueError) as exc:
            self._sent = None
            raise Unauthorized(f"the credentials cannot be used: {exc}") from exc
        if isinstance(self._login, OAuth2Login) and self._tokens is not None:
            content = _with_token(content, await self._tokens.get(self._login))
        if content != self._sent:
            self._remember(content)
        self._sent = content
        own = () if content.header is None else (("Authorization", content.header),)
        return (*own, *content.headers)

    @property
    def sent_fingerprint(self) -> bytes:
        """The fingerprint of the credentials that were sent last; empty if none were."""
        return b"" if self._sent is None else self._sent.fingerprint

    @property
    def fingerprint(self) -> bytes:
        """The fingerprint of the credentials to send next; empty if they cannot be read."""
        try:
            content = self._content.value if self._has_files else self._source.read()
        except ValueError:
            return b""
        if content is not None and isinstance(self._login, OAuth2Login):
            token = None if self._tokens is None else self._tokens.current(self._login)
            content = None if token is None else _with_token(content, token)
        return b"" if content is None else content.fingerprint

    def forget(self) -> None:
        """Have the files read again before the credentials are sent the next time."""
        self._content.forget()

    async def renew(self) -> None:
        """Read the files again now; if that fails or takes too long, the content from before stays.

        A token that was sent is replaced: it has been refused.
        """
        if isinstance(self._login, OAuth2Login) and self._tokens is not None:
            await self._tokens.renew(self._login, refused="" if self._sent is None else self._sent.secret)
        if self._has_files:
            await self._content.renew()
            if self._content.value is not None:
                self._remember(self._content.value)

    def use_certificate_of(self, tls: Tls) -> None:
        """Take the client certificate from the files of other settings from now on."""
        if self._source.certificate_files != tls.certificate_files:
            self._source.certificate_files = tls.certificate_files
            self.forget()

    def redact(self, text: str) -> str:
        """Return a text from the cluster with the secrets in it redacted."""
        if self._spellings is None:
            self._spellings = spellings((*self._secrets, *self._other_secrets))
        return redact(text, self._spellings)

    @property
    def _has_files(self) -> bool:
        match self._login:
            case BasicLogin(username_file=Path()):
                return True
            case BasicLogin(password=secret) | TokenLogin(credentials=secret) if secret.file is not None:
                return True
            case _:
                named = any(header.value.file is not None for header in self._source.headers)
                return named or bool(self._source.certificate_files)

    def _remember(self, content: LoginContent) -> None:
        """Redact a secret from now on."""
        latest = list(content.secret_headers)
        if content.header is not None:
            sent = content.header.partition(" ")[2]
            latest += [content.header, sent, sent.rstrip("="), content.secret]
        if latest:
            earlier = (one for one in self._secrets if one not in latest)
            self._secrets = (*latest, *earlier)[: REMEMBERED_SECRETS + len(content.secret_headers)]
            self._spellings = None


def _digest(file: Path) -> bytes | None:
    """Return a digest of a file's content; None if it cannot be read (the TLS context reports why)."""
    try:
        content = read_file(file, max_bytes=MAX_SECRET_BYTES)
    except (OSError, ValueError):
        return None
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _with_token(content: LoginContent, token: str) -> LoginContent:
    return replace(content, header=f"Bearer {token}", secret=token)


def _value_of(header: Header) -> str:
    try:
        return header.value.read(check_header_value)
    except ValueError as exc:
        raise ValueError(f"{header.name}: {exc}") from None


def _header(login: Login) -> tuple[str | None, str]:
    """Return the header's value and the secret in it; None and "" where nothing is sent, or only a token.

    Raises:
        OSError: the secret's file cannot be read.
        ValueError: a secret cannot be read or sent; holds nothing of it.
    """
    if login is None or isinstance(login, OAuth2Login):
        return None, ""
    if isinstance(login, BasicLogin):
        username = Secret(value=login.username or None, file=login.username_file).read(check_username)
        password = login.password.read(check_password)
        return aiohttp.encode_basic_auth(username, password), password
    token = login.credentials.read(check_credentials)
    return f"{login.type} {token}", token
