"""The values of one file, where they are written, and the mistakes found in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from exporter.config.problems import KeyPath, Problem, SourceLocation

_VARIABLE: Final = re.compile(r"\$\$|\$\{([^}]*)\}|\$\{.*", re.DOTALL)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


BROKEN: Final = object()
"""Stands for a value whose mistake has been reported."""


@dataclass(slots=True, kw_only=True)
class Document:
    """One file: its values, where they are written, and the mistakes found in them so far."""

    file: str
    """As the operator named it, for messages."""
    folder: Path
    """Absolute; relative paths in the file begin here."""
    root: Any = field(default=BROKEN, repr=False)
    """Mappings, lists, text, numbers, true, false and None."""
    line: int = 0
    """Of the root; 0 where there is none."""
    lines: dict[KeyPath, int] = field(default_factory=dict, repr=False)
    """Of each key of a mapping and each item of a list."""
    texts: dict[KeyPath, str] = field(default_factory=dict, repr=False)
    """The written text wherever the value differs from it: ``${NAME}``, a number, true, nothing."""
    problems: list[Problem] = field(default_factory=list)
    _broken: set[KeyPath] = field(default_factory=set, repr=False)
    _around_broken: set[KeyPath] = field(default_factory=set, repr=False)

    def value(self, path: KeyPath) -> Any:  # noqa: ANN401 - a file can hold everything
        """Return the value at ``path``; None where there is none."""
        value = self.root
        for step in path:
            try:
                value = value[step]
            except (LookupError, TypeError):
                return None
        return value

    def location(self, path: KeyPath) -> SourceLocation:
        """Return where the key at ``path`` stands, or else the nearest mapping around it."""
        around = (path[:length] for length in range(len(path), 0, -1))
        line = next((self.lines[one] for one in around if one in self.lines), self.line)
        return SourceLocation(file=self.file, line=line, path=path)

    def take_as_text(self, path: KeyPath) -> None:
        """Replace numbers and the like in the mapping at ``path`` by the text that was written.

        Readers in Go do the same where they want text. A key without a value becomes empty text.
        """
        mapping = self.value(path)
        if isinstance(mapping, dict):
            for key, value in mapping.items():
                if value is None or isinstance(value, int | float):
                    mapping[key] = "" if value is None else self.texts[*path, key]

    def report(self, path: KeyPath, message: str) -> None:
        """Add a mistake in the key at ``path``."""
        self.problems.append(self.location(path).problem(message))

    def reject(self, path: KeyPath, *, empty: object = None) -> None:
        """Take away the value at ``path``, whose mistake has been reported; put ``empty`` in its place.

        Without ``empty``, the list around the value goes as well: what it means is not known.
        """
        while empty is None and path and isinstance(path[-1], int):
            path = path[:-1]
        self._broken.add(path)
        self._around_broken.update(path[:length] for length in range(len(path)))
        holder = self.value(path[:-1])
        if not path:
            self.root = {}
        elif empty is None:
            holder.pop(path[-1], None)
        elif isinstance(path[-1], int) or path[-1] in holder:  # a key that is wrong as well may be gone
            holder[path[-1]] = empty

    def has(self, path: KeyPath) -> bool:
        """Say whether a key is written at ``path`` and has not been taken away."""
        is_taken_away = self._broken and any(path[:length] in self._broken for length in range(len(path) + 1))
        return path in self.lines and not is_taken_away

    def is_broken(self, paths: Iterable[KeyPath]) -> bool:
        """Say whether a mistake has been found in the value at one of the paths, below or around it."""
        return bool(self._broken) and any(
            path in self._around_broken
            or any(path[:length] in self._broken for length in range(len(path) + 1))
            for path in paths
        )


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Put environment variables in place of ``${NAME}``, and ``$`` in place of ``$$``.

    Raises:
        ValueError: with everything that is wrong, and no part of a value.
    """
    wrong: list[str] = []

    def replacement(match: re.Match[str]) -> str:
        name = match[1]
        if match[0] == "$$":
            return "$"
        if name is None:
            wrong.append("${ without a closing }; write $${ for a literal ${")
        elif not _NAME.fullmatch(name):
            wrong.append("${...} holds no variable's name; write $${ for a literal ${")
        elif name not in environ:
            wrong.append(f"the environment variable {name} is not set")
        else:
            return environ[name]
        return ""

    expanded = _VARIABLE.sub(replacement, text) if "$" in text else text
    if "\0" in expanded:
        wrong.append("a NUL character in a value")
    if not expanded.isascii() and _SURROGATE.search(expanded):
        wrong.append("a value that is not Unicode text")
    if wrong:
        raise ValueError("; ".join(wrong))
    return expanded


def has_variable(text: str) -> bool:
    """Say whether :func:`expand` puts the value of an environment variable into ``text``."""
    return "$" in text and any(match[1] is not None for match in _VARIABLE.finditer(text))


def escape(text: str) -> str:
    """Return what :func:`expand` turns back into ``text``."""
    return text.replace("$", "$$")
