"""Reads YAML to a :class:`~exporter.config.reading.document.Document`, with environment variables replaced.

PyYAML composes the nodes, by libyaml.

A single value means what Prometheus's readers make of it, YAML 1.1 without its surprises: dates, base-60
numbers (``1:30``) and numbers with a leading zero or another base stay text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from exporter.config.problems import KeyPath, SourceLocation
from exporter.config.reading.document import BROKEN, Document, expand
from exporter.config.reading.yaml_errors import SAFE_LOADER, UnreadableError, parser_error
from exporter.files import check_encoding, read_file, why_unreadable

MAX_BYTES: Final = 64 * 1024 * 1024
_DEEPEST: Final = 64
_TOO_DEEP: Final = f"nested more than {_DEEPEST} deep"
_MOST_REPEATED: Final = 1_000_000
"""How many values aliases may repeat: without a limit, a few lines could name a billion."""
_PLAIN: Final = "plain"
_TEXT: Final = "tag:yaml.org,2002:str"
_COLLECTIONS: Final = frozenset({"", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
ScalarValue = str | int | float | bool | None
_Entries = dict[str, tuple[int, yaml.Node]]
"""The line of each key of a mapping, and the node of its value."""

_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})
_FALSE: Final = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,399})")
_FLOAT: Final = re.compile(
    r"[-+]?[0-9]+\.[0-9]*(?:[eE][-+][0-9]+)?|[-+]?\.[0-9]+(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)


def read_document(path: Path, *, environ: Mapping[str, str]) -> Document:
    """Read a file, which may be a pipe; where it cannot be read or is no YAML, the root is ``BROKEN``."""
    try:
        content = read_file(path, max_bytes=MAX_BYTES, may_be_stream=True)
    except (OSError, ValueError) as error:
        document = Document(file=str(path), folder=path.absolute().parent)
        document.report((), why_unreadable(error))
        return document
    return parse_document(content, path, environ=environ)


def parse_document(
    content: bytes,
    path: Path,
    *,
    environ: Mapping[str, str],
    if_empty: str | None = "the file holds no values",
    is_literal: Callable[[yaml.Node], bool] | None = None,
) -> Document:
    """Return the values in the content of a file; the root is ``BROKEN`` where the file is no YAML.

    Args:
        content: of the file.
        path: names the file in messages.
        environ: holds what ``${NAME}`` stands for.
        if_empty: the mistake of a file without a value; None: that is no mistake, and the root is None.
        is_literal: says of an item of a list at the top whether ``$`` means nothing in it.
    """
    document = Document(file=str(path), folder=path.absolute().parent)
    try:
        text = _decoded(content)
        node = _composed(text)
        if node is not None:
            document.line = _line(node)
            # Without aliases, every value takes a character at least.
            builder = _Builder(document, environ, is_literal, most_values=len(text) + _MOST_REPEATED)
            document.root = builder.build(node, ())
        elif if_empty is not None:
            document.report((), if_empty)
        else:
            document.root = None
    except UnreadableError as error:
        location = SourceLocation(file=document.file, line=error.line, path=error.path)
        document.problems.append(location.problem(str(error)))
    return document


class _Loader(SAFE_LOADER):  # type: ignore[misc]  # made of C where libyaml is there
    """Composes nodes of a limited depth, whose tag only says how a value is written."""

    depth = 0

    def descend_resolver(self, parent: yaml.Node | None, _index: object) -> None:
        self.depth += 1
        if self.depth > _DEEPEST and parent is not None:
            raise yaml.MarkedYAMLError(problem=_TOO_DEEP, problem_mark=parent.start_mark)

    def ascend_resolver(self) -> None:
        self.depth -= 1

    def resolve(self, kind: type[yaml.Node], _value: object, implicit: tuple[bool, bool]) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else _TEXT
        return ""


def _decoded(content: bytes) -> str:
    try:
        check_encoding(content)
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError("not UTF-8", line=content.count(b"\n", 0, error.start) + 1) from None
    except ValueError as error:
        raise UnreadableError(str(error)) from None
    found = _UNPRINTABLE.search(text)
    if found is not None:
        line = text.count("\n", 0, found.start()) + 1
        raise UnreadableError(f"a character that YAML does not allow: U+{ord(found[0]):04X}", line=line)
    return text


def _composed(text: str) -> yaml.Node | None:
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise parser_error(error, text) from None
    return node


class _Builder:
    """Builds the values of a document from its nodes. An alias repeats a node, which is built again."""

    def __init__(
        self,
        document: Document,
        environ: Mapping[str, str],
        is_literal: Callable[[yaml.Node], bool] | None,
        *,
        most_values: int,
    ) -> None:
        self._document = document
        self._environ = environ
        self._is_literal = is_literal
        self._in_literal = False
        self._values_left = most_values
        self._reported: set[tuple[int, str]] = set()  # ids of nodes, and what is wrong with them

    def build(self, node: yaml.Node, path: KeyPath) -> Any:  # noqa: ANN401 - a file can hold everything
        """Return the value of ``node``, which stands at ``path``."""
        self._count(path)
        if self._is_literal is not None and len(path) == 1:
            self._in_literal = self._is_literal(node)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        value = self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._list(node, path)
        if node.tag not in _COLLECTIONS:
            return self._broken(node, path, "a tag (!) is not supported")
        return value

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        mapping = {}
        for key, (line, value_node) in self._entries_of(node, path).items():
            below = (*path, key)
            self._document.lines[below] = line
            mapping[key] = self.build(value_node, below)
        return mapping

    def _list(self, node: yaml.Node, path: KeyPath) -> list[Any]:
        values = []
        for index, item in enumerate(node.value):
            below = (*path, index)
            self._document.lines[below] = _line(item)
            values.append(self.build(item, below))
        return values

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:  # noqa: ANN401 - a value, or BROKEN
        if node.tag not in (_PLAIN, _TEXT):
            message = "a tag (!) is not supported; a value that begins with ! needs quotation marks"
            return self._broken(node, path, message)
        value = plain_value(node.value) if node.tag == _PLAIN else node.value
        if isinstance(value, str) and not self._in_literal:
            try:
                value = expand(value, self._environ)
            except ValueError as error:
                return self._broken(node, path, str(error))
        if value != node.value:
            self._document.texts[path] = node.value
        return value

    def _entries_of(self, node: yaml.MappingNode, path: KeyPath) -> _Entries:
        """Return the keys of a mapping, and those of merged mappings that it does not have itself."""
        entries: _Entries = {}
        merged: _Entries = {}
        for key_node, value_node in node.value:
            self._count(path)
            key = self._key(key_node, path)
            if key == "<<" and key_node.tag == _PLAIN:
                merged = self._merged(value_node, (*path, key)) | merged
            elif key in entries:
                message = f"stands here twice; first in line {entries[key][0]}"
                self._broken(key_node, (*path, key), message)
                self.build(value_node, (*path, key))  # not taken, but may have mistakes of its own
            elif key is not None:
                entries[key] = _line(key_node), value_node
        return merged | entries

    def _key(self, node: yaml.Node, path: KeyPath) -> str | None:
        key = plain_value(node.value) if node.tag == _PLAIN else node.value if node.tag == _TEXT else None
        if not isinstance(key, str):
            self._broken(node, path, "a key is text; put quotation marks around it")
            return None
        return key

    def _merged(self, node: yaml.Node, path: KeyPath) -> _Entries:
        """Return the entries of all mappings that a merge key names; the first of them wins."""
        entries: _Entries = {}
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if isinstance(source, yaml.MappingNode):
                entries = self._entries_of(source, path) | entries
            else:
                self._broken(node, path, "a merge key (<<) takes a mapping or a list of mappings")
        return entries

    def _count(self, path: KeyPath) -> None:
        """Count one more value or key: aliases can repeat themselves without end."""
        self._values_left -= 1
        if len(path) > _DEEPEST:
            message = f"an alias (*) inside of what it repeats, or {_TOO_DEEP}"
            raise UnreadableError(message, line=self._document.location(path).line, path=path)
        if self._values_left < 0:
            message = f"aliases repeat more than {_MOST_REPEATED} values"
            raise UnreadableError(message, line=self._document.location(path[:1]).line, path=path)

    def _broken(self, node: yaml.Node, path: KeyPath, message: str) -> object:
        """Report a mistake, once for a node, however many aliases repeat it."""
        if (id(node), message) not in self._reported:
            self._reported.add((id(node), message))
            location = SourceLocation(file=self._document.file, line=_line(node), path=path)
            self._document.problems.append(location.problem(message))
        return BROKEN


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def plain_value(text: str) -> ScalarValue:
    """Return what an unquoted value means; an absurdly long number stays text."""
    if text in _NULLS:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text[0] not in "0123456789+-.":
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
