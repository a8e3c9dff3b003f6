"""The credentials of one cluster: read when they are needed, remembered, and never shown.

Threads read the files: a disk that does not answer must delay no other cluster.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from exporter.background import Refreshed
from exporter.files import read_file
from exporter.ontap.endpoint import MAX_SECRET_BYTES, BasicLogin, Login, Tls, TokenLogin
from exporter.ontap.errors import Unauthorized
from exporter.ontap.redaction import redact, spellings

PATIENCE_SECONDS = 1.0
"""How long reading the files again may take; after that, the content from before is used."""
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
        certificate: digests of the client certificate's files; None for a file that cannot be read.
    """

    header: str | None = field(repr=False)
    secret: str = field(repr=False)
    certificate: tuple[bytes | None, ...]

    @property
    def fingerprint(self) -> bytes:
        """Identifies the credentials within this process; empty if a certificate cannot be read."""
        if None in self.certificate:
            return b""
        parts = (one or b"" for one in (self.header and self.header.encode(), *self.certificate))
        return hashlib.blake2b(b"\0".join(parts), digest_size=_DIGEST_BYTES, key=_KEY).digest()


LoginReader = Callable[[Login, tuple[Path, ...]], LoginContent]


def read_login(login: Login, certificate_files: tuple[Path, ...]) -> LoginContent:
    """Read the credentials. Blocks for as long as the files' disks do.

    Raises:
        OSError: the secret's file cannot be read.
        ValueError: the file is not a regular file, too large or not UTF-8, or a header cannot carry the
            secret.
    """
    header, secret = (None, "") if login is None else _header(login)
    return LoginContent(header=header, secret=secret, certificate=tuple(map(_digest, certificate_files)))


class Credentials:
    """The credentials of one cluster.

    Args:
        login: user name and password, or a token; None if there is neither.
        tls: names the client certificate, if there is one.
        read: reads the files, in a thread.
        patience_seconds: how long reading the files again may take.
    """

    def __init__(
        self,
        login: Login,
        tls: Tls | None = None,
        *,
        read: LoginReader = read_login,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._login = login
        self._certificate_files = () if tls is None else tls.certificate_files
        self._read = read
        self._content: Refreshed[LoginContent] = Refreshed(
            lambda _: self._read(self._login, self._certificate_files),
            name="credentials",
            patience_seconds=patience_seconds,
        )
        self._sent: LoginContent | None = None
        self._secrets: tuple[str, ...] = ()
        self._spellings: tuple[str, ...] | None = None

    async def header(self) -> str | None:
        """Read the credentials if necessary, and return the value of the ``Authorization`` header to send.

        Raises:
            Unauthorized: the secret cannot be read or cannot be sent.
        """
        try:
            content = await self._content.get() if self._has_files else self._read(self._login, ())
        except (OSError, ValueError) as exc:
            self._sent = None
            raise Unauthorized(f"the credentials cannot be used: {exc}") from exc
        if content != self._sent:
            self._remember(content)
        self._sent = content
        return content.header

    @property
    def sent_fingerprint(self) -> bytes:
        """The fingerprint of the credentials that were sent last; empty if none were."""
        return b"" if self._sent is None else self._sent.fingerprint

    @property
    def fingerprint(self) -> bytes:
        """The fingerprint of the credentials to send next; empty if they cannot be read."""
        try:
            content = self._content.value if self._has_files else self._read(self._login, ())
        except ValueError:
            return b""
        return b"" if content is None else content.fingerprint

    def forget(self) -> None:
        """Have the files read again before the credentials are sent the next time."""
        self._content.forget()

    async def renew(self) -> None:
        """Read the files again now; if that fails or takes too long, the content from before stays."""
        if self._has_files:
            await self._content.renew()
            if self._content.value is not None:
                self._remember(self._content.value)

    def use_certificate_of(self, tls: Tls) -> None:
        """Take the client certificate from the files of other settings from now on."""
        if self._certificate_files != tls.certificate_files:
            self._certificate_files = tls.certificate_files
            self.forget()

    def redact(self, text: str) -> str:
        """Return a text from the cluster with the secrets in it redacted."""
        if self._spellings is None:
            self._spellings = spellings(self._secrets)
        return redact(text, self._spellings)

    @property
    def _has_files(self) -> bool:
        match self._login:
            case BasicLogin(password=secret) | TokenLogin(credentials=secret) if secret.file is not None:
                return True
            case _:
                return bool(self._certificate_files)

    def _remember(self, content: LoginContent) -> None:
        """Redact a secret from now on."""
        if content.header is not None:
            sent = content.header.partition(" ")[2]
            latest = (content.header, sent, sent.rstrip("="), content.secret)
            earlier = (one for one in self._secrets if one not in latest)
            self._secrets = (*latest, *earlier)[:REMEMBERED_SECRETS]
            self._spellings = None


def _digest(file: Path) -> bytes | None:
    """Return a digest of a file's content; None if it cannot be read (the TLS context reports why)."""
    try:
        content = read_file(file, max_bytes=MAX_SECRET_BYTES)
    except (OSError, ValueError):
        return None
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _header(login: BasicLogin | TokenLogin) -> tuple[str, str]:
    """Return the header's value and the secret in it.

    Raises:
        OSError: the secret's file cannot be read.
        ValueError: the file is not a regular file, too large or not UTF-8, or a header cannot carry the
            secret.
    """
    if isinstance(login, BasicLogin):
        password = login.password.read()
        return aiohttp.encode_basic_auth(login.username, password), password
    token = login.credentials.read()
    if not token.isascii() or not token.isprintable():
        raise ValueError("the token holds characters that an HTTP header cannot carry")
    return f"{login.type} {token}", token
