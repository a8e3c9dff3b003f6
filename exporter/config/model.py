"""A configuration that has been read, checked and resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from exporter.config.layers import Layer
from exporter.config.problems import Position, Problem
from exporter.ontap.endpoint import Endpoint, Login, Tls


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """Everything about one cluster: the defaults, then its profile, then its own entry."""

    name: str
    endpoint: Endpoint
    login: Login
    tls: Tls
    labels: tuple[tuple[str, str], ...]
    """Sorted by name."""
    poll_interval: timedelta
    poll_timeout: timedelta
    """For one whole poll, all requests and pages."""
    stale_after: timedelta
    return_timeout_seconds: int
    """How long ONTAP is asked to wait; shorter than ``poll_timeout``."""
    max_records: int
    """The page size that ONTAP is asked for."""
    profile: str | None
    position: Position = field(compare=False)
    """Where the entry stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What the files say, before it is merged; secrets written in place are :class:`Secret` values."""

    defaults: Layer
    profiles: Mapping[str, Layer]
    clusters: tuple[Layer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The configuration in force."""

    clusters: tuple[ClusterConfig, ...]
    """In the order of the file."""
    max_concurrent_polls: int
    warnings: tuple[Problem, ...] = field(compare=False)
    """What is allowed and yet hardly meant, by file and line."""
    written: Written = field(repr=False, compare=False)
