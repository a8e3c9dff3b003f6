"""The shape of a web configuration file: its keys, and the values that each may have.

As in exporter-toolkit, a key with nothing behind its colon, or with empty text, is as if it were left out.
Source: https://github.com/prometheus/exporter-toolkit/blob/master/web/tls_config.go
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from enum import StrEnum
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, model_validator

from exporter.config.checking import named_files
from exporter.config.fields import (
    Boolean,
    FileName,
    Number,
    SupportedTlsVersion,
    Text,
    expect_text,
    parse_duration_or_zero,
)
from exporter.config.schema import StrictModel, where_keys_belong
from exporter.ontap.cluster_settings import TlsVersion


class ClientAuth(StrEnum):
    """Whether a client must show a certificate, in the words of Go's ``crypto/tls``."""

    NONE = "NoClientCert"  # no certificate is requested
    IF_GIVEN = "VerifyClientCertIfGiven"  # a certificate is optional, but a wrong one is refused
    REQUIRED = "RequireAndVerifyClientCert"  # a valid certificate is required


_KEY_EXCHANGES: Final = ("ECDSA", "RSA")
CIPHERS: Final[Mapping[str, str]] = {
    f"TLS_ECDHE_{signature}_WITH_{name}": f"ECDHE-{signature}-{openssl}"
    for signature in _KEY_EXCHANGES
    for name, openssl in (
        ("AES_128_CBC_SHA", "AES128-SHA"),
        ("AES_256_CBC_SHA", "AES256-SHA"),
        ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
    )
}
"""OpenSSL's names of the suites that Go's ``tls.CipherSuites`` has for TLS 1.2."""
TLS13_CIPHERS: Final = frozenset(
    {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
)
"""The suites that TLS 1.3 always offers, in Go and in Python."""
CURVES: Final[Mapping[str, str]] = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
"""OpenSSL's names of the curves that exporter-toolkit knows."""
HIGHEST_COST: Final = 15
"""At this cost, checking a password takes seconds, and the end of the program waits for it."""
_HASH: Final = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_LOWEST_COST: Final = 4
_HEADERS: Final[Mapping[str, frozenset[str]]] = {
    "Content-Security-Policy": frozenset(),
    "Strict-Transport-Security": frozenset(),
    "X-Content-Type-Options": frozenset({"nosniff"}),
    "X-Frame-Options": frozenset({"deny", "sameorigin"}),
    "X-XSS-Protection": frozenset(),
}
"""The headers that can be set, and the values that they may have; none: any."""
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]*")
_INSTEAD: Final[Mapping[str, ClientAuth]] = {
    "RequestClientCert": ClientAuth.IF_GIVEN,
    "RequireAnyClientCert": ClientAuth.REQUIRED,
    "RequireClientCert": ClientAuth.REQUIRED,
}
_NANOSECONDS: Final[Mapping[str, int]] = {
    "ns": 1,
    **dict.fromkeys(("us", "\N{MICRO SIGN}s", "\N{GREEK SMALL LETTER MU}s"), 1000),
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3600 * 1_000_000_000,
}
_LONGEST_NANOSECONDS: Final = 2**63 - 1
_GO_PART: Final = re.compile(rf"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)({'|'.join(_NANOSECONDS)})")
_GO_DURATION: Final = re.compile(rf"\+?(?:{_GO_PART.pattern})+")


def _client_auth(value: str) -> ClientAuth:
    if value in _INSTEAD:
        raise ValueError(f"Python's TLS verifies each certificate that it asks for; write {_INSTEAD[value]}")
    if value not in set(ClientAuth):
        raise ValueError(f"{', '.join(list(ClientAuth)[:-1])} or {list(ClientAuth)[-1]} is expected")
    return ClientAuth(value)


def _one_of(names: Collection[str], *, also: Collection[str] = ()) -> AfterValidator:
    """Accept a name of these; an error does not offer those that are accepted ``also``."""

    def check(value: str) -> str:
        if value not in names and value not in also:
            raise ValueError(f"one of these is expected: {', '.join(names)}")
        return value

    return AfterValidator(check)


def _one_curve(value: list[str]) -> list[str]:
    if len(value) > 1:
        raise ValueError("Python's TLS takes one curve, not a list of preferences; name one or none")
    return value


def check_header(name: str, value: str) -> None:
    """Check that a header can be set, and to this value.

    Raises:
        ValueError: it cannot; the message says why.
    """
    if name not in _HEADERS:
        raise ValueError(f"only these headers can be set: {', '.join(_HEADERS)}")
    if not _HEADER_VALUE.fullmatch(value):
        raise ValueError("a header's value is made of printable ASCII characters")
    if value and _HEADERS[name] and value not in _HEADERS[name]:
        raise ValueError(f"{' or '.join(sorted(_HEADERS[name]))} is expected")


