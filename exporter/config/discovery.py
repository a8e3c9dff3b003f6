"""The configuration file together with its cluster files, and what changes in these while the program runs.

A cluster file that cannot be used, as it is now, stays in force as it was. Only one that is known to be
gone takes its clusters with it; one in a folder that cannot be listed is not known to be gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

from exporter.config.assembly import assemble
from exporter.config.checks import Findings
from exporter.config.content import ContentError, UnreadableError, digest, read_content
from exporter.config.model import ClusterFile, Config
from exporter.config.problems import ConfigError, Problem
from exporter.config.reader import read_document
from exporter.config.sightings import Sightings, moved_away, see, unread
from exporter.config.watched import Sight, Watched

if TYPE_CHECKING:
    from exporter.config.sections import Sections

_PATIENCE_LOOKS: Final = 2
"""How often a change waits for another file that is still being written: they may belong together."""
_MOST_ATTEMPTS: Final = 8
"""How many files are left out one by one, where names are taken, before all of them are."""
_RETRY_LOOKS: Final = 6
"""After how many looks a file that did not go together with the others is tried again by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What the files say: a configuration without a mistake, that is not in force yet."""

    config: Config
    sections: Sections
    """Of the configuration file."""
    files: Mapping[Path, ClusterFile]
    """Every cluster file."""
    seen: Sightings
    """Taken before any of these was read, so that whatever changes from then on is noticed."""


class ConfigFiles:
    """The configuration file in force and its cluster files, with the last good content of each.

    :meth:`accept` and :meth:`look` wait for each other; what is published may be read at any time.
    """

    def __init__(self, path: Path, *, environ: Mapping[str, str]) -> None:
        self.problems: tuple[Problem, ...] = ()
        """Why cluster files are not in force as they are now, and folders that cannot be listed."""
        self.files = 0
        """How many cluster files match now."""
        self.failed_files = 0
        """How many of these are not in force as they are now."""
        self._path = path
        self._environ = environ
        self._lock = Lock()
        self._sections: Sections | None = None
        self._watched: dict[Path, Watched] = {}
        self._patience = _PATIENCE_LOOKS
        self._looks_until_retry = _RETRY_LOOKS

    def load(self) -> Config:
        """Read the configuration file and every cluster file anew, and take over what they say.

        Raises:
            ConfigError: with every problem that could be found; what was in force stays in force.
        """
        candidate = self.read()
        self.accept(candidate)
        return candidate.config

    def read(self) -> Candidate:
        """Read the configuration file and every cluster file anew; what is in force stays in force.

        Raises:
            ConfigError: with every problem that could be found.
        """
        # Here and not above: pydantic takes longer to import than everything else that reads a configuration.
        from exporter.config.sections import read_sections  # noqa: PLC0415

        document, problems = read_document(self._path, environ=self._environ)
        sections = read_sections(document)
        seen = see(self._path, sections.cluster_files)
        findings = Findings(errors={*problems, *sections.problems, *seen.errors}, warnings=set(seen.warnings))
        files = {path: self._load_file(path, seen) for path in seen.files}
        findings.errors.update(problem for file in files.values() for problem in file.problems)
        config = assemble(sections, files.values(), findings)
        if findings.errors:
            raise ConfigError(findings.errors)
        return Candidate(config=config, sections=sections, files=files, seen=seen)

    def accept(self, candidate: Candidate) -> None:
        """Take over what :meth:`read` has read: from now on, :meth:`look` tells what differs from that."""
        seen = candidate.seen
        with self._lock:
            self._sections = candidate.sections
            self._watched = {
                path: Watched(
                    in_force=candidate.files[path],
                    seen=signature,
                    taken=signature,
                    device=seen.devices[path.parent],
                )
                for path, signature in seen.files.items()
            }
            self._patience = _PATIENCE_LOOKS
            self._looks_until_retry = _RETRY_LOOKS
            self._publish(seen, {})

    def look(self) -> Config | None:
        """Look for cluster files that came, went or changed; blocking, so that it is for a thread.

        A change counts once two looks in a row have seen the same file, or, where that is another one every
        time, once they have seen the same content. Returns the new configuration where there
        is one, in which the configuration file is as :meth:`accept` has taken it over last.
        """
        with self._lock:
            if self._sections is None or not self._sections.cluster_files:
                return None
            seen = see(self._path, self._sections.cluster_files)
            unknown = self._unknown(seen)
            config = self._take(self._sections, seen, self._settled(seen, unknown))
            self._publish(seen, unknown)
            return config

    def _load_file(self, path: Path, seen: Sightings) -> ClusterFile:
        try:
            content = read_content(path, may_be_stream=False)
        except ContentError as error:
            problem = unread(path, seen.sources[path], str(error))
            return ClusterFile(path=path, digest=b"", clusters=(), problems=(problem,))
        return self._parse(content, path)

    def _parse(self, content: bytes, path: Path) -> ClusterFile:
        from exporter.config.cluster_files import parse_cluster_file  # noqa: PLC0415 - loads pydantic

        return parse_cluster_file(content, path, environ=self._environ)

    def _unknown(self, seen: Sightings) -> dict[Path, Problem]:
        """Return the files that were not seen, and yet are not known to be gone, with the reason."""
        unknown = {}
        for path, entry in self._watched.items():
            if path not in seen.files:
                why = seen.hides(path) or moved_away(path, entry.device)
                if why is not None:
                    unknown[path] = why
        return unknown

    def _settled(self, seen: Sightings, unknown: Collection[Path]) -> list[Path]:
        """Return the files whose change is to be taken now: for a while none, where others still change."""
        changed = []
        is_moving = False
        for path in sorted({*self._watched, *seen.files} - set(unknown)):
            signature = seen.files.get(path)
            entry = self._watched.setdefault(path, Watched())
            sight = entry.look(path, signature, seen.sources.get(path))
            is_moving |= sight is Sight.MOVING
            changed += [path] if sight is Sight.CHANGED else []
            entry.device = seen.devices.get(path.parent, entry.device)
        if is_moving and self._patience:
            self._patience -= 1
            return []
        self._patience = _PATIENCE_LOOKS
        return changed

    def _take(self, sections: Sections, seen: Sightings, changed: Iterable[Path]) -> Config | None:
        """Take what has changed into force as far as it is good."""
        is_less = is_more = False
        for path in changed:
            if path in seen.files:
                is_more |= self._reread(path, seen)
            else:
                is_less |= self._watched.pop(path).in_force is not None
        rejected = [path for path, entry in self._watched.items() if entry.rejected is not None]
        self._looks_until_retry -= 1
        if not (is_less or is_more or (rejected and self._looks_until_retry <= 0)):
            return None
        config, accepted = self._fit_together(sections, seen, set(rejected))
        # What did not go together with an older state of the others may do so now.
        self._looks_until_retry = 1 if accepted else _RETRY_LOOKS
        return config if is_less or accepted else None

    def _reread(self, path: Path, seen: Sightings) -> bool:
        """Read a file anew; tell whether it may now be taken into force."""
        entry, signature = self._watched[path], seen.files[path]
        entry.rejected = None
        entry.taken = None
        try:
            content = read_content(path, may_be_stream=False)
        except ContentError as error:
            entry.fail(unread(path, seen.sources[path], str(error)))
            entry.taken = None if isinstance(error, UnreadableError) else signature
            return False
        if not entry.is_still(path, content):
            return False
        entry.taken = signature
        entry.weighed = digest(content)
        entry.problems = ()
        if entry.in_force is not None and entry.weighed == entry.in_force.digest:
            return False
        file = self._parse(content, path)
        entry.problems = file.problems
        if file.problems:
            return False
        entry.rejected = file
        return True

    def _fit_together(
        self, sections: Sections, seen: Sightings, candidates: set[Path]
    ) -> tuple[Config, set[Path]]:
        """Take as many candidates into force as go together with all that is; return these too."""
        attempts = 0
        while True:
            files = [
                entry.rejected if path in candidates else entry.in_force
                for path, entry in sorted(self._watched.items())
            ]
            findings = Findings(warnings=set(seen.warnings))
            latest = {str(path) for path in candidates}
            config = assemble(sections, filter(None, files), findings, latest=latest)
            if not findings.errors:
                break
            for path in _to_blame(candidates, findings, one_by_one=attempts < _MOST_ATTEMPTS):
                own = (problem for problem in findings.errors if problem.file == str(path))
                self._watched[path].problems = tuple(sorted(own))
                candidates.discard(path)
            attempts += 1
        for path in candidates:
            entry = self._watched[path]
            entry.in_force, entry.rejected, entry.problems = entry.rejected, None, ()
        return config, candidates

    def _publish(self, seen: Sightings, unknown: Mapping[Path, Problem]) -> None:
        failed = {path: entry.problems for path, entry in self._watched.items() if entry.problems}
        failed |= {path: (why,) for path, why in unknown.items()}
        self.problems = tuple(sorted({*seen.errors, *chain.from_iterable(failed.values())}))
        self.files = len(seen.files.keys() | unknown.keys())
        self.failed_files = len(failed.keys() & (seen.files.keys() | unknown.keys()))


def _to_blame(candidates: Collection[Path], findings: Findings, *, one_by_one: bool) -> list[Path]:
    """Return the files to leave out: first those that are bad by themselves, then one that is in the way."""
    bad_alone = {problem.file for problem in findings.errors - findings.conflicts}
    blamed = bad_alone or {problem.file for problem in findings.errors}
    paths = [path for path in sorted(candidates) if str(path) in blamed]
    return paths[:1] if one_by_one and not bad_alone else paths
