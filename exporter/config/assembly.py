"""Reads the configuration file, checks clusters, and puts the parts of all files together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from exporter.config.checking.cleanup_checks import check_cleanup, check_selectors
from exporter.config.checking.cluster_checks import make_cluster
from exporter.config.checking.named_files import CheckFile, Pattern
from exporter.config.checking.section_checks import (
    check_addresses,
    check_permissions,
    check_settings,
    unknown_profile,
)
from exporter.config.cluster_file import distinct
from exporter.config.fields import FilePattern
from exporter.config.problems import ConfigError, Diagnostics, Problem
from exporter.config.reading.document import BROKEN, Document, has_variable
from exporter.config.reading.yaml_source import read_document
from exporter.config.schema import CleanupConfig, ClusterEntry, Root, Settings
from exporter.config.sections import Section, merge
from exporter.config.validation import validate, validate_value
from exporter.ontap.cluster_settings import ClusterSettings

_PATTERN: Final[TypeAdapter[str]] = TypeAdapter(FilePattern)


@dataclass(frozen=True, slots=True, kw_only=True)
class MainFile:
    """What the configuration file says."""

    document: Document
    root: Root
    defaults: Section[Settings]
    profiles: Mapping[str, Section[Settings]]
    bases: Mapping[str | None, Settings]
    """The defaults by themselves, and each profile over the defaults."""
    entries: tuple[Section[ClusterEntry], ...]
    patterns: tuple[Pattern, ...]
    cleanup: Section[CleanupConfig] | None
    environ: Mapping[str, str] = field(repr=False)

    @property
    def path(self) -> Path:
        """The file, as the operator named it."""
        return Path(self.document.file)

    def layers(self, entry: Section[ClusterEntry]) -> tuple[Section[Any], ...]:
        """Return the layers of a cluster, the nearest first; its profile must exist, where it names one."""
        name = entry.model.profile
        return (entry, self.defaults) if name is None else (entry, self.profiles[name], self.defaults)

    def merged(self, entry: Section[ClusterEntry]) -> ClusterEntry:
        """Return what these layers are merged to."""
        return merge(self.bases[entry.model.profile], entry.model)

    def check(self, check_file: CheckFile) -> Diagnostics:
        """Check what the file says, apart from its clusters."""
        found = Diagnostics(errors=set(self.document.problems))
        for section in (self.defaults, *self.profiles.values()):
            check_settings(section, check_file, found)
        if self.cleanup is not None:
            check_cleanup(self.cleanup, check_file, found)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """The clusters of one file, checked."""

    entries: tuple[Section[ClusterEntry], ...]
    configs: tuple[ClusterSettings, ...]
    errors: frozenset[Problem]
    """Some may be in another file: what an entry lacks may be missing in a profile."""
    warnings: frozenset[Problem]
    content_hash: bytes = b""
    """Of a cluster file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedFiles:
    """What each file of a configuration says."""

    main: MainFile
    own: Clusters
    """Of the configuration file itself."""
    files: Mapping[Path, Clusters]
    """Of each cluster file, sorted by name."""

    @property
    def parts(self) -> tuple[Clusters, ...]:
        """The clusters of all files."""
        return (self.own, *self.files.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A whole configuration without a mistake."""

    clusters: tuple[ClusterSettings, ...]
    """Those of the file itself in their order, then those of the cluster files, sorted by file name."""
    entries: tuple[Section[ClusterEntry], ...] = field(repr=False, compare=False)
    """Where each of them is written."""
    cluster_files: tuple[str, ...]
    """The patterns of files with more clusters, as they were written."""
    max_concurrent_polls: int
    cleanup: CleanupConfig | None
    """None: nothing is ever deleted."""
    warnings: tuple[Problem, ...] = field(compare=False)
    """Settings that are allowed but probably mistakes, by file and line."""
    sources: LoadedFiles = field(repr=False, compare=False)


def read_main_file(path: Path, *, environ: Mapping[str, str]) -> MainFile:
    """Read the configuration file; its document has the mistakes that one mapping by itself can hold.

    Raises:
        ConfigError: the file cannot be read at all, or is no YAML.
    """
    document = read_document(path, environ=environ)
    if document.root is BROKEN:
        raise ConfigError(document.problems)
    root = validate(Root, document)
    has_files = "cluster_files" in root.model_fields_set or document.is_broken([("cluster_files",)])
    if not root.clusters and not has_files and not document.is_broken([("clusters",)]):
        document.report(("clusters",), "at least one cluster is expected")
    patterns = tuple(_patterns(root, document))
    cleanup = (
        None if root.cleanup is None else Section(model=root.cleanup, document=document, path=("cleanup",))
    )
    document.root = None  # the models hold the values
    return MainFile(
        document=document,
        root=root,
        defaults=Section(model=root.defaults, document=document, path=("defaults",)),
        profiles={
            name: Section(model=profile, document=document, path=("profiles", name))
            for name, profile in root.profiles.items()
        },
        bases={None: root.defaults}
        | {name: merge(root.defaults, profile) for name, profile in root.profiles.items()},
        entries=tuple(
            Section(model=entry, document=document, path=("clusters", index))
            for index, entry in enumerate(root.clusters)
        ),
        patterns=patterns,
        cleanup=cleanup,
        environ=environ,
    )


def _patterns(root: Root, document: Document) -> Iterator[Pattern]:
    for index in range(len(root.cluster_files)):
        path = ("cluster_files", index)
        pattern = validate_value(_PATTERN, document, path)
        if pattern is not None:
            written = document.texts.get(path, pattern)
            yield Pattern(
                pattern=pattern,
                location=document.location(path),
                written=written if has_variable(written) else None,
            )


def make_clusters(
    main: MainFile,
    entries: Iterable[Section[ClusterEntry]],
    check_file: CheckFile,
    *,
    content_hash: bytes = b"",
) -> Clusters:
    """Merge and check the entries of one file."""
    kept = tuple(entries)
    clusters: list[ClusterSettings] = []
    found = Diagnostics()
    for entry in kept:
        check_settings(entry, check_file, found)
        profile = entry.model.profile
        if profile is not None and profile not in main.profiles:
            found.errors.add(unknown_profile(entry, main.profiles, len(found.errors)))
        elif not entry.is_broken("profile"):
            layers, merged = main.layers(entry), main.merged(entry)
            cluster = make_cluster(layers, merged, check_file, found, environ=main.environ)
            clusters += [] if cluster is None else [cluster]
    return Clusters(
        entries=kept,
        configs=tuple(clusters),
        errors=frozenset(found.errors),
        warnings=frozenset(found.warnings),
        content_hash=content_hash,
    )


def assemble(sources: LoadedFiles, warnings: Iterable[Problem]) -> Config:
    """Put all files together, which have no mistake; ``warnings`` are those that belong to no cluster."""
    main = sources.main
    found = Diagnostics(warnings={*warnings}.union(*(part.warnings for part in sources.parts)))
    resolved = distinct((entry for part in sources.parts for entry in part.entries), found.warnings)
    configs = (config for part in sources.parts for config in part.configs)
    clusters = tuple(
        config if entry.model.name in {None, config.name} else replace(config, name=entry.model.name)
        for entry, config in zip(resolved, configs, strict=True)
        if entry is not None
    )
    entries = tuple(entry for entry in resolved if entry is not None)
    check_addresses(entries, found)
    used = {entry.model.profile for entry in entries}
    for name, profile in main.profiles.items():
        if name not in used:
            found.warn(profile.location(), "no cluster uses this profile")
    sections: list[Section[Any]] = [main.defaults, *main.profiles.values(), *entries]
    if main.cleanup is not None:
        sections.append(main.cleanup)
        check_selectors(main.cleanup, clusters, found)
    check_permissions((main.path, *sources.files), sections, found)
    return Config(
        clusters=clusters,
        entries=entries,
        cluster_files=tuple(pattern.pattern for pattern in main.patterns),
        max_concurrent_polls=main.root.max_concurrent_polls,
        cleanup=main.root.cleanup,
        warnings=tuple(sorted(found.warnings)),
        sources=sources,
    )
