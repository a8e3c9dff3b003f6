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
    """Whether a client shows a certificate; the words are those of Go's ``crypto/tls``."""

    NONE = "NoClientCert"  # it is not asked for one
    IF_GIVEN = "VerifyClientCertIfGiven"  # it is asked; without one it is let in, with a wrong one it is not
    REQUIRED = "RequireAndVerifyClientCert"  # without a right one it is not let in


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """How connections are encrypted, and which clients are let in.

    It holds what the files hold, so that two of them are equal only where nothing has changed.
    """

    certificate_pem: bytes
    key_pem: bytes = field(repr=False)
    client_auth: ClientAuth
    client_ca_pem: str
    """Empty if no client is asked for a certificate."""
    client_allowed_sans: frozenset[str]
    """Names, addresses and URIs, one of which a client's certificate must bear; empty: any will do."""
    min_version: TlsVersion
    max_version: TlsVersion
    ciphers: tuple[str, ...]
    """OpenSSL's names of what is offered below TLS 1.3; empty: OpenSSL's own choice."""
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
    """Made of ``tls``."""
    users: Mapping[str, bytes] = field(repr=False)
    """bcrypt hashes; empty: nobody is asked for a password."""
    headers: tuple[tuple[str, str], ...]
    """Sent with every answer."""
    rate_limit: RateLimit | None
    files: tuple[Path, ...]
    """What it was read from, itself among them."""
    warnings: tuple[Problem, ...] = field(compare=False)
    """What is allowed and yet hardly meant, by file and line."""

    @property
    def client_requirements(self) -> ServerTls | None:
        """What is asked of clients: all but the certificate that is shown to them."""
        return self.tls and replace(self.tls, certificate_pem=b"", key_pem=b"")

    def lacks_of(self, before: WebConfig) -> tuple[str, ...]:
        """Return what kept clients out before and no longer does, in the words of the file."""
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
