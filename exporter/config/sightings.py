"""Which cluster files there are now, and what could not be seen."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from exporter.config.content import Signature, sign
from exporter.config.patterns import Matches, has_wildcard, match_files
from exporter.config.problems import Problem

if TYPE_CHECKING:
    from exporter.config.sections import FilePattern


# In a message or a comment, these would end the line or could not be written at all.
_UNPRINTABLE: Final = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(slots=True, kw_only=True)
class Sightings:
    """What the patterns match at one moment."""

    files: dict[Path, Signature] = field(default_factory=dict)
    """Sorted by name, each file once, however many patterns and links lead to it."""
    hidden: dict[Path, Problem] = field(default_factory=dict)
    """Folders that could not be listed: whether their files are still there is not known."""
    sources: dict[Path, FilePattern] = field(default_factory=dict)
    """By which pattern each file was found first."""
    devices: dict[Path, int] = field(default_factory=dict)
    """The file system that each folder of these files is on."""
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def hides(self, path: Path) -> Problem | None:
        """Return why it cannot be told whether a file is still there; ``None`` where it can."""
        return next((why for folder, why in self.hidden.items() if folder in path.parents), None)


def see(main: Path, patterns: Iterable[FilePattern]) -> Sightings:
    """Match every pattern of the configuration file ``main``."""
    seen = Sightings()
    main_identity = sign(main).identity
    signatures: dict[Path, Signature] = {}
    for entry in patterns:
        matches = match_files(entry.pattern, main.parent)
        for folder, error in matches.failures.items():
            _note_failure(seen, entry, matches, folder, error)
        if not matches.files and not matches.failures:
            seen.warnings.append(entry.place.problem("matches no file"))
        for path in matches.files:
            seen.sources.setdefault(path, entry)
            signature = signatures.setdefault(path, sign(path))
            if _UNPRINTABLE.search(str(path)):
                seen.errors.append(
                    entry.place.problem(f"a file's name is not printable: {entry.told(path)!a}")
                )
                del signatures[path]
            elif main_identity is not None and signature.identity == main_identity:
                seen.errors.append(
                    entry.place.problem(f"matches the configuration file itself: {entry.told(path)}")
                )
                del signatures[path]
    known: set[tuple[int, int]] = set()
    for path, signature in sorted(signatures.items()):
        if signature.identity not in known:
            seen.files[path] = signature
            known.update([signature.identity] if signature.identity else ())
    seen.devices = {folder: sign(folder).device for folder in {path.parent for path in seen.files}}
    return seen


def moved_away(path: Path, device: int) -> Problem | None:
    """Return why a missing file may not be gone: its folder was on another file system, ``device``."""
    now = sign(path.parent)
    if now.failure or now.device == device:
        return None
    message = "is missing, and its folder is on another file system than before"
    return Problem(file=str(path), line=0, key="", message=message)


def unread(path: Path, source: FilePattern, why: str) -> Problem:
    """Return the problem of a file that cannot be read; its name may be a secret put in the wrong place."""
    if source.written is not None and not has_wildcard(source.pattern):
        return source.place.problem(f"{why}: {source.written}")
    return Problem(file=str(path), line=0, key="", message=why)


def _note_failure(
    seen: Sightings, entry: FilePattern, matches: Matches, folder: Path, error: OSError
) -> None:
    problem = entry.place.problem(f"cannot be read: {error.strerror}: {entry.told(folder)}")
    if not isinstance(error, FileNotFoundError):
        seen.hidden[folder] = problem
        seen.errors.append(problem)
    elif folder == matches.base:
        seen.hidden[folder] = problem
        seen.warnings.append(entry.place.problem(f"matches no file; there is no folder {entry.told(folder)}"))
    # Any other folder has just been listed: it has gone since, and its files with it.
