"""The types of the fields of the :mod:`~exporter.config.schema`: what one value by itself may be."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from exporter.config.problems import SECRET, BadValueError, show_key
from exporter.config.reading.database_url import DatabaseUrl, parse_database_url
from exporter.config.reading.proxy import parse_proxy_url
from exporter.config.reading.values import (
    check_file_pattern,
    check_glob,
    check_name,
    check_timezone,
    parse_address,
    parse_duration,
    parse_host,
    parse_schedule,
)
from exporter.ontap.cluster_settings import (
    Endpoint,
    Proxy,
    Secret,
    TlsVersion,
    check_credentials,
    check_header_value,
    check_password,
    check_username,
)

_ValueT = TypeVar("_ValueT")

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_DIGITS: Final = re.compile(r"[0-9]{1,18}")
_LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_TOKEN_URL: Final = re.compile(r"(?P<origin>https?://[^/?#\\@\s]+)(?:/[!-~]*)?(?<!#)", re.IGNORECASE)
# Not a file's name, but what belongs in a file, such as a private key or a hash; no message may quote it.
_CONTENT: Final = re.compile(rf"[\n\r]|{SECRET.pattern}")
# What decides about the connection or the method, or what the client itself sets.
_RESERVED_HEADERS: Final = frozenset(
    {
        *("accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type"),
        *("expect", "host", "keep-alive", "proxy-authenticate", "te", "trailer", "transfer-encoding"),
        *("upgrade", "user-agent", "www-authenticate"),
        *("x-http-method", "x-http-method-override", "x-method-override"),
    }
)
_OWN_LABELS: Final = frozenset(
    {
        *("cluster", "name", "uuid", "ontap_version", "version", "reason", "policy", "outcome", "code"),
        *("method", "le", "pending_version", "sort_key", "state", "train", "verdict"),
    }
)


def expect_text(value: object) -> str:
    """Return a value that is text."""
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "text is expected")
    return str(value)


def _filled(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    return value


def _secret(check: Callable[[str], str]) -> PlainValidator:
    return PlainValidator(lambda value: Secret(value=check(expect_text(value))))


def _path(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value
    name = _filled(expect_text(value))
    if _CONTENT.search(name):
        raise ValueError("the name of a file is expected, not its content")
    return _folder(info) / name


def _database_url(value: object, info: ValidationInfo) -> DatabaseUrl:
    return value if isinstance(value, DatabaseUrl) else parse_database_url(expect_text(value), _folder(info))


def _folder(info: ValidationInfo) -> Path:
    """Return the folder in which relative paths begin; the caller of the validation passes it as context."""
    return Path(info.context or "")


def parse_duration_or_zero(value: object) -> timedelta:
    """Return the duration that a value of a file writes; a plain 0 needs no unit."""
    match value:
        case timedelta():
            return value
        case str():
            return parse_duration(value)
        case int() if value == 0 and value is not False:
            return timedelta(0)
        case int() | float() if not isinstance(value, bool):
            raise BadValueError("a duration has a unit: ", value, "; write e.g. 30s, 5m, 1h30m")
        case _:
            raise ValueError("a duration is expected; write e.g. 30s, 5m, 1h30m")


def _positive(value: timedelta) -> timedelta:
    if not value:
        raise ValueError("must be longer than 0")
    return value


def _at_least_a_second(value: timedelta) -> timedelta:
    if value < timedelta(seconds=1):
        raise ValueError("must be at least 1s")
    return value


def _number(value: object) -> object:
    """Read a number also from text: an environment variable holds nothing else."""
    return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value


def _boolean(value: object) -> object:
    """Read true and false also from text: an environment variable holds nothing else."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _not_empty(name: str, whole: str) -> WrapValidator:
    """Say of an empty list what leaving it out means: more than nothing."""

    def check(value: object, validate: ValidatorFunctionWrapHandler) -> object:
        if value == []:
            raise ValueError(f"an empty list matches no {name}; leave it out where every {whole} is meant")
        return validate(value)

    return WrapValidator(check)


def _check_keep_newest(value: int) -> int:
    if value < 1:
        raise ValueError("must be at least 1; to keep no version because it is new, leave the key out")
    return value


def _authorization_type(value: str) -> str:
    if value.lower() == "basic":
        raise ValueError("a user name and a password belong under basic_auth")
    if not _TOKEN.fullmatch(value):
        raise ValueError("one word is expected, such as Bearer; what follows it belongs under credentials")
    return value


def _tls_version(value: object) -> TlsVersion:
    match value:
        case "TLS12" | "TLS13":
            return TlsVersion(value)
        case "TLS10" | "TLS11":
            raise ValueError("versions before TLS 1.2 are not supported; TLS12 or TLS13")
        case _:
            raise ValueError("TLS12 or TLS13 is expected")


