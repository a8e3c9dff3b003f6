"""Merges what the files say, by what was set, into the configuration that the other rooms see."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import translate
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from exporter.config.document import Document
from exporter.config.problems import KeyPath, Problem, SourceLocation
from exporter.config.schema import (
    Authorization,
    BasicAuth,
    Cleanup,
    ClusterEntry,
    PolicyEntry,
    Settings,
    Shape,
)
from exporter.config.values import LONGEST_DURATION
from exporter.ontap.endpoint import BasicLogin, ClusterSettings, Login, Secret, Tls, TokenLogin

if TYPE_CHECKING:
    from exporter.config.loader import Sources

ShapeT = TypeVar("ShapeT", bound=Shape)

_STALE_AFTER_POLLS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig(ClusterSettings):
    """Everything about one cluster: the defaults, then its profile, then its own entry."""

    profile: str | None
    location: SourceLocation = field(compare=False)
    """Where the entry stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyConfig:
    """Which packages are deleted, where and when."""

    name: str
    cluster_names: tuple[str, ...]
    """Globs, one of which must match; every name where there is none."""
    cluster_labels: tuple[tuple[str, str], ...]
    """All of which a cluster must carry; sorted by name."""
    schedule: str | None
    """Five cron fields with one blank between them."""
    every: timedelta | None
    """Set where ``schedule`` is not."""
    timezone: str
    """The IANA name of the time zone of ``schedule``."""
    keep_newest: int | None
    """How many of the newest versions are kept; ``None``: being new keeps none."""
    older_than: timedelta | None
    """The age that a package must exceed; ``None``: any will do. ``keep_newest`` is then set."""
    include: tuple[str, ...]
    """Globs of versions; at least one."""
    exclude: tuple[str, ...]
    """Likewise, and none is needed; they win."""
    seen_for: timedelta
    """How long a package must have been in the listings; 0: not at all."""
    start_within: timedelta
    """How late a run of ``schedule`` may start."""
    stop_after_failures: int
    """So many failures in a row pause the policy; 0: never."""
    approved_plan: Path | None
    """The saved plan without which nothing is deleted; ``None``: none is needed."""
    approval_valid_for: timedelta
    """How long a saved plan counts."""
    max_deletes_per_run: int
    """On one cluster."""
    dry_run: bool
    """Only ``False`` deletes."""
    return_timeout_seconds: int
    """How long ONTAP is asked to work on a DELETE before it answers."""
    job_timeout: timedelta
    """How long one job is followed."""
    retry_busy_for: timedelta
    """How long a busy repository is retried within one run; 0 never retries."""
    location: SourceLocation = field(compare=False)
    """Where the entry stands."""
    _name_pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # One pattern, compiled once: what fnmatch remembers is too little for a long list of names.
        pattern = "|".join(translate(glob) for glob in self.cluster_names or ("*",))
        object.__setattr__(self, "_name_pattern", re.compile(pattern))

    def applies_to(self, cluster: ClusterSettings) -> bool:
        """Whether this policy is for ``cluster``, by its name and its labels; case counts."""
        if self._name_pattern.match(cluster.name) is None:
            return False
        return all(label in cluster.labels for label in self.cluster_labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupConfig:
    """What is deleted, and where the journal is."""

    state: str = field(repr=False)
    """The journal's URL: ``sqlite:///`` and an absolute path, or ``postgresql://``, maybe with a password."""
    max_concurrent_clusters: int
    takeover_after: timedelta
    """How long a process that has vanished keeps its clusters."""
    max_deletes_per_day: int | None
    """Of all policies on all clusters, in any 24 hours; ``None``: no limit."""
    policies: tuple[PolicyConfig, ...]
    """At least one, in the order of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A whole configuration without a mistake."""

    clusters: tuple[ClusterConfig, ...]
    """In the order of the file; then those of the cluster files, by the names of these."""
    cluster_files: tuple[str, ...]
    """The patterns of files with more clusters, as they were written."""
    max_concurrent_polls: int
    cleanup: CleanupConfig | None
    """``None``: nothing is ever deleted."""
    warnings: tuple[Problem, ...] = field(compare=False)
    """What is allowed and yet hardly meant, by file and line."""
    sources: Sources = field(repr=False, compare=False)
    """What each file says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section(Generic[ShapeT]):
    """One mapping of a file: what it says, and where."""

    model: ShapeT
    document: Document = field(repr=False)
    path: KeyPath

    def at(self, *keys: str) -> KeyPath:
        """Return the path of a key below."""
        return (*self.path, *keys)

    def location(self, *keys: str) -> SourceLocation:
        """Return where a key below stands, or the mapping itself where the key is not set."""
        return self.document.location(self.at(*keys) if self.has(*keys) else self.path)

    def is_broken(self, *keys: str) -> bool:
        """Whether a mistake has been found in one of these keys."""
        return any(self.document.is_broken(self.at(key)) for key in keys)

    def displayed(self, value: object, *keys: str) -> str:
        """Return the value of a key below for messages; environment variables stay as ``${NAME}``."""
        return self.document.displayed(self.at(*keys), value)

    def has(self, *keys: str) -> bool:
        """Whether a key below is set."""
        value: Any = self.model
        for key in keys:
            if isinstance(value, dict):
                return key in value
            if value is None or key not in value.model_fields_set:
                return False
            value = getattr(value, key)
        return True


class Target(Section[ClusterEntry]):
    """One target of a group: its address is the target itself, its labels are those of the group."""

    __slots__ = ()

    def at(self, *keys: str) -> KeyPath:
        """Return the path of what stands for a key of an entry."""
        match keys:
            case ("labels", *_):
                return (*self.path[:-2], *keys)
            case _:
                return self.path


@dataclass(frozen=True, slots=True)
class Layers:
    """The sections that make one cluster, and what they come to."""

    sections: tuple[Section[Any], ...]
    """The nearest first: the cluster's own entry, its profile, the defaults."""
    merged: ClusterEntry

    @property
    def own(self) -> Section[ClusterEntry]:
        """The cluster's own entry."""
        return self.sections[0]

    def is_broken(self, *keys: str) -> bool:
        """Whether a mistake has been found in one of these keys, in any section."""
        return any(section.is_broken(*keys) for section in self.sections)

    def nearest(self, *keys: tuple[str, ...]) -> Section[Any]:
        """Return the nearest section that sets one of these keys, or else the cluster's own entry."""
        setting = (section for section in self.sections if any(section.has(*key) for key in keys))
        return next(setting, self.own)

    def location(self, *keys: tuple[str, ...]) -> SourceLocation:
        """Return where the nearest section sets one of these keys, or else the cluster's own entry."""
        section = self.nearest(*keys)
        return section.location(*next((key for key in keys if section.has(*key)), ()))


def merge(base: Shape, over: ShapeT) -> ShapeT:
    """Return what ``over`` sets and, where it does not, what ``base`` sets, mapping by mapping."""
    pairs = (both for pair in over.exclusive for both in (pair, pair[::-1]))
    replaced = {theirs for ours, theirs in pairs if ours in over.model_fields_set}
    update: dict[str, Any] = {}
    for name in base.model_fields_set - replaced:
        below = getattr(base, name)
        if name in over.model_fields_set:
            above = getattr(over, name)
            if isinstance(above, Shape):
                update[name] = merge(below, above)
            elif isinstance(above, dict):
                update[name] = below | above
        else:
            update[name] = below
    return over.model_copy(update=update)


def cluster_config(layers: Layers) -> ClusterConfig | None:
    """Return what the layers come to; ``None`` where the cluster has no address."""
    merged = layers.merged
    if merged.address is None:
        return None
    return ClusterConfig(
        name=merged.name or merged.address.host,
        endpoint=merged.address,
        login=_login(merged.basic_auth, merged.authorization),
        tls=Tls(
            ca_file=merged.tls_config.ca_file,
            cert_file=merged.tls_config.cert_file,
            key_file=merged.tls_config.key_file,
            server_name=merged.tls_config.server_name,
            insecure_skip_verify=merged.tls_config.insecure_skip_verify,
            min_version=merged.tls_config.min_version,
        ),
        labels=tuple(sorted(merged.labels.items())),
        poll_interval=merged.poll_interval,
        poll_timeout=merged.poll_timeout,
        stale_after=stale_after(merged),
        return_timeout_seconds=return_timeout_seconds(merged),
        max_records=merged.max_records,
        profile=merged.profile,
        location=layers.own.location(),
    )


def stale_after(settings: Settings) -> timedelta:
    """Return ``stale_after``, which follows ``poll_interval`` where it was not set."""
    return settings.stale_after or min(_STALE_AFTER_POLLS * settings.poll_interval, LONGEST_DURATION)


def return_timeout_seconds(settings: Settings) -> int:
    """Return ``return_timeout``, which stays below ``poll_timeout`` where it was not set."""
    if "return_timeout" in settings.model_fields_set:
        return settings.return_timeout
    return min(settings.return_timeout, ceil(settings.poll_timeout.total_seconds()) - 1)


def _login(basic_auth: BasicAuth | None, authorization: Authorization | None) -> Login:
    if basic_auth is not None:
        password = basic_auth.password or Secret(file=basic_auth.password_file)
        return BasicLogin(username=basic_auth.username or "", password=password)
    if authorization is not None:
        credentials = authorization.credentials or Secret(file=authorization.credentials_file)
        return TokenLogin(type=authorization.type, credentials=credentials)
    return None


def cleanup_config(section: Section[Cleanup]) -> CleanupConfig:
    """Return what a file says under ``cleanup``."""
    return CleanupConfig(
        state=section.model.state.dsn,
        max_concurrent_clusters=section.model.max_concurrent_clusters,
        takeover_after=section.model.takeover_after,
        max_deletes_per_day=section.model.max_deletes_per_day,
        policies=tuple(_policy(policy) for policy in policies_of(section)),
    )


def policies_of(section: Section[Cleanup]) -> list[Section[PolicyEntry]]:
    """Return the sections of the policies."""
    return [
        Section(model=policy, document=section.document, path=(*section.path, "policies", index))
        for index, policy in enumerate(section.model.policies)
    ]


def _policy(section: Section[PolicyEntry]) -> PolicyConfig:
    policy = section.model
    return PolicyConfig(
        name=policy.name or "",
        cluster_names=tuple(policy.clusters.names or ()),
        cluster_labels=tuple(sorted(policy.clusters.labels.items())),
        schedule=policy.schedule,
        every=policy.every,
        timezone=policy.timezone,
        keep_newest=policy.keep_newest,
        older_than=policy.older_than,
        include=tuple(policy.include),
        exclude=tuple(policy.exclude),
        seen_for=policy.seen_for,
        start_within=policy.start_within,
        stop_after_failures=policy.stop_after_failures,
        approved_plan=policy.approved_plan,
        approval_valid_for=policy.approval_valid_for,
        max_deletes_per_run=policy.max_deletes_per_run,
        dry_run=policy.dry_run,
        return_timeout_seconds=policy.return_timeout,
        job_timeout=policy.job_timeout,
        retry_busy_for=policy.retry_busy_for,
        location=section.location(),
    )
