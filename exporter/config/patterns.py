"""The files that a pattern such as ``clusters.d/*.yaml`` matches, and the folders that could not be listed.

Unlike :mod:`glob`, which keeps silent about errors: a folder that cannot be read is not an empty one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path
from typing import Final

_WILDCARDS: Final = re.compile(r"[*?\[]")
_MOST_NAMES: Final = 50_000


@dataclass(slots=True, kw_only=True)
class Matches:
    """What one pattern matches now."""

    base: Path
    """The folder in front of the first wildcard."""
    files: list[Path] = field(default_factory=list)
    failures: dict[Path, OSError] = field(default_factory=dict)
    """Folders that could not be listed, so that what they hold is not known."""
    names: int = 0
    """How many names were looked at."""


def check_pattern(pattern: str) -> str:
    """Return a pattern that :func:`match_files` takes.

    Raises:
        ValueError: it is none.
    """
    if "\0" in pattern:
        raise ValueError("no file can have this name")
    if "**" in Path(pattern).parts:
        raise ValueError("** is not supported; * stands for the name of one folder")
    return pattern


def has_wildcard(pattern: str) -> bool:
    """Tell whether a pattern can match several files, or none."""
    return _WILDCARDS.search(pattern) is not None


def match_files(pattern: str, folder: Path) -> Matches:
    """Return the files that ``pattern`` matches, from ``folder`` where it is relative.

    A pattern without a wildcard matches its file whether or not it is there. A wildcard matches neither
    folders nor hidden files, and nothing across ``/``.
    """
    base, parts = folder, Path(pattern).parts
    while parts and not has_wildcard(parts[0]):
        base, parts = base / parts[0], parts[1:]
    matches = Matches(base=base)
    if parts:
        matches.files.extend(_expand(base, parts, matches))
        if matches.names > _MOST_NAMES:
            matches.files.clear()
    else:
        matches.files.append(base)
    return matches


def _expand(folder: Path, parts: tuple[str, ...], matches: Matches) -> Iterator[Path]:
    part, rest = parts[0], parts[1:]
    is_match = re.compile(translate(part)).match
    is_hidden_meant = part.startswith(".")
    for entry in _list(folder, matches):
        if is_match(entry.name) is None or (entry.name.startswith(".") and not is_hidden_meant):
            continue
        if _is_folder(entry) is bool(rest):
            path = folder / entry.name
            yield from _expand(path, rest, matches) if rest else [path]


def _list(folder: Path, matches: Matches) -> list[os.DirEntry[str]]:
    if matches.names > _MOST_NAMES:
        return []
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        matches.failures[folder] = error
        return []
    matches.names += len(entries)
    if matches.names > _MOST_NAMES:
        matches.failures[matches.base] = OSError(0, f"more than {_MOST_NAMES} names to look at")
        return []
    return entries


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
