"""Merges what the files say, by what was set, into the configuration that the other rooms see."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Any, Final, TypeVar

from exporter.config.problems import Problem
from exporter.config.schema import Authorization, BasicAuth, CleanupConfig, ClusterEntry, Settings, Shape
from exporter.config.values import LONGEST_DURATION
from exporter.ontap.endpoint import BasicLogin, ClusterSettings, Login, Secret, Tls, TokenLogin

if TYPE_CHECKING:
    from exporter.config.loader import Sources

_ShapeT = TypeVar("_ShapeT", bound=Shape)

_STALE_AFTER_POLLS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A whole configuration without a mistake."""

    clusters: tuple[ClusterSettings, ...]
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


def merge(base: Shape, over: _ShapeT) -> _ShapeT:
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


def cluster_settings(merged: ClusterEntry) -> ClusterSettings | None:
    """Return what the layers of a cluster come to; ``None`` where it has no address."""
    if merged.address is None:
        return None
    return ClusterSettings(
        name=merged.name or merged.address.host,
        endpoint=merged.address,
        login=_login(merged.basic_auth, merged.authorization),
        tls=Tls(**dict(merged.tls_config)),
        labels=tuple(sorted(merged.labels.items())),
        poll_interval=merged.poll_interval,
        poll_timeout=merged.poll_timeout,
        stale_after=stale_after(merged),
        return_timeout_seconds=return_timeout_seconds(merged),
        max_records=merged.max_records,
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
