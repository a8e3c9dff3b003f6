"""The shape of a web configuration file: its keys, and the values that each may have."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator
from pydantic_core import PydanticCustomError

from exporter.config.fields import DurationOrZero, FileName, Maybe, Number, Text, Truth
from exporter.config.schema import Shape
from exporter.config.validation import homes
from exporter.ontap.endpoint import TlsVersion
from exporter.web.auth.tls_context import CIPHERS, CURVES, TLS13_CIPHERS, takes_curve
from exporter.web.auth.web_config import ClientAuth

HIGHEST_COST: Final = 15
"""At this cost, checking a password takes seconds, and the end of the program waits for it."""
_HASH: Final = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_LOWEST_COST: Final = 4
_HEADERS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "Content-Security-Policy": frozenset(),
        "Strict-Transport-Security": frozenset(),
        "X-Content-Type-Options": frozenset({"nosniff"}),
        "X-Frame-Options": frozenset({"deny", "sameorigin"}),
        "X-XSS-Protection": frozenset(),
    }
)
"""The headers that can be set, and the values that they may have; none: any."""
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]*")
_INSTEAD: Final[Mapping[str, ClientAuth]] = MappingProxyType(
    {
        "RequestClientCert": ClientAuth.IF_GIVEN,
        "RequireAnyClientCert": ClientAuth.REQUIRED,
        "RequireClientCert": ClientAuth.REQUIRED,
    }
)
_ANY_KEY: Final = ConfigDict(extra="allow", frozen=True, strict=True, hide_input_in_errors=True)


def _word(value: object) -> str:
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "text is expected")
    return str(value)


def _client_auth(given: object) -> ClientAuth:
    value = _word(given)
    if value in _INSTEAD:
        raise ValueError(f"Python's TLS verifies each certificate that it asks for; write {_INSTEAD[value]}")
    if value not in set(ClientAuth):
        raise ValueError(f"{', '.join(list(ClientAuth)[:-1])} or {list(ClientAuth)[-1]} is expected")
    return ClientAuth(value)


def _tls_version(given: object) -> TlsVersion:
    value = _word(given)
    if value in {"TLS10", "TLS11"}:
        raise ValueError("versions before TLS 1.2 are not supported; TLS12 or TLS13")
    if value not in set(TlsVersion):
        raise ValueError("TLS12 or TLS13 is expected")
    return TlsVersion(value)


def _cipher(value: str) -> str:
    if value not in CIPHERS and value not in TLS13_CIPHERS:
        raise ValueError(f"one of these is expected: {', '.join(sorted(CIPHERS))}")
    return value


def _curve(value: str) -> str:
    if value not in CURVES:
        raise ValueError(f"one of these is expected: {', '.join(CURVES)}")
    return value


def _one_curve(value: list[str]) -> list[str]:
    if len(value) > 1:
        raise ValueError("Python's TLS takes one curve, not a list of preferences; name one or none")
    if value and not takes_curve(CURVES[value[0]]):
        others = [name for name, openssl in CURVES.items() if takes_curve(openssl)]
        raise ValueError(
            f"Python {platform.python_version()} on this system cannot require {value[0]}, only "
            f"{', '.join(others) or 'none'}; without curve_preferences, OpenSSL chooses, X25519 first"
        )
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
    match = _HASH.fullmatch(value)
    if match is None:
        raise ValueError(
            "not a hash of bcrypt, which has 60 characters and begins with $2a$, $2b$ or $2y$; "
            "a password itself does not stand here"
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


_ClientAuth = Annotated[ClientAuth, PlainValidator(_client_auth)]
_TlsVersion = Annotated[TlsVersion, PlainValidator(_tls_version)]


class TlsServerConfig(Shape):
    """How connections are encrypted; certificate and key must be there, which the loader checks."""

    home = "under tls_server_config"
    cert: Maybe[Text] = None
    key: Maybe[Text] = Field(default=None, repr=False)
    client_ca: Maybe[Text] = None
    cert_file: Maybe[FileName] = None
    key_file: Maybe[FileName] = None
    client_ca_file: Maybe[FileName] = None
    client_auth_type: Maybe[_ClientAuth] = None
    client_allowed_sans: Maybe[list[Text]] = None
    min_version: Maybe[_TlsVersion] = None
    max_version: Maybe[_TlsVersion] = None
    cipher_suites: Maybe[list[Annotated[str, AfterValidator(_cipher)]]] = None
    curve_preferences: Maybe[
        Annotated[list[Annotated[str, AfterValidator(_curve)]], AfterValidator(_one_curve)]
    ] = None
    prefer_server_cipher_suites: Maybe[Truth] = None


class HttpServerConfig(Shape):
    """The settings of HTTP; the loader reads the headers."""

    home = "under http_server_config"
    http2: Truth | None = None
    headers: Any = None


class HttpHeaders(Shape):
    """The headers of every answer; the loader checks each."""

    model_config = _ANY_KEY
    __pydantic_extra__: dict[str, str]


class RateLimitConfig(Shape):
    """A token bucket; one of the two keys needs the other, which the loader checks."""

    home = "under rate_limit"
    interval: Maybe[DurationOrZero] = None
    burst: Maybe[Annotated[Number, Field(ge=1, le=1_000_000)]] = None


class BasicAuthUsers(Shape):
    """A hash for every user."""

    model_config = _ANY_KEY
    __pydantic_extra__: dict[str, Annotated[str, AfterValidator(_hash)]]


class WebRoot(Shape):
    """A whole file; the loader reads its sections."""

    home = "at the top of the file"
    tls_server_config: Any = None
    http_server_config: Any = None
    basic_auth_users: Any = None
    rate_limit: Any = None


HOMES: Final = homes(TlsServerConfig, HttpServerConfig, RateLimitConfig, WebRoot)
"""Where each key belongs, for keys in the wrong mapping."""
