"""The credentials of one cluster: read when they are needed, remembered, and never shown."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import aiohttp

from exporter.background import begin
from exporter.files import read_file
from exporter.ontap.endpoint import MAX_SECRET_BYTES, BasicLogin, Login, Tls, TokenLogin
from exporter.ontap.errors import Unauthorized
from exporter.ontap.redaction import redact

SHORTEST_SECRET_CHARACTERS = 4
"""A shorter one is not looked for in what a cluster says: it would match anything."""
_DIGEST_BYTES = 16
_KEY: Final = os.urandom(32)
REMEMBERED_SECRETS = 24
"""How many forms are looked for, of the latest ones: an answer may echo a secret that has changed since."""


class Credentials:
    """What a login sends.

    Args:
        login: how to log in; None where a client certificate does, or nothing.
        tls: names the client certificate, if there is one.
    """

    def __init__(self, login: Login, tls: Tls | None = None) -> None:
        self._login = login
        self._certificate_files = () if tls is None else tls.certificate_files
        self._current: _Read | None = None
        self._sent: _Read | None = None
        self._reading: asyncio.Future[_Read] | None = None
        self._secrets: tuple[str, ...] = ()

    async def header(self) -> str | None:
        """Return the value of the ``Authorization`` header to send, everything read from its files once.

        A thread reads them: a file may lie on a disk that does not answer.

        Raises:
            Unauthorized: the secret cannot be read or cannot be sent.
        """
        try:
            if self._current is None and not _needs_files(self._login, self._certificate_files):
                self._use(_read(self._login, ()))
            current = self._current or await self._read_anew()
        except (OSError, ValueError) as exc:
            self._reading = self._sent = None
            raise Unauthorized(f"the credentials cannot be used: {exc}") from exc
        self._sent = current
        return current.header

    @property
    def sent_fingerprint(self) -> bytes:
        """What stands for that which was sent last; empty where nothing was."""
        return b"" if self._sent is None else self._sent.fingerprint

    @property
    def fingerprint(self) -> bytes:
        """What stands for that which was read last; empty where it has to be read again."""
        return b"" if self._current is None else self._current.fingerprint

    def forget(self) -> None:
        """Read everything again before it is sent the next time."""
        self._current = self._reading = None

    def use_certificate_of(self, tls: Tls) -> None:
        """Take the client certificate from the files of other settings from now on."""
        if self._certificate_files != tls.certificate_files:
            self._certificate_files = tls.certificate_files
            self.forget()

    def changed(self) -> bool:
        """Read everything again; say whether it differs from what was sent last, and use it from now on.

        What cannot be read has not changed.
        """
        try:
            read = _read(self._login, self._certificate_files)
        except (OSError, ValueError):
            return False
        if None in read.certificate:
            return False
        self._use(read)
        return read != self._sent

    async def _read_anew(self) -> _Read:
        """Read everything, together with whoever else waits; again where it was forgotten meanwhile.

        Raises:
            OSError: as :func:`_read`.
            ValueError: likewise.
        """
        while self._current is None:
            if self._reading is None:
                self._reading = begin(
                    partial(_read, self._login, self._certificate_files), name="credentials"
                )
            reading = self._reading
            read = await asyncio.shield(reading)
            if self._reading is reading:
                self._use(read)
        return self._current

    def _use(self, read: _Read) -> None:
        self._current, self._reading = read, None
        if read.header is not None:
            latest = _forms(read.header, read.secret)
            earlier = (one for one in self._secrets if one not in latest)
            self._secrets = (*latest, *earlier)[:REMEMBERED_SECRETS]

    def redact(self, text: str) -> str:
        """Return a text of the cluster's without the secrets that it may have echoed."""
        return redact(text, self._secrets)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What logs in, as it was read.

    Attributes:
        header: the value of the ``Authorization`` header, if any.
        secret: what is secret in it.
        certificate: digests of the files of the client certificate; None for one that cannot be read.
    """

    header: str | None = field(repr=False)
    secret: str = field(repr=False)
    certificate: tuple[bytes | None, ...]

    @property
    def fingerprint(self) -> bytes:
        """The same for the same credentials, in this process, and of no use to anybody who sees it."""
        parts = (one or b"" for one in (self.header and self.header.encode(), *self.certificate))
        return hashlib.blake2b(b"\0".join(parts), digest_size=_DIGEST_BYTES, key=_KEY).digest()


def _forms(header: str, secret: str) -> tuple[str, ...]:
    """Return the forms in which a cluster may echo a secret."""
    sent = header.partition(" ")[2]
    encoded = base64.b64encode(secret.encode()).decode()
    known = (header, sent, sent.rstrip("="), secret, encoded, encoded.rstrip("="))
    return tuple(dict.fromkeys(one for one in known if len(one) >= SHORTEST_SECRET_CHARACTERS))


def _needs_files(login: Login, certificate_files: tuple[Path, ...]) -> bool:
    if login is None:
        return bool(certificate_files)
    secret = login.password if isinstance(login, BasicLogin) else login.credentials
    return secret.file is not None or bool(certificate_files)


def _read(login: Login, certificate_files: tuple[Path, ...]) -> _Read:
    """Read everything that logs in.

    Raises:
        OSError: the secret's file cannot be read.
        ValueError: the file is not as it should be, or the header could not carry the value.
    """
    header, secret = (None, "") if login is None else _header(login)
    return _Read(header=header, secret=secret, certificate=tuple(map(_digest, certificate_files)))


def _digest(file: Path) -> bytes | None:
    """Return a digest of a file's content; None where it cannot be read: the TLS context will tell."""
    try:
        return hashlib.blake2b(
            read_file(file, max_bytes=MAX_SECRET_BYTES), digest_size=_DIGEST_BYTES
        ).digest()
    except (OSError, ValueError):
        return None


def _header(login: BasicLogin | TokenLogin) -> tuple[str, str]:
    """Return the header's value and the secret in it.

    Raises:
        OSError: the secret's file cannot be read.
        ValueError: the file is not as it should be, or the header could not carry the value.
    """
    if isinstance(login, BasicLogin):
        password = login.password.read()
        return aiohttp.encode_basic_auth(login.username, password), password
    token = login.credentials.read()
    if not token.isascii() or not token.isprintable():
        raise ValueError("the token holds characters that an HTTP header cannot carry")
    return f"{login.type} {token}", token