def _label_name(value: str) -> str:
    if not _LABEL_NAME.fullmatch(value):
        message = "a label's name is made of letters, digits and _, and begins with no digit"
        raise ValueError(f"{message}: {show_key(value)}")
    if value.startswith("__"):
        raise ValueError("a label's name that begins with __ is Prometheus's own")
    if value in _OWN_LABELS:
        raise ValueError("the exporter itself sets this label")
    return value


def _group_label_name(value: str) -> str:
    """Accept the labels that Prometheus drops, too."""
    return value if value.startswith("__") else _label_name(value)


def _header_name(value: str) -> str:
    if not _TOKEN.fullmatch(value):
        raise ValueError("a header's name is made of letters, digits and hyphens")
    return value


def _free_header_name(value: str) -> str:
    name = _header_name(value).lower()
    if name == "authorization":
        raise ValueError("a login belongs under basic_auth, authorization or oauth2")
    if name == "proxy-authorization":
        raise ValueError("a proxy's login stands in proxy_url")
    if name in _RESERVED_HEADERS or name.startswith("x-prometheus-"):
        raise ValueError("this header cannot be set")
    return value


def _proxy_url(value: object) -> Proxy | Literal[""]:
    if isinstance(value, Proxy):
        return value
    return parse_proxy_url(text) if (text := expect_text(value)) else ""


def _token_url(value: str) -> str:
    url = _TOKEN_URL.fullmatch(value)
    if url is None:
        raise ValueError("write https://host/path or https://host:port/path")
    parse_address(url["origin"])
    return value


def _something(value: object) -> object:
    if value is None:
        raise ValueError("the key has no value; leave it out to use the default")
    return value


Maybe = Annotated[_ValueT | None, BeforeValidator(_something)]
"""None where the key is left out; a key with nothing behind the colon is a mistake."""
EmptyMapping = BeforeValidator(lambda value: {} if value is None else value)
"""All keys of a mapping may be commented out."""
EmptyList = BeforeValidator(lambda value: [] if value is None else value)

Text = Annotated[str, AfterValidator(_filled)]
Username = Annotated[str, AfterValidator(check_username)]
Host = Annotated[str, AfterValidator(parse_host)]
Name = Annotated[str, AfterValidator(check_name)]
Glob = Annotated[str, AfterValidator(check_glob)]
FilePattern = Annotated[str, AfterValidator(check_file_pattern)]
Globs = Annotated[list[Glob], Field(min_length=1)]
ClusterGlobs = Annotated[Globs, _not_empty("name", "cluster")]
VersionGlobs = Annotated[Globs, _not_empty("version", "version")]
FileName = Annotated[Path, PlainValidator(_path)]
"""Absolute; a relative one begins in the folder of the file that names it."""
Number = Annotated[int, BeforeValidator(_number)]
Count = Annotated[Number, Field(ge=1, le=100_000)]
KeepNewest = Annotated[Number, AfterValidator(_check_keep_newest), Field(le=100_000)]
ReturnTimeout = Annotated[Number, Field(ge=0, le=120)]
Boolean = Annotated[bool, BeforeValidator(_boolean)]
DurationOrZero = Annotated[timedelta, PlainValidator(parse_duration_or_zero)]
Duration = Annotated[DurationOrZero, AfterValidator(_positive)]
LongDuration = Annotated[DurationOrZero, AfterValidator(_at_least_a_second)]
TimeZone = Annotated[Name, AfterValidator(check_timezone)]
Schedule = Annotated[str, AfterValidator(parse_schedule)]
JournalUrl = Annotated[DatabaseUrl, PlainValidator(_database_url)]
Address = Annotated[Endpoint, PlainValidator(lambda value: parse_address(expect_text(value)))]
LabelSelector = dict[Annotated[str, AfterValidator(_label_name)], str]
Labels = Annotated[LabelSelector, EmptyMapping]
GroupLabels = Annotated[dict[Annotated[str, AfterValidator(_group_label_name)], str], EmptyMapping]
AuthorizationType = Annotated[str, AfterValidator(_authorization_type)]
SupportedTlsVersion = Annotated[TlsVersion, PlainValidator(_tls_version)]
HeaderName = Annotated[str, AfterValidator(_free_header_name)]
ConnectHeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[str, AfterValidator(check_header_value)]
SecretText = Annotated[Secret, _secret(_filled)]
SecretHeaderValue = Annotated[Secret, _secret(check_header_value)]
Password = Annotated[Secret, _secret(check_password)]
Credentials = Annotated[Secret, _secret(check_credentials)]
ProxyUrl = Annotated[Proxy | Literal[""], PlainValidator(_proxy_url)]
"""Empty text is no proxy, as in Prometheus: a cluster may need none where the defaults have one."""
TokenUrl = Annotated[str, AfterValidator(_token_url)]
