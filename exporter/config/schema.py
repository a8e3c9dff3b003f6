"""The models of a configuration file: which keys there are.

A default of a field is the default of the key. What takes two values to check is in
:mod:`exporter.config.checks`.
"""

from __future__ import annotations

import re
from datetime import timedelta
from fnmatch import translate
from functools import cached_property
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from exporter.config.database_url import DEFAULT_DATABASE_URL
from exporter.config.fields import (
    Address,
    AuthorizationType,
    ClusterGlobs,
    Count,
    Credentials,
    Duration,
    DurationOrZero,
    EmptyList,
    EmptyMapping,
    FileName,
    Glob,
    GroupLabels,
    Host,
    JournalUrl,
    Kept,
    LabelChoice,
    Labels,
    LongDuration,
    Maybe,
    MinTlsVersion,
    Name,
    Number,
    Password,
    ReturnTimeout,
    Schedule,
    Truth,
    Username,
    VersionGlobs,
)
from exporter.ontap.endpoint import ClusterSettings, TlsVersion


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
    username: Maybe[Username] = None
    password: Maybe[Password] = None
    password_file: Maybe[FileName] = None


class Authorization(Shape):
    """An ``Authorization`` header."""

    home = "under authorization"
    exclusive = (("credentials", "credentials_file"),)
    type: AuthorizationType = "Bearer"
    credentials: Maybe[Credentials] = None
    credentials_file: Maybe[FileName] = None


class TlsConfig(Shape):
    """Whom to trust, and which certificate to show."""

    home = "under tls_config"
    ca_file: Maybe[FileName] = None
    cert_file: Maybe[FileName] = None
    key_file: Maybe[FileName] = None
    server_name: Maybe[Host] = None
    insecure_skip_verify: Truth = False
    min_version: MinTlsVersion = TlsVersion.TLS12


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
    """For which clusters a policy is: one of the names must match, and all labels."""

    home = "under clusters of a policy"
    names: Maybe[ClusterGlobs] = None
    labels: LabelChoice = {}

    @cached_property
    def _name_pattern(self) -> re.Pattern[str]:
        # One pattern, compiled once: what fnmatch remembers is too little for a long list of names.
        return re.compile("|".join(map(translate, self.names or ("*",))))

    def has(self, cluster: ClusterSettings) -> bool:
        """Whether ``cluster`` is one of them; case counts."""
        if self._name_pattern.match(cluster.name) is None:
            return False
        return all(label in cluster.labels for label in self.labels.items())


class PolicyConfig(Shape):
    """Which packages are deleted, where and when.

    A policy has a name, one of ``schedule`` and ``every``, and one or both of ``keep_newest`` and
    ``older_than``, which :mod:`exporter.config.checks` checks.
    """

    home = "in an entry of cleanup.policies"
    exclusive = (("schedule", "every"),)
    name: Name = ""
    clusters: ClusterChoice = ClusterChoice()
    schedule: Maybe[Schedule] = None
    every: Maybe[LongDuration] = None
    timezone: Name = "UTC"
    """The IANA name of the time zone of ``schedule``."""
    keep_newest: Maybe[Kept] = None
    older_than: Maybe[Duration] = None
    include: VersionGlobs = ["*"]
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

    def applies_to(self, cluster: ClusterSettings) -> bool:
        """Whether this policy is for ``cluster``, by its name and its labels."""
        return self.clusters.has(cluster)


class CleanupConfig(Shape):
    """What deletes packages, and where the journal is kept."""

    home = "under cleanup"
    state: JournalUrl = Field(default=DEFAULT_DATABASE_URL, validate_default=True)
    max_concurrent_clusters: Count = 4
    takeover_after: LongDuration = timedelta(seconds=30)
    max_deletes_per_day: Maybe[Count] = None
    policies: list[PolicyConfig] = []


class Root(Shape):
    """A whole file; each pattern is validated by itself, as a :data:`FilePattern`."""

    home = "at the top of the configuration file"
    defaults: Annotated[Settings, EmptyMapping] = Settings()
    profiles: Annotated[dict[str, Annotated[Settings, EmptyMapping]], EmptyMapping] = {}
    clusters: Annotated[list[ClusterEntry], EmptyList] = []
    cluster_files: Annotated[list[Any], EmptyList] = []
    max_concurrent_polls: Count = 64
    cleanup: Annotated[CleanupConfig | None, EmptyMapping] = None
