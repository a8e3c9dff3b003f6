"""The shape of a configuration file: which keys there are, and what one value by itself may be.

What takes two values to tell is checked in :mod:`exporter.config.layers` and later.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator

from exporter.config.address import parse_address, parse_host
from exporter.config.durations import parse_duration
from exporter.config.login import CONTROL_CHARACTERS, check_credentials, check_password
from exporter.config.patterns import check_pattern
from exporter.config.problems import BadValueError
from exporter.config.schedules import parse_schedule
from exporter.config.state import check_state
from exporter.ontap.endpoint import Endpoint, TlsVersion

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_DIGITS: Final = re.compile(r"[0-9]{1,18}")
# As fnmatch reads it: a ] that comes first is one of the characters.
_CHARACTER_CLASS: Final = re.compile(r"\[!?+\]?+[^\]]*+\]")


def _duration(value: object) -> timedelta:
    match value:
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
    """Let a number come out of an environment variable."""
    return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value


def _truth(value: object) -> object:
    """Let a truth value come out of an environment variable."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _filled(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    return value


def _name(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    if value != value.strip() or CONTROL_CHARACTERS.search(value):
        raise ValueError("must not begin or end with white space, nor hold a control character")
    return value


def _glob(value: str) -> str:
    if "[" in _CHARACTER_CLASS.sub("", value):
        raise BadValueError("a [ without a closing ]: ", value, "; write [[] for a literal [")
    return value


def _some_names(value: list[str]) -> list[str]:
    if not value:
        raise ValueError("an empty list matches no name; leave it out where every cluster is meant")
    return value


def _some_versions(value: list[str]) -> list[str]:
    if not value:
        raise ValueError("an empty list matches no version; leave it out where every version is meant")
    return value


def _kept(value: int) -> int:
    if value < 1:
        raise ValueError("must be at least 1; leave it out where no version is kept for being new")
    return value


def _username(value: str) -> str:
    if ":" in value:
        raise ValueError("a user name cannot hold a colon (RFC 7617)")
    if CONTROL_CHARACTERS.search(value):
        raise ValueError("a user name cannot hold a control character (RFC 7617)")
    return value


def _authorization_type(value: str) -> str:
    if value.lower() == "basic":
        raise ValueError("a user name and a password stand under basic_auth")
    if not _TOKEN.fullmatch(value):
        raise ValueError("one word is expected, such as Bearer; what follows it stands under credentials")
    return value


def _tls_version(value: object) -> TlsVersion:
    match value:
        case "TLS12" | "TLS13":
            return TlsVersion(value)
        case "TLS10" | "TLS11":
            raise ValueError("versions before TLS 1.2 are not supported; TLS12 or TLS13")
        case _:
            raise ValueError("TLS12 or TLS13 is expected")


def _address(value: object) -> Endpoint:
    if not isinstance(value, str):
        raise ValueError("text is expected; put quotation marks around it")  # noqa: TRY004  pydantic's way
    return parse_address(value)


def check_file_pattern(value: str) -> str:
    """Return a good entry of ``cluster_files``.

    Raises:
        ValueError: it is none.
    """
    return check_pattern(_glob(_name(value)))


DurationOrZero = Annotated[timedelta, PlainValidator(_duration)]
Duration = Annotated[DurationOrZero, AfterValidator(_positive)]
Number = Annotated[int, BeforeValidator(_number)]
Truth = Annotated[bool, BeforeValidator(_truth)]
Text = Annotated[str, AfterValidator(_filled)]
FileName = Text
Name = Annotated[str, AfterValidator(_name)]
Glob = Annotated[Name, AfterValidator(_glob)]
Count = Annotated[Number, Field(ge=1, le=100_000)]


class Shape(BaseModel):
    """A mapping with these keys and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class BasicAuth(Shape):
    """User name and password."""

    username: Annotated[Text, AfterValidator(_username)] | None = None
    password: Annotated[str, AfterValidator(check_password)] | None = Field(default=None, repr=False)
    password_file: FileName | None = None


class Authorization(Shape):
    """An ``Authorization`` header."""

    type: Annotated[str, AfterValidator(_authorization_type)] | None = None
    credentials: Annotated[str, AfterValidator(check_credentials)] | None = Field(default=None, repr=False)
    credentials_file: FileName | None = None


class TlsConfig(Shape):
    """Whom to trust, and which certificate to show."""

    ca_file: FileName | None = None
    cert_file: FileName | None = None
    key_file: FileName | None = None
    server_name: Annotated[str, AfterValidator(parse_host)] | None = None
    insecure_skip_verify: Truth | None = None
    min_version: Annotated[TlsVersion, PlainValidator(_tls_version)] | None = None


class Settings(Shape):
    """What ``defaults``, a profile and a cluster's own entry can all say; each may leave out anything."""

    poll_interval: Duration | None = None
    poll_timeout: Duration | None = None
    return_timeout: Annotated[Number, Field(ge=0, le=120)] | None = None
    max_records: Annotated[Number, Field(ge=1, le=10_000)] | None = None
    stale_after: Duration | None = None
    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    tls_config: TlsConfig | None = None
    allow_http: Truth | None = None
    labels: dict[str, str] | None = None


class ClusterEntry(Settings):
    """One entry of ``clusters``; ``address`` must be there, which its reader checks."""

    name: Name | None = None
    address: Annotated[Endpoint, PlainValidator(_address)] | None = None
    profile: Name | None = None


class TargetGroup(Shape):
    """One group of Prometheus's file_sd; its reader checks the targets one by one.

    Source: https://prometheus.io/docs/prometheus/latest/configuration/configuration/ (``file_sd_config``).
    """

    targets: list[Any] | None = None
    labels: dict[str, str] | None = None


class ClusterChoice(Shape):
    """For which clusters a policy is."""

    names: Annotated[list[Glob], AfterValidator(_some_names)] | None = None
    labels: dict[str, str] | None = None


class PolicyEntry(Shape):
    """One entry of ``policies``; ``name`` must be there, which its reader checks."""

    name: Name | None = None
    clusters: ClusterChoice | None = None
    schedule: Annotated[str, AfterValidator(parse_schedule)] | None = None
    every: Annotated[DurationOrZero, AfterValidator(_at_least_a_second)] | None = None
    timezone: Name | None = None
    keep_newest: Annotated[Number, AfterValidator(_kept), Field(le=100_000)] | None = None
    older_than: Duration | None = None
    include: Annotated[list[Glob], AfterValidator(_some_versions)] | None = None
    exclude: list[Glob] | None = None
    max_deletes_per_run: Count | None = None
    dry_run: Truth | None = None
    return_timeout: Annotated[Number, Field(ge=0, le=120)] | None = None
    job_timeout: Duration | None = None
    retry_busy_for: DurationOrZero | None = None


class Outline(Shape):
    """A mapping of sections, which are read one by one, so that each has its own mistakes."""


class Cleanup(Outline):
    """What deletes packages; ``policies`` must be there, which its reader checks."""

    state: Annotated[str, AfterValidator(check_state)] | None = None
    max_concurrent_clusters: Count | None = None
    policies: list[Any] | None = None


class Root(Outline):
    """A whole file."""

    defaults: Any = None
    profiles: dict[str, Any] | None = None
    clusters: list[Any] | None = None
    cluster_files: list[Any] | None = None
    max_concurrent_polls: Count | None = None
    cleanup: Any = None


NESTED: Final[Mapping[str, type[Shape]]] = MappingProxyType(
    {"basic_auth": BasicAuth, "authorization": Authorization, "tls_config": TlsConfig}
)
"""The mappings within :class:`Settings`, by their key."""
