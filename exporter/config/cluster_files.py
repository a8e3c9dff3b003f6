"""The configuration file and its cluster files: all of them read, then the cluster files scanned for changes.

A cluster file replaces the clusters that it had before once two scans in a row have read the same content, it
has no mistake, and the names of its clusters are free. Until then, its last good content is kept. Only a file
that is known to be gone takes its clusters away; one in a folder that cannot be listed is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from exporter.config.checks import Diagnostics, check_cleanup, check_settings, name_conflicts
from exporter.config.loader import (
    ClusterFile,
    Clusters,
    MainFile,
    Pattern,
    assemble,
    digest,
    make_clusters,
    parse_cluster_file,
    read_main_file,
)
from exporter.config.merge import Config
from exporter.config.named_files import NamedFiles, has_wildcard, match_files
from exporter.config.problems import ConfigError, Problem
from exporter.config.yaml_source import MAX_BYTES
from exporter.files import read_file, why_unreadable

# In a message or a comment, these would end the line or could not be written at all.
_UNPRINTABLE: Final = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

Reader = Callable[[Path], bytes]
"""Reads a cluster file; raises what :func:`exporter.files.read_file` raises."""


def load_config(path: Path, *, environ: Mapping[str, str]) -> Config:
    """Read and check a configuration file and every file that it names.

    ``environ`` holds what ``${NAME}`` stands for.

    Raises:
        ConfigError: with every problem that could be found, whatever the files hold.
    """
    return ConfigFiles(path, environ=environ).load()


def read_cluster_file(path: Path) -> bytes:
    """Return the content of a cluster file; raises what :func:`exporter.files.read_file` raises."""
    return read_file(path, max_bytes=MAX_BYTES)


@dataclass(slots=True, kw_only=True)
class Matched:
    """The cluster files that the patterns match at one moment."""

    files: dict[Path, Pattern] = field(default_factory=dict)
    """Sorted by name, each file once, however many patterns and links lead to it, with the first pattern."""
    unlisted: dict[Path, Problem] = field(default_factory=dict)
    """Folders that could not be listed: whether their files are still there is not known."""
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def why_unknown(self, path: Path) -> Problem | None:
        """Return why a file is neither matched nor known to be gone; ``None``: it is gone."""
        return next((why for folder, why in self.unlisted.items() if folder in path.parents), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A configuration that has been read and has no mistake, but is not applied yet."""

    config: Config
    main: MainFile
    own: Clusters
    warnings: frozenset[Problem]
    """Of the configuration file."""
    files: Mapping[Path, tuple[ClusterFile, Clusters]]


@dataclass(slots=True, kw_only=True)
class _Watched:
    """One cluster file, from scan to scan."""

    applied: Clusters | None = None
    """``None``: it has never been good."""
    applied_hash: bytes | Problem | None = None
    seen: bytes | Problem | None = None
    """By the last scan: a hash of the content, why it could not be read, or ``None``: the file was gone."""
    changed: ClusterFile | None = None
    """What it says now, where that is not applied."""
    problems: tuple[Problem, ...] = ()
    """Why not."""


