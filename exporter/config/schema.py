"""The models of a configuration file: which keys there are, and what one value by itself may be.

A default of a field is the default of the key. What takes two values to check is in
:mod:`exporter.config.checks`.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from exporter.config.database_url import DEFAULT_DATABASE_URL, DatabaseUrl, parse_database_url
from exporter.config.problems import BadValueError, show_key
from exporter.config.values import (
    check_credentials,
    check_file_pattern,
    check_glob,
    check_name,
    check_password,
    check_username,
    parse_address,
    parse_duration,
    parse_host,
    parse_schedule,
)
from exporter.ontap.endpoint import Endpoint, Secret, TlsVersion

_ValueT = TypeVar("_ValueT")

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_DIGITS: Final = re.compile(r"[0-9]{1,18}")
_LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OWN_LABELS: Final = frozenset(
    {
        "cluster",
        "name",
        "uuid",
        "ontap_version",
        "version",
        "reason",
        "policy",
        "outcome",
        "code",
        "method",
        "le",
    }
)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "text is expected")
    return str(value)


def _filled(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    return value


def _path(value: object, info: ValidationInfo) -> Path:
    return _folder(info) / _filled(_text(value))


def _database_url(value: object, info: ValidationInfo) -> DatabaseUrl:
    return parse_database_url(_text(value), _folder(info))


def _folder(info: ValidationInfo) -> Path:
    """Return where relative paths begin, which whoever validates passes as the context."""
    return Path(info.context or "")


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


def _something(value: object) -> object:
    if value is None:
        raise ValueError("nothing stands behind the colon")
    return value


Maybe = Annotated[_ValueT | None, BeforeValidator(_something)]
"""``None`` where the key is left out; the key with nothing behind the colon is a mistake."""
EmptyMapping = BeforeValidator(lambda value: {} if value is None else value)
"""All keys of a mapping may be commented out."""
EmptyList = BeforeValidator(lambda value: [] if value is None else value)

Text = Annotated[str, AfterValidator(_filled)]
Name = Annotated[str, AfterValidator(check_name)]
Glob = Annotated[str, AfterValidator(check_glob)]
FilePattern = Annotated[str, AfterValidator(check_file_pattern)]
FileName = Annotated[Path, PlainValidator(_path)]
"""Absolute; a relative one begins in the folder of the file that names it."""
Number = Annotated[int, BeforeValidator(_number)]
Count = Annotated[Number, Field(ge=1, le=100_000)]
ReturnTimeout = Annotated[Number, Field(ge=0, le=120)]
Truth = Annotated[bool, BeforeValidator(_truth)]
DurationOrZero = Annotated[timedelta, PlainValidator(_duration)]
Duration = Annotated[DurationOrZero, AfterValidator(_positive)]
Address = Annotated[Endpoint, PlainValidator(lambda value: parse_address(_text(value)))]
LabelChoice = dict[Annotated[str, AfterValidator(_label_name)], str]
Labels = Annotated[LabelChoice, EmptyMapping]
GroupLabels = Annotated[dict[Annotated[str, AfterValidator(_group_label_name)], str], EmptyMapping]
Password = Annotated[Secret, PlainValidator(lambda value: Secret(value=check_password(_text(value))))]
Credentials = Annotated[Secret, PlainValidator(lambda value: Secret(value=check_credentials(_text(value))))]


class Shape(BaseModel):
    """A mapping with these keys and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)
    home: ClassVar[str] = ""
    """Where such a mapping stands, for hints about keys that belong there."""
    exclusive: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Keys that exclude each other: in one mapping a mistake; a nearer layer's replaces the other one."""


class BasicAuth(Shape):
    """User name and password."""

    home = "under basic_auth"
    exclusive = (("password", "password_file"),)
    username: Maybe[Annotated[str, AfterValidator(check_username)]] = None
    password: Maybe[Password] = None
    password_file: Maybe[FileName] = None


class Authorization(Shape):
    """An ``Authorization`` header."""

    home = "under authorization"
    exclusive = (("credentials", "credentials_file"),)
    type: Annotated[str, AfterValidator(_authorization_type)] = "Bearer"
    credentials: Maybe[Credentials] = None
    credentials_file: Maybe[FileName] = None


