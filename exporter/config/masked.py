"""The applied configuration, written so that it can be loaded again once its secrets are put back."""

from __future__ import annotations

from datetime import timedelta
from glob import escape as escape_glob
from pathlib import Path
from typing import Final

import yaml
from pydantic import BaseModel

from exporter.config.assembly import Config, MainFile
from exporter.config.problems import PRIVATE_KEY
from exporter.config.reading.database_url import PostgresqlUrl, SqliteUrl
from exporter.config.reading.document import escape
from exporter.config.reading.values import format_duration
from exporter.config.schema import ClusterEntry, PolicyConfig
from exporter.config.sections import Section
from exporter.ontap.cluster_settings import ClusterSettings, Endpoint, Proxy, Secret

MASK: Final = "<secret>"
_DUMPER: Final = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def masked_yaml(config: Config) -> str:
    """Return the configuration as YAML: defaults filled in, environment variables replaced, secrets masked.

    Paths are absolute, since the text may be saved elsewhere. The clusters of cluster files follow as
    comments: the text names these files, so that it can be loaded as it stands.
    """
    main = config.sources.main
    folder = escape_glob(str(main.document.folder))
    clusters: dict[str, list[dict[str, object]]] = {}
    for entry, cluster in zip(config.entries, config.clusters, strict=True):
        clusters.setdefault(entry.document.file, []).append(_cluster(main, entry, cluster))
    content = {
        "defaults": _keys(main.root.defaults, every=True),
        "profiles": {name: _keys(profile.model) for name, profile in main.profiles.items()},
        "clusters": clusters.get(main.document.file, []),
        "cluster_files": [escape(str(Path(folder, pattern))) for pattern in config.cluster_files],
        "max_concurrent_polls": config.max_concurrent_polls,
        "cleanup": {} if main.root.cleanup is None else _keys(main.root.cleanup, every=True),
    }
    shown = _dumped({key: value for key, value in content.items() if value not in ({}, [])})
    for path in config.sources.files:
        lines = _dumped(clusters.get(str(path), [])).splitlines()
        shown += f"# Clusters of {path}:\n" + "".join(f"# {line}\n" for line in lines)
    return shown


def _dumped(content: object) -> str:
    return str(yaml.dump(content, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=10_000))


def _cluster(main: MainFile, entry: Section[ClusterEntry], cluster: ClusterSettings) -> dict[str, object]:
    merged = main.merged(entry)
    update: dict[str, object] = {}
    # It follows the cluster's own poll_interval, so it cannot stand in defaults.
    if merged.stale_after is None:
        update["stale_after"] = cluster.stale_after
    if merged.return_timeout != cluster.return_timeout_seconds:
        update["return_timeout"] = cluster.return_timeout_seconds
    first = {"name": escape(cluster.name), "address": _shown(cluster.endpoint)}
    return first | _keys(entry.model.model_copy(update=update))


def _keys(model: BaseModel, *, every: bool = False) -> dict[str, object]:
    """Return the keys of a mapping that were set, or every one that has a value."""
    names = (
        type(model).model_fields
        if every
        else (key for key in type(model).model_fields if key in model.model_fields_set)
    )
    shown = {name: _shown(getattr(model, name), every=every) for name in names}
    if isinstance(model, PolicyConfig) and model.every is not None:
        del shown["timezone"]
    return {key: value for key, value in shown.items() if value is not None and not (every and value == {})}


def _shown(value: object, *, every: bool = False) -> object:
    shown = value
    match value:
        case BaseModel():
            shown = _keys(value, every=every)
        case dict():
            shown = {key: _shown(below) for key, below in value.items()}
        case list():
            shown = [_shown(item, every=every) for item in value]
        case Secret():
            shown = MASK
        case timedelta():
            shown = format_duration(value)
        case Endpoint():
            shown = escape(value.origin)
        case SqliteUrl() | PostgresqlUrl() | Proxy():
            shown = escape(value.masked(MASK))
        case str() if PRIVATE_KEY in value:  # a key may stand in the text of its certificate
            shown = MASK
        case Path() | str():
            shown = escape(str(value))
        case _:
            pass
    return shown
