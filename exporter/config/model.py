"""A configuration that has been read, checked and resolved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import translate
from itertools import chain
from pathlib import Path

from exporter.config.layers import Layer
from exporter.config.problems import Position, Problem
from exporter.ontap.endpoint import ClusterSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig(ClusterSettings):
    """Everything about one cluster: the defaults, then its profile, then its own entry."""

    profile: str | None
    position: Position = field(compare=False)
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
    position: Position = field(compare=False)
    """Where the entry stands."""
    _name_pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # One pattern, compiled once: what fnmatch remembers is too little for a long list of names.
        pattern = "|".join(translate(glob) for glob in self.cluster_names or ("*",))
        object.__setattr__(self, "_name_pattern", re.compile(pattern))

    def applies_to(self, cluster: ClusterSettings) -> bool:
        """Tell whether this policy is for ``cluster``, by its name and its labels; case counts."""
        if self._name_pattern.match(cluster.name) is None:
            return False
        return all(label in cluster.labels for label in self.cluster_labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupConfig:
    """What is deleted, and where it is remembered."""

    state: str = field(repr=False)
    """``sqlite:///`` and an absolute path, or ``postgresql://`` and so on, where a password may be in it."""
    max_concurrent_clusters: int
    policies: tuple[PolicyConfig, ...]
    """At least one, in the order of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFile:
    """What one of the cluster files says."""

    path: Path
    """As messages name it."""
    digest: bytes
    """The same for the same content."""
    clusters: tuple[Layer, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What the files say, before it is merged; secrets written in place are :class:`Secret` values."""

    defaults: Layer
    profiles: Mapping[str, Layer]
    clusters: tuple[Layer, ...]
    """Of the configuration file itself."""
    cluster_files: tuple[ClusterFile, ...] = ()
    cleanup: Layer | None = None
    """What stands under ``cleanup``, without the policies; what is built in fills it up."""
    folder: Path
    """Where patterns that are relative begin; absolute."""

    @property
    def entries(self) -> tuple[Layer, ...]:
        """The clusters of all files."""
        return (*self.clusters, *chain.from_iterable(file.clusters for file in self.cluster_files))


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The configuration in force."""

    clusters: tuple[ClusterConfig, ...]
    """In the order of the file; then those of the cluster files, by the names of these."""
    cluster_files: tuple[str, ...]
    """The patterns of files with more clusters, as they were written."""
    max_concurrent_polls: int
    cleanup: CleanupConfig | None
    """``None``: nothing is ever deleted."""
    warnings: tuple[Problem, ...] = field(compare=False)
    """What is allowed and yet hardly meant, by file and line."""
    written: Written = field(repr=False, compare=False)
