"""The models of a configuration file: which keys there are.

The default of a field is the default of the key. :mod:`exporter.config.checking` checks values that depend
on each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from fnmatch import translate
from functools import cached_property, partial
from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field

from exporter.config import fields
from exporter.config.checking import named_files
from exporter.config.fields import Maybe
from exporter.config.reading.database_url import DEFAULT_DATABASE_URL
from exporter.ontap.cluster_settings import (
    ClusterSettings,
    TlsVersion,
    check_credentials,
    check_header_value,
    check_password,
)

_NO_MANAGER: Final = "there is no secret manager; write the key that ends in _file"


class StrictModel(BaseModel):
    """A mapping with these keys and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)
    where: ClassVar[str] = ""
    """Where such a mapping is in a file, for hints about misplaced keys."""
    exclusive: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Keys that exclude each other in one mapping; across layers, the nearer one replaces the other."""
    unsupported: ClassVar[Mapping[str, str]] = {}
    """Keys that Prometheus has here and the exporter has not, with what to do instead."""
    required: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Groups of keys: a policy, or the merged layers of a cluster, must have one key of each group."""
    content_checks: ClassVar[Mapping[str, Callable[..., str | None]]] = {}
    """By key: how the file that it names, or the content that it holds instead, is checked."""

    @classmethod
    def where_others_belong(cls) -> Mapping[str, str]:
        """Return where each key of the same file belongs, for hints about misplaced keys."""
        return _WHERE_IN_CLEANUP if cls in _INSIDE_CLEANUP else _WHERE


class BasicAuth(StrictModel):
    """User name and password."""

    where = "under basic_auth"
    exclusive = (("username", "username_file"), ("password", "password_file"))
    required = exclusive
    content_checks = {
        "username_file": named_files.check_username,
        "password_file": partial(named_files.check_secret, check=check_password),
    }
    unsupported = dict.fromkeys(("username_ref", "password_ref"), _NO_MANAGER)
    username: Maybe[fields.Username] = None
    username_file: Maybe[fields.FileName] = None
    password: Maybe[fields.Password] = None
    password_file: Maybe[fields.FileName] = None


class Authorization(StrictModel):
    """An ``Authorization`` header."""

    where = "under authorization"
    exclusive = (("credentials", "credentials_file"),)
    required = exclusive
    content_checks = {"credentials_file": partial(named_files.check_secret, check=check_credentials)}
    unsupported = {"credentials_ref": _NO_MANAGER}
    type: fields.AuthorizationType = "Bearer"
    credentials: Maybe[fields.Credentials] = None
    credentials_file: Maybe[fields.FileName] = None


class TlsConfig(StrictModel):
    """Which certificates to trust, and which one to show."""

    where = "under tls_config"
    exclusive = (("ca", "ca_file"), ("cert", "cert_file"), ("key", "key_file"))
    content_checks = {
        "ca": named_files.check_authority,
        "ca_file": named_files.check_authority,
        "cert_file": named_files.check_readable,
        "key_file": named_files.check_private_key,
    }
    unsupported = {
        **dict.fromkeys(("ca_ref", "cert_ref", "key_ref"), _NO_MANAGER),
        "max_version": "the newest version that both sides have is used",
        "next_protos": "requests are HTTP/1.1",
    }
    ca: Maybe[fields.Text] = None
    ca_file: Maybe[fields.FileName] = None
    cert: Maybe[fields.Text] = None
    cert_file: Maybe[fields.FileName] = None
    key: Maybe[fields.SecretText] = None
    key_file: Maybe[fields.FileName] = None
    server_name: Maybe[fields.Host] = None
    insecure_skip_verify: fields.Boolean = False
    min_version: fields.SupportedTlsVersion = TlsVersion.TLS12


class ProxyKeys(StrictModel):
    """Through which proxy requests go."""

    exclusive: ClassVar[tuple[tuple[str, str], ...]] = (
        ("proxy_from_environment", "proxy_url"),
        ("no_proxy", "proxy_from_environment"),
    )
    proxy_url: Maybe[fields.ProxyUrl] = None
    no_proxy: Maybe[str] = None
    proxy_from_environment: fields.Boolean = False
    proxy_connect_header: dict[fields.ConnectHeaderName, list[fields.SecretHeaderValue]] = {}


