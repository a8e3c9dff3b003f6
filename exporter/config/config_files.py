"""The configuration file and its cluster files: all of them read, then the cluster files scanned for changes.

A cluster file replaces the clusters that it had before once two scans in a row have read the same content, it
has no mistake, and the names of its clusters are free. Until then, its last good content is kept. Only a file
that is known to be gone takes its clusters away; one in a folder that cannot be listed is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from exporter.config.assembly import (
    Clusters,
    Config,
    LoadedFiles,
    assemble,
    make_clusters,
    read_main_file,
)
from exporter.config.checking.named_files import Pattern, check_file, match_patterns
from exporter.config.checking.section_checks import name_conflicts
from exporter.config.cluster_file import ClusterFile, distinct, parse_cluster_file
from exporter.config.problems import ConfigError, Problem
from exporter.config.reading.yaml_source import MAX_BYTES
from exporter.config.sections import Section
from exporter.files import read_file, why_unreadable


def load_config(path: Path, *, environ: Mapping[str, str]) -> Config:
    """Read and check a configuration file and every file that it names.

    Raises:
        ConfigError: with every problem that could be found, whatever the files hold.
    """
    return ConfigFiles(path, environ=environ).load()


def read_cluster_file(path: Path) -> bytes:
    """Return the content of a cluster file; raises what :func:`exporter.files.read_file` raises."""
    return read_file(path, max_bytes=MAX_BYTES)


@dataclass(slots=True, kw_only=True)
class _Watched:
    """One cluster file, from scan to scan."""

    applied: Clusters | None = None
    """None: it has never been good."""
    seen: bytes | Problem | None = None
    """By the last scan: a hash of the content, why it could not be read, or None: the file was gone."""
    changed: ClusterFile | None = None
    """The content on which two scans have agreed, parsed, and which is not applied."""
    problems: tuple[Problem, ...] = ()
    """Why ``changed`` is not applied, or the file cannot be read."""


class ConfigFiles:
    """The configuration file and its cluster files, with the last good content of each.

    Its methods block and are not for several threads at once; what is published may be read at any time.
    ``environ`` holds what ``${NAME}`` stands for; ``read`` reads a cluster file.
    """

    def __init__(
        self,
        path: Path,
        *,
        environ: Mapping[str, str],
        read: Callable[[Path], bytes] = read_cluster_file,
    ) -> None:
        self.problems: tuple[Problem, ...] = ()
        """Why cluster files are not applied as they are now, and folders that cannot be listed."""
        self.files = 0
        """How many cluster files there are."""
        self.failed_files = 0
        """How many of these are not applied as they are now."""
        self._path = path
        self._environ = environ
        self._read_file = read
        self._applied: Config | None = None
        self._watched: dict[Path, _Watched] = {}

    def load(self) -> Config:
        """Read and accept all files.

        Raises:
            ConfigError: with every problem that could be found; what was applied stays applied.
        """
        config = self.read()
        self.accept(config)
        return config

    def read(self) -> Config:
        """Read the configuration file and every cluster file anew; what is applied stays applied.

        Raises:
            ConfigError: with every problem that could be found.
        """
        main = read_main_file(self._path, environ=self._environ)
        matched = match_patterns(main.patterns, main.path)
        check = cache(check_file)
        found = main.check(check)
        found.errors.update(matched.errors)
        own = make_clusters(main, main.entries, check)
        files: dict[Path, Clusters] = {}
        for path in sorted(matched.files):
            content = self._content(path, matched.files[path])
            if isinstance(content, Problem):
                found.errors.add(content)
                continue
            file = parse_cluster_file(content, path, environ=self._environ)
            found.errors.update(file.problems)
            content_hash = sha256(content).digest()
            files[path] = make_clusters(main, file.entries, check, content_hash=content_hash)
        own = replace(own, warnings=own.warnings | found.warnings)
        sources = LoadedFiles(main=main, own=own, files=files)
        found.errors.update(error for part in sources.parts for error in part.errors)
        found.errors.update(problem for _, problem in _conflicts(sources.parts))
        if found.errors:
            raise ConfigError(found.errors)
        return assemble(sources, matched.warnings)

    def accept(self, config: Config) -> None:
        """Take over what :meth:`read` has read: :meth:`scan` compares with it from now on."""
        self._applied = config
        self._watched = {
            path: _Watched(applied=clusters, seen=clusters.content_hash)
            for path, clusters in config.sources.files.items()
        }
        self._publish(())

    def scan(self) -> Config | None:
        """Read all cluster files; return the new configuration where it has changed.

        The configuration file is not read again.
        """
        if self._applied is None or not self._applied.cluster_files:
            return None
        sources = self._applied.sources
        matched = match_patterns(sources.main.patterns, sources.main.path)
        is_changed = False
        for path in sorted({*self._watched, *matched.files}):
            file = self._watched.setdefault(path, _Watched())
            if path in matched.files:
                self._scan_file(path, matched.files[path], file)
            elif (why := matched.why_unknown(path)) is not None:
                file.changed, file.problems = None, (why,)
            elif file.seen is not None:
                file.seen = file.changed = None
            else:
                del self._watched[path]
                is_changed = is_changed or file.applied is not None
        is_changed = self._apply_changed(sources) or is_changed
        self._publish(matched.errors)
        if not is_changed:
            return None
        files = {path: file.applied for path, file in sorted(self._watched.items()) if file.applied}
        return assemble(replace(sources, files=files), matched.warnings)

    def _scan_file(self, path: Path, pattern: Pattern, file: _Watched) -> None:
        """Read a file, and parse what is neither applied nor different from the scan before."""
        content = self._content(path, pattern)
        seen = content if isinstance(content, Problem) else sha256(content).digest()
        if seen != file.seen:
            file.seen, file.changed = seen, None
        elif isinstance(content, Problem):
            file.problems = (content,)
        elif file.applied is not None and seen == file.applied.content_hash:
            file.problems = ()
        elif file.changed is None:
            file.changed = parse_cluster_file(content, path, environ=self._environ)
            file.problems = file.changed.problems

    def _content(self, path: Path, pattern: Pattern) -> bytes | Problem:
        try:
            return self._read_file(path)
        except (OSError, ValueError) as error:
            why = why_unreadable(error)
        if pattern.has_wildcard:
            return Problem(file=str(path), line=0, key="", message=why)
        return pattern.location.problem(f"{why}: {pattern.displayed(path)}")

    def _apply_changed(self, sources: LoadedFiles) -> bool:
        """Apply the files that have changed and can be applied; say whether there was one."""
        check = cache(check_file)
        changed: dict[Path, Clusters] = {}
        for path, file in sorted(self._watched.items()):
            if isinstance(file.seen, bytes) and file.changed is not None and not file.changed.problems:
                entries = file.changed.entries
                clusters = make_clusters(sources.main, entries, check, content_hash=file.seen)
                # What is missing in a profile is a problem of this file, whose cluster needs it.
                file.problems = tuple(
                    problem
                    if problem.file == str(path)
                    else Problem(file=str(path), line=0, key="", message=str(problem))
                    for problem in clusters.errors
                )
                if not file.problems:
                    changed[path] = clusters
        while (conflict := self._conflict(sources.own, changed)) is not None:
            path, problem = conflict
            self._watched[path].problems = (problem,)
            del changed[path]
        for path, clusters in changed.items():
            self._watched[path].applied, self._watched[path].changed = clusters, None
        return bool(changed)

    def _conflict(self, own: Clusters, changed: Mapping[Path, Clusters]) -> tuple[Path, Problem] | None:
        """Return the first of the changed files that has a name which is taken."""
        kept = [file.applied for path, file in self._watched.items() if file.applied and path not in changed]
        parts = (own, *kept, *changed.values())
        return next(((Path(entry.document.file), problem) for entry, problem in _conflicts(parts)), None)

    def _publish(self, errors: Iterable[Problem]) -> None:
        problems = (problem for file in self._watched.values() for problem in file.problems)
        self.problems = tuple(sorted({*errors, *problems}))
        self.files = len(self._watched)
        self.failed_files = sum(bool(file.problems) for file in self._watched.values())


def _conflicts(parts: Iterable[Clusters]) -> Iterator[tuple[Section[Any], Problem]]:
    """Yield every entry whose name an earlier one has, with the mistake."""
    entries = distinct(entry for part in parts for entry in part.entries)
    return name_conflicts(entry for entry in entries if entry is not None)
