"""How a cluster is reached and polled: address, login, TLS, proxy, times, labels; plain values.

Standard library only: reading a configuration must not load an HTTP client.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from exporter.files import read_text

MAX_SECRET_BYTES = 64 * 1024
"""The largest file that is read for a password, a token, a certificate or a key."""
_CONTROL_CHARACTER: Final = re.compile("[\0-\x1f\x7f-\x9f]")
_HEADER_VALUE: Final = re.compile("[\x20-\x7e]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The management address of one cluster."""

    scheme: Literal["https", "http"] = "https"
    host: str
    """A DNS name, an IPv4 address, or an IPv6 address without brackets."""
    port: int = 443

    @property
    def origin(self) -> str:
        """``scheme://host:port`` with brackets around an IPv6 address; the port always written."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def canonical_host(self) -> str:
        """The host as it compares: in small letters, without the dot at the end of a name."""
        return self.host.lower().rstrip(".")


def read_secret_file(path: Path) -> str:
    """Return the text of a file, without the white space around it, as Prometheus does. May block.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a regular file, empty, too large or not UTF-8. The message holds neither the
            path nor the content.
    """
    text = read_text(path, max_bytes=MAX_SECRET_BYTES).strip()
    if not text:
        raise ValueError("the file is empty")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A secret: its value, or the file that holds it. ``repr`` never shows the value."""

    value: str | None = field(default=None, repr=False)
    file: Path | None = None

    def read(self, check: Callable[[str], str] = str) -> str:
        """Return the secret, checked by one of the functions below: a file may have changed meanwhile.

        Raises:
            OSError, ValueError: as :func:`read_secret_file`, or the check fails; holds nothing of the secret.
        """
        if self.file is None:
            return check(self.value) if self.value else ""
        try:
            return check(read_secret_file(self.file))
        except ValueError as exc:
            raise ValueError(f"{self.file}: {exc}") from None


def check_username(text: str) -> str:
    """Return a user name that HTTP basic authentication can send (RFC 7617, section 2).

    Raises:
        ValueError: it is none.
    """
    if not text:
        raise ValueError("must not be empty")
    if ":" in text:
        raise ValueError("a user name cannot hold a colon (RFC 7617)")
    if _CONTROL_CHARACTER.search(text):
        raise ValueError("a user name cannot hold a control character (RFC 7617)")
    return text


def check_password(text: str) -> str:
    """Return a password that HTTP basic authentication can send (RFC 7617, section 2).

    Raises:
        ValueError: it is none; the message holds nothing of it.
    """
    if not text:
        raise ValueError("a password must not be empty")
    if _CONTROL_CHARACTER.search(text):
        raise ValueError("a password cannot hold a line break or another control character (RFC 7617)")
    return text


def check_credentials(text: str) -> str:
    """Return credentials that an ``Authorization`` header can hold (RFC 9110, section 5.5).

    Raises:
        ValueError: they are none; the message holds nothing of them.
    """
    if not text:
        raise ValueError("credentials must not be empty")
    if not _HEADER_VALUE.fullmatch(text):
        raise ValueError("credentials are one line of ASCII characters")
    return text


def check_header_value(text: str) -> str:
    """Return the value of a header (RFC 9110, section 5.5).

    Raises:
        ValueError: it is none; the message holds nothing of it.
    """
    if not _HEADER_VALUE.fullmatch(text) or text != text.strip():
        raise ValueError("a header's value is one line of ASCII characters, with no white space around it")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicLogin:
    """User name and password, sent as HTTP basic authentication in UTF-8."""

    username: str = ""
    username_file: Path | None = None
    """The file that holds the user name; ``username`` is empty then."""
    password: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogin:
    """An ``Authorization`` header of the given type, for example ``Bearer`` (OAuth 2.0, ONTAP 9.14.1)."""

    type: str = "Bearer"
    credentials: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2Login:
    """A bearer token that a token endpoint gives for a client's credentials (RFC 6749, section 4.4)."""

    client_id: str
    client_secret: Secret
    token_url: str
    scopes: tuple[str, ...] = ()
    parameters: tuple[tuple[str, Secret], ...] = ()
    """More parameters of the token request, sorted by name."""
    tls: Tls
    """For the token endpoint."""
    proxy: Proxy | None = None
    """For the token endpoint."""


Login = BasicLogin | TokenLogin | OAuth2Login | None
"""None: neither a password nor a token, but maybe a client certificate."""


class TlsVersion(StrEnum):
    """The lowest TLS version that is accepted, in Prometheus's spelling."""

    TLS12 = "TLS12"  # TLS 1.2, every ONTAP 9 that has a REST API
    TLS13 = "TLS13"  # TLS 1.3, ONTAP 9.11.1 and newer

    @property
    def in_ssl(self) -> ssl.TLSVersion:
        """The same version in Python's ``ssl``."""
        return ssl.TLSVersion.TLSv1_2 if self is TlsVersion.TLS12 else ssl.TLSVersion.TLSv1_3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How a cluster's certificate is verified, and which client certificate is shown to the cluster."""

    ca: str | None = None
    """The authorities to trust, in PEM form; without ``ca`` and ``ca_file``, those of the system."""
    ca_file: Path | None = None
    cert: str | None = None
    """The client certificate in PEM form; the key may be in the same text or file."""
    cert_file: Path | None = None
    key: Secret | None = None
    key_file: Path | None = None
    server_name: str | None = None
    """The name that the certificate must have and that is sent as SNI; None: the host of the address."""
    insecure_skip_verify: bool = False
    min_version: TlsVersion = TlsVersion.TLS12

    @property
    def certificate_files(self) -> tuple[Path, ...]:
        """The files of the client certificate."""
        return tuple(file for file in (self.cert_file, self.key_file) if file is not None)

    @property
    def files(self) -> tuple[Path, ...]:
        """All files."""
        return tuple(file for file in (self.ca_file, self.cert_file, self.key_file) if file is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A header to send."""

    name: str
    value: Secret
    is_secret: bool = True
    """Whether the value is redacted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """An HTTP proxy; requests go through it in a tunnel (``CONNECT``)."""

    host: str
    port: int
    login: BasicLogin | None = None
    """For the proxy itself; the cluster never gets it."""
    headers: tuple[Header, ...] = ()
    """Sent with ``CONNECT``, and to the proxy alone."""

    @property
    def url(self) -> str:
        """``http://host:port``, without the login."""
        return Endpoint(scheme="http", host=self.host, port=self.port).origin

    def masked(self, mask: str) -> str:
        """Return the URL with ``mask`` in place of the password, or of a token in place of a user name."""
        if self.login is None:
            return self.url
        name = quote(self.login.username, safe="")
        login = f"{name}:{mask}" if self.login.password.value else mask
        return self.url.replace("://", f"://{login}@", 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """How one cluster is reached and polled, and the labels of its metrics."""

    name: str
    """Unique; the ``cluster`` label."""
    endpoint: Endpoint
    login: Login
    tls: Tls
    labels: tuple[tuple[str, str], ...]
    """Sorted by name."""
    poll_interval: timedelta
    poll_timeout: timedelta
    """For one whole poll, all requests and pages."""
    stale_after: timedelta
    return_timeout_seconds: int
    """How long ONTAP is asked to wait; shorter than ``poll_timeout``."""
    max_records: int
    """The page size that ONTAP is asked for."""
    headers: tuple[Header, ...] = ()
    """Sent with every request to the cluster."""
    proxy: Proxy | None = None