class OAuth2(ProxyKeys):
    """A client's credentials, for which a token endpoint gives a bearer token."""

    where = "under oauth2"
    exclusive = (*ProxyKeys.exclusive, ("client_secret", "client_secret_file"))
    required = (("client_id",), ("client_secret", "client_secret_file"), ("token_url",))
    content_checks = {"client_secret_file": named_files.check_secret}
    unsupported = {
        "client_secret_ref": _NO_MANAGER,
        **dict.fromkeys(
            (
                "audience",
                "claims",
                "client_certificate_key",
                "client_certificate_key_file",
                "client_certificate_key_id",
                "client_certificate_key_ref",
                "grant_type",
                "iss",
                "signature_algorithm",
            ),
            "the grant is client_credentials, with a client secret",
        ),
    }
    client_id: Maybe[fields.Text] = None
    client_secret: Maybe[fields.SecretText] = None
    client_secret_file: Maybe[fields.FileName] = None
    token_url: Maybe[fields.TokenUrl] = None
    scopes: list[fields.Text] = []
    endpoint_params: dict[str, fields.SecretText] = {}
    tls_config: TlsConfig = TlsConfig()


class HttpHeader(StrictModel):
    """The values of one header; each is sent as a header of its own."""

    where = "under a header of http_headers"
    content_checks = {"files": partial(named_files.check_secret, check=check_header_value)}
    values: list[fields.HeaderValue] = []
    secrets: list[fields.SecretHeaderValue] = []
    files: list[fields.FileName] = []


class Settings(ProxyKeys):
    """The keys of ``defaults``, a profile and a cluster's own entry; each may leave out any of them."""

    where = "in defaults, in a profile or in an entry of clusters"
    exclusive = (
        *ProxyKeys.exclusive,
        ("authorization", "basic_auth"),
        ("basic_auth", "oauth2"),
        ("authorization", "oauth2"),
    )
    unsupported = {
        **dict.fromkeys(
            ("bearer_token", "bearer_token_file"), "write authorization, with credentials or credentials_file"
        ),
        "enable_http2": "requests are HTTP/1.1",
        "follow_redirects": "redirects are never followed",
        "scheme": "write address: https://host, or http://host with allow_http: true",
        "scrape_interval": "write poll_interval",
        "scrape_timeout": "write poll_timeout",
        **dict.fromkeys(("azuread", "google_iam", "sigv4"), "write basic_auth, authorization or oauth2"),
    }
    poll_interval: fields.Duration = timedelta(minutes=5)
    poll_timeout: fields.Duration = timedelta(minutes=1)
    return_timeout: fields.ReturnTimeout = 15
    max_records: Annotated[fields.Number, Field(ge=1, le=10_000)] = 500
    stale_after: Maybe[fields.Duration] = None
    basic_auth: Maybe[BasicAuth] = None
    authorization: Maybe[Authorization] = None
    oauth2: Maybe[OAuth2] = None
    tls_config: TlsConfig = TlsConfig()
    http_headers: dict[fields.HeaderName, HttpHeader] = {}
    allow_http: fields.Boolean = False
    labels: fields.Labels = Field(default_factory=dict)


class ClusterEntry(Settings):
    """One entry of ``clusters``; the checks require an ``address``."""

    where = "in an entry of clusters"
    name: Maybe[fields.Name] = None
    address: Maybe[fields.Address] = None
    profile: Maybe[fields.Name] = None

    @property
    def effective_name(self) -> str | None:
        """The name, else the host of the address; None if there is neither."""
        return self.name or (self.address.host if self.address else None)


class TargetGroup(StrictModel):
    """One group of Prometheus's file_sd.

    Source: https://prometheus.io/docs/prometheus/latest/configuration/configuration/ (``file_sd_config``).
    """

    where = "in a file of cluster_files"
    targets: list[fields.Address] = []
    labels: fields.GroupLabels = {}


