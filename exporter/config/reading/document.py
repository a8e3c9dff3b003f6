"""The values of one file, which know their lines, and the mistakes found in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from exporter.config.problems import KeyPath, Problem, SourceLocation

_VARIABLE: Final = re.compile(r"\$\$|\$\{([^}]*)\}|\$\{.*", re.DOTALL)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class SourceMapping(dict[str, "Value"]):
    """A mapping that knows the line of each key.

    Attributes:
        lines: of the keys.
        plain: what was written where the value is no text but a number, true, false or nothing.
    """

    __slots__ = ("lines", "plain")

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}
        self.plain: dict[str, str] = {}


class SourceList(list["Value"]):
    """A list that knows the line of each item."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[int] = []


class ExpandedText(str):
    """Text with environment variables replaced; ``written`` is the text in the file, for messages."""

    __slots__ = ("written",)
    written: str

    def __new__(cls, expanded: str, *, written: str) -> Self:
        """Make text of ``expanded``."""
        text = super().__new__(cls, expanded)
        text.written = written
        return text


class Broken:
    """Stands for a value whose mistake has been reported."""


BROKEN: Final = Broken()
Value = SourceMapping | SourceList | str | int | float | bool | Broken | None
"""Everything that a file can hold."""


@dataclass(slots=True, kw_only=True)
class Document:
    """One file: its values, and the mistakes found in it so far."""

    file: str
    """As the operator named it, for messages."""
    folder: Path
    """Absolute; relative paths in the file begin here."""
    root: Value = field(default=BROKEN, repr=False)
    line: int = 0
    """Of the root; 0 where there is none."""
    problems: list[Problem] = field(default_factory=list)
    _broken: set[KeyPath] = field(default_factory=set, repr=False)
    _broken_below: set[KeyPath] = field(default_factory=set, repr=False)

    def value(self, path: KeyPath) -> Value:
        """Return the value at ``path``; ``None`` where there is none."""
        value = self.root
        for step in path:
            value = _below(value, step)
        return value

    def location(self, path: KeyPath) -> SourceLocation:
        """Return where the key at ``path`` stands, or else the nearest mapping around it."""
        line = self.line
        value: Any = self.root
        for step in path:
            try:
                line = value.lines[step]
                value = value[step]
            except (AttributeError, LookupError, TypeError):
                break  # nothing stands there, or nothing is left of it
        return SourceLocation(file=self.file, line=line, path=path)

    def take_as_text(self, path: KeyPath) -> None:
        """Take the numbers and the like in the mapping at ``path`` for the text that was written.

        So do readers in Go where they want text. Nothing becomes empty text.
        """
        mapping = self.value(path)
        if isinstance(mapping, SourceMapping):
            for key, written in mapping.plain.items():
                mapping[key] = "" if mapping.get(key) is None else written

    def report(self, path: KeyPath, message: str) -> None:
        """Add a mistake in the key at ``path``."""
        self.problems.append(self.location(path).problem(message))

    def written(self, path: KeyPath) -> str:
        """Return the text at ``path`` as it stands in the file; "" where there is none."""
        raw = self.value(path)
        return raw.written if isinstance(raw, ExpandedText) else raw if isinstance(raw, str) else ""

    def displayed(self, path: KeyPath, value: object) -> str:
        """Return ``value``, made of the text at ``path``, for messages; variables stay as ``${NAME}``."""
        raw = self.value(path)
        return raw.written if isinstance(raw, ExpandedText) else str(value)

    def reject(self, path: KeyPath, *, empty: SourceMapping | None = None) -> None:
        """Take away the value at ``path``, whose mistake has been reported; put ``empty`` in its place.

        Without ``empty``, the list around the value goes as well: what it means is not known.
        """
        while empty is None and path and isinstance(path[-1], int):
            path = path[:-1]
        self._broken.add(path)
        self._broken_below.update(path[:length] for length in range(len(path)))
        holder = self.value(path[:-1])
        if not path:
            self.root = SourceMapping()
        elif isinstance(holder, SourceMapping):
            holder.pop(str(path[-1]), None)
        elif isinstance(holder, SourceList):
            holder[int(path[-1])] = empty

    def is_rejected(self, path: KeyPath) -> bool:
        """Whether the value at ``path`` itself has been taken away."""
        return path in self._broken

    def is_broken(self, path: KeyPath) -> bool:
        """Whether a mistake has been found in the value at ``path``, below or around it."""
        return self.has_broken([path])

    def has_broken(self, paths: Iterable[KeyPath]) -> bool:
        """Whether a mistake has been found in the value at one of the paths, below or around it."""
        if not self._broken:
            return False
        around: set[KeyPath] = set()
        for path in paths:
            if path in self._broken or path in self._broken_below:
                return True
            around.add(path[:-1])
        return any(path[:length] in self._broken for path in around for length in range(len(path) + 1))


def _below(value: Value, step: str | int) -> Value:
    match value, step:
        case SourceMapping(), str():
            return value.get(step)
        case SourceList(), int() if step < len(value):
            return value[step]
        case _:
            return None


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Put environment variables in place of ``${NAME}``, and ``$`` in place of ``$$``.

    Returns:
        An :class:`ExpandedText` where something has been replaced.

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
    return ExpandedText(expanded, written=text) if expanded != text else expanded


def has_variable(text: str) -> bool:
    """Whether :func:`expand` puts the value of an environment variable into ``text``."""
    return "$" in text and any(match[1] is not None for match in _VARIABLE.finditer(text))


def escape(text: str) -> str:
    """Return what :func:`expand` turns back into ``text``."""
    return text.replace("$", "$$")