class ConfigFiles:
    """The configuration file and its cluster files, with the last good content of each.

    Its methods block and are not for several threads at once; what is published may be read at any time.

    Args:
        path: the configuration file.
        environ: what ``${NAME}`` stands for.
        read: reads a cluster file.

    Attributes:
        problems: why cluster files are not applied as they are now, and folders that cannot be listed.
        files: how many cluster files there are.
        failed_files: how many of these are not applied as they are now.
    """

    def __init__(self, path: Path, *, environ: Mapping[str, str], read: Reader = read_cluster_file) -> None:
        self.problems: tuple[Problem, ...] = ()
        self.files = 0
        self.failed_files = 0
        self._path = path
        self._environ = environ
        self._read_file = read
        self._applied: Candidate | None = None
        self._watched: dict[Path, _Watched] = {}

    def load(self) -> Config:
        """Read and accept all files.

        Raises:
            ConfigError: with every problem that could be found; what was applied stays applied.
        """
        candidate = self.read()
        self.accept(candidate)
        return candidate.config

    def read(self) -> Candidate:
        """Read the configuration file and every cluster file anew; what is applied stays applied.

        Raises:
            ConfigError: with every problem that could be found.
        """
        main = read_main_file(self._path, environ=self._environ)
        matched = _match(main)
        named = NamedFiles()
        found = Diagnostics()
        for section in (main.defaults, *main.profiles.values()):
            check_settings(section, named, found)
        if main.cleanup is not None:
            check_cleanup(main.cleanup, found)
        own = make_clusters(main, main.entries, named)
        files = {}
        for path, pattern in matched.files.items():
            file = self._load(path, pattern)
            files[path] = file, make_clusters(main, file.entries, named)
            found.errors.update(file.problems)
        for clusters in (own, *(clusters for _, clusters in files.values())):
            found.errors.update(clusters.errors)
        entries = (entry for file, _ in files.values() for entry in file.entries)
        found.errors.update(problem for _, problem in name_conflicts((*main.entries, *entries)))
        found.errors.update(main.document.problems, matched.errors)
        if found.errors:
            raise ConfigError(found.errors)
        warnings = frozenset(found.warnings)
        applied = {path: clusters for path, (_, clusters) in files.items()}
        config = assemble(main, own, applied, (*warnings, *matched.warnings))
        return Candidate(config=config, main=main, own=own, warnings=warnings, files=files)

    def accept(self, candidate: Candidate) -> None:
        """Take over what :meth:`read` has read: from now on, :meth:`scan` returns what differs from that."""
        self._applied = candidate
        self._watched = {
            path: _Watched(applied=clusters, applied_hash=file.digest, seen=file.digest)
            for path, (file, clusters) in candidate.files.items()
        }
        self._publish(())

    def scan(self) -> Config | None:
        """Read all cluster files; return the new configuration where it has changed.

        The configuration file is not read again.
        """
        applied = self._applied
        if applied is None or not applied.main.patterns:
            return None
        matched = _match(applied.main)
        is_changed = False
        for path in sorted({*self._watched, *matched.files}):
            file = self._watched.setdefault(path, _Watched())
            why = None if path in matched.files else matched.why_unknown(path)
            if why is not None:
                file.problems = (why,)
            elif self._has_settled(path, file, matched.files.get(path)) and file.seen is None:
                del self._watched[path]
                is_changed = is_changed or file.applied is not None
        is_changed = self._apply_changed(applied) or is_changed
        self._publish(matched.errors)
        if not is_changed:
            return None
        files = {
            path: file.applied for path, file in sorted(self._watched.items()) if file.applied is not None
        }
        return assemble(applied.main, applied.own, files, (*applied.warnings, *matched.warnings))

    def _load(self, path: Path, pattern: Pattern) -> ClusterFile:
        content = self._content(path, pattern)
        if isinstance(content, Problem):
            return ClusterFile(path=path, digest=b"", entries=(), problems=(content,))
        return parse_cluster_file(content, path, environ=self._environ)

    def _content(self, path: Path, pattern: Pattern) -> bytes | Problem:
        try:
            return self._read_file(path)
        except (OSError, ValueError) as error:
            why = why_unreadable(error)
        if pattern.written is not None and not has_wildcard(pattern.pattern):
            # The path may be a secret put in the wrong place.
            return pattern.location.problem(f"{why}: {pattern.written}")
        return Problem(file=str(path), line=0, key="", message=why)

    def _has_settled(self, path: Path, file: _Watched, pattern: Pattern | None) -> bool:
        """Read a file; whether it is as in the scan before."""
        content = None if pattern is None else self._content(path, pattern)
        seen = digest(content) if isinstance(content, bytes) else content
        if seen != file.seen:
            file.seen = seen
            return False
        if isinstance(content, Problem):
            file.changed, file.problems = None, (content,)
        elif seen == file.applied_hash:
            file.changed, file.problems = None, ()
        elif content is not None and (file.changed is None or file.changed.digest != seen):
            file.changed = parse_cluster_file(content, path, environ=self._environ)
            file.problems = file.changed.problems
        return True

    def _apply_changed(self, applied: Candidate) -> bool:
        """Apply the files that have changed and can be applied; whether there was one."""
        named = NamedFiles()
        changed: dict[Path, Clusters] = {}
        for path, file in sorted(self._watched.items()):
            if file.changed is not None and not file.changed.problems:
                clusters = make_clusters(applied.main, file.changed.entries, named)
                file.problems = tuple(_own(clusters, path))
                if not file.problems:
                    changed[path] = clusters
        while (conflict := self._conflict(applied, changed)) is not None:
            path, problem = conflict
            self._watched[path].problems = (problem,)
            del changed[path]
        for path, clusters in changed.items():
            file = self._watched[path]
            file.applied, file.applied_hash, file.changed = clusters, file.seen, None
        return bool(changed)

    def _conflict(self, applied: Candidate, changed: Mapping[Path, Clusters]) -> tuple[Path, Problem] | None:
        """Return the first of the changed files that has a name which is taken."""
        kept = [file.applied for path, file in self._watched.items() if file.applied and path not in changed]
        parts = (applied.own, *kept, *changed.values())
        conflicts = name_conflicts(entry for part in parts for entry in part.entries)
        return next(((Path(entry.document.file), problem) for entry, problem in conflicts), None)

    def _publish(self, errors: Iterable[Problem]) -> None:
        problems = (problem for file in self._watched.values() for problem in file.problems)
        self.problems = tuple(sorted({*errors, *problems}))
        self.files = len(self._watched)
        self.failed_files = sum(bool(file.problems) for file in self._watched.values())