class ClusterSelector(StrictModel):
    """The clusters of a policy: one of the names must match, and all labels."""

    where = "under clusters of a policy"
    names: Maybe[fields.ClusterGlobs] = None
    labels: fields.LabelSelector = {}

    @cached_property
    def _name_pattern(self) -> re.Pattern[str]:
        # One pattern, compiled once: what fnmatch remembers is too little for a long list of names.
        return re.compile("|".join(map(translate, self.names or ("*",))))

    def has(self, cluster: ClusterSettings) -> bool:
        """Say whether ``cluster`` is one of them; case counts."""
        if self._name_pattern.match(cluster.name) is None:
            return False
        return all(label in cluster.labels for label in self.labels.items())


class PolicyConfig(StrictModel):
    """Which packages are deleted, where and when."""

    where = "in an entry of cleanup.policies"
    exclusive = (("schedule", "every"),)
    required = (("name",), ("schedule", "every"), ("keep_newest", "older_than"))
    content_checks = {"approved_plan": named_files.check_saved_plan}
    name: fields.Name = ""
    clusters: ClusterSelector = ClusterSelector()
    schedule: Maybe[fields.Schedule] = None
    every: Maybe[fields.LongDuration] = None
    timezone: fields.TimeZone = "UTC"
    """The IANA name of the time zone of ``schedule``."""
    keep_newest: Maybe[fields.KeepNewest] = None
    older_than: Maybe[fields.Duration] = None
    include: fields.VersionGlobs = ["*"]
    exclude: list[fields.Glob] = []
    seen_for: fields.DurationOrZero = timedelta(days=7)
    start_within: fields.Duration = timedelta(hours=1)
    stop_after_failures: Annotated[fields.Number, Field(ge=0, le=100_000)] = 3
    approved_plan: Maybe[fields.FileName] = None
    approval_valid_for: fields.Duration = timedelta(days=14)
    max_deletes_per_run: fields.Count = 5
    dry_run: fields.Boolean = True
    return_timeout: fields.ReturnTimeout = 0
    job_timeout: fields.Duration = timedelta(minutes=30)
    retry_busy_for: fields.DurationOrZero = timedelta(minutes=30)


class CleanupConfig(StrictModel):
    """The policies, and where the journal is kept."""

    where = "under cleanup"
    state: fields.JournalUrl = Field(default=DEFAULT_DATABASE_URL, validate_default=True)
    max_concurrent_clusters: fields.Count = 4
    takeover_after: fields.LongDuration = timedelta(seconds=30)
    max_deletes_per_day: Maybe[fields.Count] = None
    policies: list[PolicyConfig] = []


class Root(StrictModel):
    """A whole file; each pattern is validated by itself, as a :data:`FilePattern`."""

    where = "at the top of the configuration file"
    defaults: Annotated[Settings, fields.EmptyMapping] = Settings()
    profiles: Annotated[dict[str, Annotated[Settings, fields.EmptyMapping]], fields.EmptyMapping] = {}
    clusters: Annotated[list[ClusterEntry], fields.EmptyList] = []
    cluster_files: Annotated[list[Any], Field(min_length=1)] = []
    max_concurrent_polls: fields.Count = 64
    cleanup: Annotated[CleanupConfig | None, fields.EmptyMapping] = None


def where_keys_belong(*models: type[StrictModel]) -> Mapping[str, str]:
    """Return where each key belongs; a key of several models belongs to the last one."""
    return {key: model.where for model in models for key in model.model_fields}


_OUTSIDE_CLEANUP: Final = (
    *(TargetGroup, Root, HttpHeader, OAuth2, BasicAuth, Authorization, TlsConfig, ClusterEntry, Settings),
)
_INSIDE_CLEANUP: Final = (ClusterSelector, PolicyConfig, CleanupConfig)
# For a key that stands in the wrong mapping: `name` and the like belong to the nearest one.
_WHERE: Final = where_keys_belong(*_INSIDE_CLEANUP, *_OUTSIDE_CLEANUP)
_WHERE_IN_CLEANUP: Final = where_keys_belong(*_OUTSIDE_CLEANUP, *_INSIDE_CLEANUP)