def _hash(value: str) -> str:
    """Accept a hash of bcrypt. An error message holds no part of the value."""
    if not value:
        raise ValueError("the hash is missing; is there a space after the colon?")
    match = _HASH.fullmatch(value)
    if match is None:
        raise ValueError(
            "not a hash of bcrypt, which has 60 characters and begins with $2a$, $2b$ or $2y$; "
            "a password in plain text is not accepted"
        )
    if not _LOWEST_COST <= int(match[1]) <= HIGHEST_COST:
        raise ValueError(f"the cost of the hash is not {_LOWEST_COST} to {HIGHEST_COST}")
    import bcrypt  # noqa: PLC0415 - loaded only if there are passwords to check

    try:
        # The cheapest hash with the same salt shows whether the library can read the salt.
        bcrypt.hashpw(b"", b"$2b$04$" + value[7:29].encode())
    except ValueError:
        raise ValueError("not a hash of bcrypt: its salt cannot be read") from None
    return value


def _duration(value: object) -> timedelta:
    """Return a duration as Go writes it, or as Prometheus does."""
    if not isinstance(value, str) or not _GO_DURATION.fullmatch(value):
        return parse_duration_or_zero(value)
    parts = _GO_PART.findall(value)
    nanoseconds = sum(Fraction(number) * _NANOSECONDS[unit] for number, unit in parts)
    if nanoseconds > _LONGEST_NANOSECONDS:
        raise ValueError("a duration of more than 292 years")
    # What is shorter than a microsecond is still not 0, which means something else.
    return timedelta(microseconds=ceil(nanoseconds / 1000))


_TlsVersion = Annotated[SupportedTlsVersion, BeforeValidator(expect_text)]


class _Section(StrictModel):
    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, values: object) -> object:
        """Leave out the keys with nothing, or with empty text."""
        if not isinstance(values, dict):
            return values
        known = cls.model_fields
        return {key: value for key, value in values.items() if key not in known or value not in (None, "")}

    @classmethod
    def where_others_belong(cls) -> Mapping[str, str]:
        return _WHERE


class TlsServerConfig(_Section):
    """How connections are encrypted, and which clients are let in.

    The loader checks that certificate and key are there, and puts the contents of the files in place of their
    names: two of these are equal only if nothing has changed.
    """

    where = "under tls_server_config"
    exclusive = (("cert", "cert_file"), ("key", "key_file"), ("client_ca", "client_ca_file"))
    content_checks: ClassVar[Mapping[str, Callable[..., str | None]]] = {
        "cert_file": named_files.check_readable,
        "key_file": named_files.check_private_key,
        "client_ca": named_files.check_authority,
        "client_ca_file": named_files.check_authority,
    }
    cert: str | None = None
    key: str | None = Field(default=None, repr=False)
    client_ca: str | None = None
    cert_file: FileName | None = None
    key_file: FileName | None = None
    client_ca_file: FileName | None = None
    client_auth_type: Annotated[ClientAuth, PlainValidator(_client_auth), BeforeValidator(expect_text)] = (
        ClientAuth.NONE
    )
    client_allowed_sans: list[Text] | None = None
    """A client's certificate must have one of these names, addresses or URIs."""
    min_version: _TlsVersion = TlsVersion.TLS12
    max_version: _TlsVersion = TlsVersion.TLS13
    cipher_suites: list[Annotated[str, _one_of(sorted(CIPHERS), also=TLS13_CIPHERS)]] | None = None
    curve_preferences: Annotated[list[Annotated[str, _one_of(CURVES)]], AfterValidator(_one_curve)] | None = (
        None
    )
    prefer_server_cipher_suites: Boolean = True

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are named."""
        return tuple(file for file in (self.cert_file, self.key_file, self.client_ca_file) if file)


class HttpServerConfig(_Section):
    """The settings of HTTP; the loader checks the headers."""

    where = "under http_server_config"
    http2: Boolean | None = None
    headers: dict[str, str] | None = None


class RateLimitConfig(_Section):
    """A request every ``interval`` on average, and up to ``burst`` at once; an interval of 0 is no limit.

    With an interval, it needs a burst, which the loader checks.
    """

    where = "under rate_limit"
    interval: Annotated[timedelta, PlainValidator(_duration)] = timedelta(0)
    burst: Annotated[Number, Field(ge=0, le=2**63 - 1)] = 0


class WebRoot(_Section):
    """A whole file."""

    where = "at the top of the file"
    unsupported: ClassVar[Mapping[str, str]] = {
        "ip_socket_config": "the system decides about these fields of packets"
    }
    tls_server_config: TlsServerConfig | None = None
    http_server_config: HttpServerConfig | None = None
    basic_auth_users: dict[str, Annotated[str, AfterValidator(_hash)]] | None = None
    """The hash of every user's password."""
    rate_limit: RateLimitConfig | None = None


_WHERE: Final = where_keys_belong(TlsServerConfig, HttpServerConfig, RateLimitConfig, WebRoot)