def _own(clusters: Clusters, path: Path) -> Iterable[Problem]:
    """Return the mistakes of a cluster file, each of which stands in this file."""
    return sorted(
        problem if problem.file == str(path) else entry.problem(str(problem))
        for problem, entry in clusters.errors.items()
    )


def _match(main: MainFile) -> Matched:
    """Match every pattern of the configuration file."""
    matched = Matched()
    found: dict[Path, Pattern] = {}
    for pattern in main.patterns:
        for path in _match_one(pattern, main.path.parent, matched):
            found.setdefault(path, pattern)
    own = _identity(main.path)
    known = set()
    for path, pattern in sorted(found.items(), key=lambda item: item[0]):
        identity = _identity(path)
        if _UNPRINTABLE.search(str(path)):
            message = f"a file's name is not printable: {pattern.displayed(path)!a}"
            matched.errors.append(pattern.location.problem(message))
        elif identity is not None and identity == own:
            message = f"matches the configuration file itself: {pattern.displayed(path)}"
            matched.errors.append(pattern.location.problem(message))
        elif identity is None or identity not in known:
            matched.files[path] = pattern
            known.add(identity)
    return matched


def _match_one(pattern: Pattern, folder: Path, matched: Matched) -> list[Path]:
    matches = match_files(pattern.pattern, folder)
    for unlisted, error in matches.failures.items():
        shown = pattern.displayed(unlisted)
        problem = pattern.location.problem(f"cannot be read: {error.strerror}: {shown}")
        if not isinstance(error, FileNotFoundError):
            matched.unlisted[unlisted] = problem
            matched.errors.append(problem)
        elif unlisted == matches.base:
            matched.unlisted[unlisted] = problem
            message = f"matches no file; there is no folder {shown}"
            matched.warnings.append(pattern.location.problem(message))
        # Any other folder has just been listed: it has gone since, and its files with it.
    if not matches.files and not matches.failures:
        matched.warnings.append(pattern.location.problem("matches no file"))
    return matches.files


def _identity(path: Path) -> tuple[int, int] | None:
    """Return the same for two paths to one file; ``None`` where there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
