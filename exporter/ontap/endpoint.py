"""Where a cluster is, how to log in and how to trust it: plain values that other rooms build.

Standard library only, so that reading a configuration does not load an HTTP client.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

MAX_SECRET_BYTES = 64 * 1024
"""No password, token, certificate or key is larger; a larger file is not read to its end."""


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


def read_regular(file: Path) -> bytes:
    """Read a small file, never waiting for what comes out of a pipe or a device.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no regular file, or larger than ``MAX_SECRET_BYTES``.
    """
    _check_regular(file, file.stat())  # opening a device may do something
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
        _check_regular(file, os.fstat(opened.fileno()))  # it may be another file by now
        content = opened.read(MAX_SECRET_BYTES + 1)
    if len(content) > MAX_SECRET_BYTES:
        raise ValueError(f"{file} is larger than {MAX_SECRET_BYTES} bytes")
    return content


def _check_regular(file: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{file} is not a regular file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A secret, given in place or in a file that is read when it is needed; never shown by ``repr``."""

    value: str | None = field(default=None, repr=False)
    file: Path | None = None

    def read(self) -> str:
        """Return the secret; white space around a file's content is dropped, as Prometheus does.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is no regular file, too large or not UTF-8.
        """
        if self.value is not None:
            return self.value
        if self.file is None:
            return ""
        return read_regular(self.file).decode("utf-8").strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicLogin:
    """User name and password, sent as HTTP basic authentication in UTF-8."""

    username: str
    password: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogin:
    """An ``Authorization`` header of the given type, for example ``Bearer`` (OAuth 2.0, ONTAP 9.14.1)."""

    type: str = "Bearer"
    credentials: Secret


Login = BasicLogin | TokenLogin | None
"""``None``: a client certificate is the only identification, or there is none."""


class TlsVersion(StrEnum):
    """The lowest TLS version that is accepted, in Prometheus's spelling."""

    TLS12 = "TLS12"  # TLS 1.2, every ONTAP 9 that has a REST API
    TLS13 = "TLS13"  # TLS 1.3, ONTAP 9.11.1 and newer


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How a cluster's certificate is checked and which one is shown to it."""

    ca_file: Path | None = None
    """PEM file of the authorities to trust; without one, those of the system."""
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = None
    """The name that the certificate must bear, and that is sent as SNI, in place of the address's host."""
    insecure_skip_verify: bool = False
    min_version: TlsVersion = TlsVersion.TLS12

    @property
    def certificate_files(self) -> tuple[Path, ...]:
        """The files that identify us to the cluster."""
        return tuple(file for file in (self.cert_file, self.key_file) if file is not None)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that is named."""
        return tuple(file for file in (self.ca_file, self.cert_file, self.key_file) if file is not None)
