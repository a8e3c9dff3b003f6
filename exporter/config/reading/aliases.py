"""Bounds what the aliases of a YAML file repeat: few lines with aliases in them can name a billion values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import yaml

from exporter.config.problems import HIDDEN, KeyPath
from exporter.config.reading.yaml_errors import UnreadableError

DEEPEST: Final = 64
TOO_DEEP: Final = f"nested more than {DEEPEST} deep"
_MOST_REPEATED: Final = 1_000_000


def check_aliases(root: yaml.Node) -> None:
    """Check that no alias is inside of what it repeats, and that aliases do not repeat too much.

    Raises:
        UnreadableError: it is not.
    """
    _Measuring().measure(root, (), 1)


class _Measuring:
    def __init__(self) -> None:
        self._measures: dict[int, tuple[int, int] | None] = {}  # by the id of the node; None: being measured
        self._repeated = 0

    def measure(self, node: yaml.Node, path: KeyPath, line: int) -> tuple[int, int]:
        """Return how many values a node holds, and how deep they are nested, with all aliases written out.

        ``line`` is that of the key above: a node does not know where its aliases stand.
        """
        if isinstance(node, yaml.ScalarNode):
            return 1, 0
        if id(node) in self._measures:
            measured = self._measures[id(node)]
            if measured is None:
                raise UnreadableError("an alias (*) inside of what it repeats", line=line, path=path)
            self._repeated += measured[0]
            if self._repeated > _MOST_REPEATED:
                message = f"aliases repeat more than {_MOST_REPEATED} values"
                raise UnreadableError(message, line=line, path=path)
            return measured
        self._measures[id(node)] = None
        size, depth = 1, 0
        for step, below, line_below in _below(node, line):
            size_below, depth_below = self.measure(below, (*path, step), line_below)
            size, depth = size + size_below, max(depth, depth_below + 1)
        if depth > DEEPEST:
            raise UnreadableError(TOO_DEEP, line=line, path=path)
        self._measures[id(node)] = size, depth
        return size, depth


def _below(node: yaml.Node, line: int) -> Iterator[tuple[str | int, yaml.Node, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else HIDDEN
            yield name, value, key.start_mark.line + 1
    else:
        for index, item in enumerate(node.value):
            yield index, item, line
