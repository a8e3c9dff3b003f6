"""A web configuration that has been read and checked."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from exporter.config import Problem
from exporter.ontap.endpoint import TlsVersion
from exporter.web.auth.rate_limit import RateLimit


class ClientAuth(StrEnum):
    """Whether a client must show a certificate, in the words of Go's ``crypto/tls``."""

    NONE = "NoClientCert"  # no certificate is requested
    IF_GIVEN = "VerifyClientCertIfGiven"  # a certificate is optional, but a wrong one is refused
    REQUIRED = "RequireAndVerifyClientCert"  # a valid certificate is required


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """How connections are encrypted, and which clients are let in.

    It holds the contents of the files: two of them are equal only if nothing has changed.
    """

    certificate_pem: str
    key_pem: str = field(repr=False)
    client_auth: ClientAuth
    client_ca_pem: str
    """Empty if no client is asked for a certificate."""
    client_allowed_sans: frozenset[str]
    """A client's certificate must have one of these names, addresses or URIs; empty: any is accepted."""
    min_version: TlsVersion
    max_version: TlsVersion
    ciphers: tuple[str, ...]
    """OpenSSL's names of the suites for TLS 1.2; empty: OpenSSL's own choice."""
    curve: str | None
    """OpenSSL's name; ``None``: OpenSSL's own choice."""
    prefer_server_ciphers: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """A whole web configuration."""

    path: Path
    tls: ServerTls | None
    """``None``: plain HTTP."""
    context: ssl.SSLContext | None = field(compare=False)
    """Built from ``tls``."""
    users: Mapping[str, bytes] = field(repr=False)
    """bcrypt hashes; empty: nobody is asked for a password."""
    headers: tuple[tuple[str, str], ...]
    """Sent with every answer."""
    rate_limit: RateLimit | None
    files: tuple[Path, ...]
    """The file itself, and all files that it names."""
    warnings: tuple[Problem, ...] = field(compare=False)
    """Settings that are allowed but probably mistakes, by file and line."""

    @property
    def client_requirements(self) -> ServerTls | None:
        """The requirements for clients: all settings but the server's own certificate."""
        return self.tls and replace(self.tls, certificate_pem="", key_pem="")

    def lacks_of(self, before: WebConfig) -> tuple[str, ...]:
        """Return the keys that protected the pages before and no longer do."""
        old, new = before.tls, self.tls
        lost = {
            "tls_server_config": old is not None and new is None,
            "client_auth_type": _strictness(old) > _strictness(new),
            "client_allowed_sans": bool(old and old.client_allowed_sans)
            and not (new and new.client_allowed_sans),
            "basic_auth_users": bool(before.users) and not self.users,
        }
        return tuple(key for key, is_lost in lost.items() if is_lost)


def _strictness(tls: ServerTls | None) -> int:
    return 0 if tls is None else tuple(ClientAuth).index(tls.client_auth)