class TlsConfig(Shape):
    """Whom to trust, and which certificate to show."""

    home = "under tls_config"
    ca_file: Maybe[FileName] = None
    cert_file: Maybe[FileName] = None
    key_file: Maybe[FileName] = None
    server_name: Maybe[Annotated[str, AfterValidator(parse_host)]] = None
    insecure_skip_verify: Truth = False
    min_version: Annotated[TlsVersion, PlainValidator(_tls_version)] = TlsVersion.TLS12


class Settings(Shape):
    """What ``defaults``, a profile and a cluster's own entry can all say; each may leave out anything."""

    home = "in defaults, in a profile or in an entry of clusters"
    exclusive = (("authorization", "basic_auth"),)
    poll_interval: Duration = timedelta(minutes=5)
    poll_timeout: Duration = timedelta(minutes=1)
    return_timeout: ReturnTimeout = 15
    max_records: Annotated[Number, Field(ge=1, le=10_000)] = 500
    stale_after: Maybe[Duration] = None
    basic_auth: Maybe[BasicAuth] = None
    authorization: Maybe[Authorization] = None
    tls_config: TlsConfig = TlsConfig()
    allow_http: Truth = False
    labels: Labels = Field(default_factory=dict)


class ClusterEntry(Settings):
    """One entry of ``clusters``; ``address`` must be there, which :mod:`exporter.config.checks` checks."""

    home = "in an entry of clusters"
    name: Maybe[Name] = None
    address: Maybe[Address] = None
    profile: Maybe[Name] = None


class TargetGroup(Shape):
    """One group of Prometheus's file_sd.

    Source: https://prometheus.io/docs/prometheus/latest/configuration/configuration/ (``file_sd_config``).
    """

    home = "in a file of cluster_files"
    targets: list[Address] = []
    labels: GroupLabels = {}


class ClusterChoice(Shape):
    """For which clusters a policy is."""

    home = "under clusters of a policy"
    names: Maybe[Annotated[list[Glob], AfterValidator(_some_names)]] = None
    labels: LabelChoice = {}


class PolicyEntry(Shape):
    """One entry of ``policies``; ``name`` must be there, which :mod:`exporter.config.checks` checks."""

    home = "in an entry of cleanup.policies"
    exclusive = (("schedule", "every"),)
    name: Maybe[Name] = None
    clusters: ClusterChoice = ClusterChoice()
    schedule: Maybe[Annotated[str, AfterValidator(parse_schedule)]] = None
    every: Maybe[Annotated[DurationOrZero, AfterValidator(_at_least_a_second)]] = None
    timezone: Name = "UTC"
    keep_newest: Maybe[Annotated[Number, AfterValidator(_kept), Field(le=100_000)]] = None
    older_than: Maybe[Duration] = None
    include: Annotated[list[Glob], AfterValidator(_some_versions)] = ["*"]
    exclude: list[Glob] = []
    seen_for: DurationOrZero = timedelta(days=7)
    start_within: Duration = timedelta(hours=1)
    stop_after_failures: Annotated[Number, Field(ge=0, le=100_000)] = 3
    approved_plan: Maybe[FileName] = None
    approval_valid_for: Duration = timedelta(days=14)
    max_deletes_per_run: Count = 5
    dry_run: Truth = True
    return_timeout: ReturnTimeout = 0
    job_timeout: Duration = timedelta(minutes=30)
    retry_busy_for: DurationOrZero = timedelta(minutes=30)


class Cleanup(Shape):
    """What deletes packages, and where the journal is kept."""

    home = "under cleanup"
    state: Annotated[DatabaseUrl, PlainValidator(_database_url)] = Field(
        default=DEFAULT_DATABASE_URL, validate_default=True
    )
    max_concurrent_clusters: Count = 4
    takeover_after: Annotated[Duration, AfterValidator(_at_least_a_second)] = timedelta(seconds=30)
    max_deletes_per_day: Maybe[Count] = None
    policies: list[PolicyEntry] = []


class Root(Shape):
    """A whole file; each pattern is validated by itself, as a :data:`FilePattern`."""

    home = "at the top of the configuration file"
    defaults: Annotated[Settings, EmptyMapping] = Settings()
    profiles: Annotated[dict[str, Annotated[Settings, EmptyMapping]], EmptyMapping] = {}
    clusters: Annotated[list[ClusterEntry], EmptyList] = []
    cluster_files: Annotated[list[Any], EmptyList] = []
    max_concurrent_polls: Count = 64
    cleanup: Annotated[Cleanup | None, EmptyMapping] = None
