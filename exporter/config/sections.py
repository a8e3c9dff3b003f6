"""From a document to layers, section by section."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from exporter.config.document import Document, ScalarNode
from exporter.config.layers import DEFAULT_MAX_CONCURRENT_POLLS, Layer, built_in_cleanup
from exporter.config.mappings import MappingReader
from exporter.config.model import Written
from exporter.config.problems import Place, Problem
from exporter.config.schema import Cleanup, ClusterEntry, PolicyEntry, Root, Settings, check_file_pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupSection:
    """What stands under ``cleanup``."""

    settings: Layer
    """Defaults filled in."""
    policies: tuple[Layer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePattern:
    """One entry of ``cluster_files``."""

    pattern: str
    place: Place
    written: str | None = None
    """What stands in the file, where the pattern holds environment variables: messages quote this instead."""

    def told(self, path: Path) -> str:
        """Return a path that came of this pattern, as a message may tell it."""
        return str(path) if self.written is None else self.written


@dataclass(frozen=True, slots=True, kw_only=True)
class Sections:
    """A configuration file, section by section."""

    written: Written
    cluster_files: tuple[FilePattern, ...]
    max_concurrent_polls: int
    cleanup: CleanupSection | None
    problems: tuple[Problem, ...]


def read_sections(document: Document) -> Sections:
    """Read every section of a configuration file."""
    reader = MappingReader(document)
    root, broken = reader.shape(Root, ())
    polls = None if root is None else root.max_concurrent_polls
    if root is not None and polls is None and "max_concurrent_polls" in root.model_fields_set:
        reader.report(("max_concurrent_polls",), "nothing stands behind the colon")
    cleanup = None
    if root is not None and "cleanup" in root.model_fields_set:
        cleanup = _read_cleanup(reader, document)
    written = Written(
        defaults=reader.layer(Settings, ("defaults",), rank=0),
        profiles={
            name: reader.layer(Settings, ("profiles", name), rank=1) for name in reader.keys("profiles")
        },
        clusters=tuple(
            reader.layer(ClusterEntry, ("clusters", index), rank=2, required="address")
            for index in reader.indexes("clusters")
        ),
        cleanup=None if cleanup is None else cleanup.settings,
        folder=document.folder,
    )
    has_files = root is not None and "cluster_files" in root.model_fields_set | broken
    if not written.clusters and "clusters" not in broken and not has_files:
        reader.report(("clusters",), "at least one cluster is expected")
    return Sections(
        written=written,
        cluster_files=_read_patterns(reader, document) if has_files and "cluster_files" not in broken else (),
        max_concurrent_polls=DEFAULT_MAX_CONCURRENT_POLLS if polls is None else polls,
        cleanup=cleanup,
        problems=tuple(reader.problems),
    )


def _read_patterns(reader: MappingReader, document: Document) -> tuple[FilePattern, ...]:
    above = ("cluster_files",)
    if not reader.indexes(*above):
        reader.report(above, "at least one pattern is expected; leave it out where there are no more files")
    patterns = []
    for index in reader.indexes(*above):
        pattern = reader.text((*above, index), check_file_pattern)
        if pattern is not None:
            path = (*above, index)
            node = document.node(path)
            written = node.written if isinstance(node, ScalarNode) else None
            patterns.append(FilePattern(pattern=pattern, place=document.place(path), written=written))
    return tuple(patterns)


def _read_cleanup(reader: MappingReader, document: Document) -> CleanupSection:
    settings = reader.layer(Cleanup, ("cleanup",))
    policies = tuple(
        reader.layer(PolicyEntry, ("cleanup", "policies", index), required="name")
        for index in reader.indexes("cleanup", "policies")
    )
    if not policies and "policies" not in settings.broken:
        reader.report(("cleanup", "policies"), "at least one policy is expected")
    return CleanupSection(settings=built_in_cleanup(document.folder).merged_with(settings), policies=policies)
