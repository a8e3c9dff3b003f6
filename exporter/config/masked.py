"""The configuration in force, written so that it can be loaded again once its secrets are put back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from glob import escape as escape_glob
from pathlib import Path
from typing import Any, Final, assert_never

import yaml

from exporter.config.durations import format_duration
from exporter.config.layers import DEFAULT_AUTHORIZATION_TYPE, Layer, Marker, built_in
from exporter.config.model import CleanupConfig, ClusterConfig, Config, PolicyConfig
from exporter.config.scalars import escape
from exporter.config.state import masked_state
from exporter.ontap.endpoint import Endpoint, Secret

MASK: Final = "<secret>"
_DUMPER: Final = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_TYPE: Final = ("authorization", "type")

_Written = dict[str, Any]


def masked_yaml(config: Config) -> str:
    """Return the configuration as YAML: defaults filled in, environment variables too, secrets masked.

    Paths are absolute, since the text may be saved elsewhere. The clusters of cluster files follow as
    comments: the text names these files, so that it can be loaded as it stands.
    """
    written = config.written
    defaults = built_in().merged_with(written.defaults)
    bases = {name: defaults.merged_with(profile) for name, profile in written.profiles.items()}
    resolved = iter(config.clusters)

    def shown_clusters(entries: Iterable[Layer]) -> list[_Written]:
        return [
            _cluster(entry, cluster, defaults if cluster.profile is None else bases[cluster.profile])
            for entry, cluster in zip(entries, resolved, strict=False)
        ]

    content: _Written = {
        "defaults": _mapping(defaults, built_in()),
        "profiles": {name: _mapping(profile, defaults) for name, profile in written.profiles.items()},
        "clusters": shown_clusters(written.clusters),
        "cluster_files": [escape(_absolute(pattern, written.folder)) for pattern in config.cluster_files],
        "max_concurrent_polls": config.max_concurrent_polls,
    }
    if config.cleanup is not None:
        content["cleanup"] = _cleanup(config.cleanup)
    shown_content = {key: value for key, value in content.items() if value not in ({}, [])}
    shown = _dumped(shown_content)
    for file in written.cluster_files:
        shown += f"# Clusters of {file.path}:\n" + _commented(_dumped(shown_clusters(file.clusters)))
    return shown


def _cluster(entry: Layer, cluster: ClusterConfig, base: Layer) -> _Written:
    merged = base.merged_with(entry)
    shown: _Written = {"name": escape(cluster.name)} | _mapping(entry, base)
    # It follows the cluster's own poll_interval, so it cannot stand in defaults.
    if not merged.has("stale_after"):
        shown["stale_after"] = format_duration(cluster.stale_after)
    if merged.number("return_timeout") != cluster.return_timeout_seconds:
        shown["return_timeout"] = cluster.return_timeout_seconds
    return shown


def _absolute(pattern: str, folder: Path) -> str:
    """Return a pattern that means the same in any folder."""
    return str(Path(escape_glob(str(folder)), pattern))


def _dumped(content: _Written | list[_Written]) -> str:
    return str(yaml.dump(content, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=10_000))


def _commented(text: str) -> str:
    return "".join(f"# {line}\n" for line in text.splitlines())


def _mapping(layer: Layer, base: Layer) -> _Written:
    """Write one layer as the nested mapping that it was; ``base`` is what it is put over."""
    content: _Written = {}
    for key, setting in layer.settings.items():
        holder = content
        for step in key[:-1]:
            holder = holder.setdefault(step, {})
        if setting.value is Marker.MAPPING:
            holder.setdefault(key[-1], {})
        else:
            holder[key[-1]] = _shown(setting.value)
    if layer.has("authorization") and not base.merged_with(layer).has(*_TYPE):
        content["authorization"]["type"] = DEFAULT_AUTHORIZATION_TYPE
    return content


def _cleanup(cleanup: CleanupConfig) -> _Written:
    return {
        "state": escape(masked_state(cleanup.state, MASK)),
        "max_concurrent_clusters": cleanup.max_concurrent_clusters,
        "policies": [_policy(policy) for policy in cleanup.policies],
    }


def _policy(policy: PolicyConfig) -> _Written:
    timing = (
        {"schedule": escape(policy.schedule), "timezone": escape(policy.timezone)}
        if policy.schedule is not None
        else {"every": policy.every}
    )
    clusters = {
        "names": _texts(policy.cluster_names),
        "labels": {name: escape(value) for name, value in policy.cluster_labels},
    }
    content: _Written = {
        "name": escape(policy.name),
        "clusters": {key: value for key, value in clusters.items() if value},
        **timing,
        "keep_newest": policy.keep_newest,
        "older_than": policy.older_than,
        "include": _texts(policy.include),
        "exclude": _texts(policy.exclude),
        "max_deletes_per_run": policy.max_deletes_per_run,
        "dry_run": policy.dry_run,
        "return_timeout": policy.return_timeout_seconds,
        "job_timeout": policy.job_timeout,
        "retry_busy_for": policy.retry_busy_for,
    }
    return {
        key: format_duration(value) if isinstance(value, timedelta) else value
        for key, value in content.items()
        if value is not None and value != {}
    }


def _texts(texts: Iterable[str]) -> list[str]:
    return [escape(text) for text in texts]


def _shown(
    value: str | int | timedelta | Path | Secret | Endpoint | tuple[str, ...],
) -> str | int | list[str]:
    match value:
        case Secret():
            return MASK
        case timedelta():
            return format_duration(value)
        case Endpoint():
            return escape(value.origin)
        case Path() | str():
            return escape(str(value))
        case int():
            return value
        case tuple():
            return _texts(value)
        case _:
            assert_never(value)
