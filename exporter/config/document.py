"""A file as a tree of values that know their line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from exporter.config.problems import KeyPath, Place, Position
from exporter.config.scalars import ScalarValue

PlainValue = ScalarValue | list["PlainValue"] | dict[str, "PlainValue"]


@dataclass(slots=True, kw_only=True)
class ScalarNode:
    """Text, a number, a truth value or nothing."""

    line: int
    value: ScalarValue = field(repr=False)
    is_broken: bool = False
    """A problem has been reported, and ``value`` means nothing."""
    written: str | None = field(default=None, repr=False)
    """What stands in the file, where environment variables have been put in: their values are not told."""
    is_plain: bool = False
    """Neither quoted nor tagged."""
    size: int = 1


@dataclass(slots=True, kw_only=True)
class ListNode:
    """A list."""

    line: int
    items: list[Node] = field(default_factory=list)
    size: int = 1
    """How many nodes it holds, itself included, with every alias written out."""


@dataclass(slots=True, kw_only=True)
class Entry:
    """What a key of a mapping stands for, and the line of the key."""

    line: int
    node: Node


@dataclass(slots=True, kw_only=True)
class MapNode:
    """A mapping whose keys are text."""

    line: int
    entries: dict[str, Entry] = field(default_factory=dict)
    size: int = 1


Node = ScalarNode | ListNode | MapNode


@dataclass(slots=True, kw_only=True)
class Document:
    """One file, read."""

    file: str
    """As the operator named it, for messages."""
    folder: Path
    """Absolute; relative paths in the file start here."""
    root: Node

    def place(self, path: KeyPath) -> Place:
        """Return the line of the key at ``path``, or of the nearest mapping around it where it is missing."""
        line = self.root.line
        node: Node = self.root
        for step in path:
            below = _below(node, step)
            if below is None:
                break
            line, node = below
        return self.place_in_line(line, path)

    def place_in_line(self, line: int, path: KeyPath) -> Place:
        """Return the place of ``path``, whose line is known."""
        return Place(position=Position(file=self.file, line=line), path=path)

    def node(self, path: KeyPath) -> Node | None:
        """Return the value at ``path``, or ``None`` where there is none."""
        node: Node = self.root
        for step in path:
            below = _below(node, step)
            if below is None:
                return None
            _, node = below
        return node


def plain(node: Node) -> PlainValue:
    """Return the value itself, as new lists and dictionaries."""
    match node:
        case ScalarNode():
            return node.value
        case ListNode():
            return [plain(item) for item in node.items]
        case MapNode():
            return {key: plain(entry.node) for key, entry in node.entries.items()}


def broken_paths(node: Node, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield the path of every value that has been reported already."""
    match node:
        case ScalarNode():
            if node.is_broken:
                yield path
        case ListNode():
            for index, item in enumerate(node.items):
                yield from broken_paths(item, (*path, index))
        case MapNode():
            for key, entry in node.entries.items():
                yield from broken_paths(entry.node, (*path, key))


def _below(node: Node, step: str | int) -> tuple[int, Node] | None:
    match node, step:
        case MapNode(), str() if step in node.entries:
            entry = node.entries[step]
            return entry.line, entry.node
        case ListNode(), int() if step < len(node.items):
            return node.items[step].line, node.items[step]
        case _:
            return None
