"""Reads YAML to a :class:`~exporter.config.document.Document`, with environment variables replaced.

PyYAML composes the nodes, by libyaml. Neither depth nor aliases of a file can exhaust stack or memory.

A single value means what Prometheus's readers make of it, YAML 1.1 without its surprises: dates, base-60
numbers (``1:30``) and numbers with a leading zero or another base stay text.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from exporter.config.problems import KeyPath, SourceLocation
from exporter.config.reading.document import BROKEN, Document, SourceList, SourceMapping, Value, expand
from exporter.config.reading.yaml_errors import UnreadableError, parser_error
from exporter.files import check_encoding, read_file, why_unreadable

MAX_BYTES: Final = 64 * 1024 * 1024
_DEEPEST: Final = 64
_MOST_REPEATED: Final = 1_000_000
_PLAIN: Final = "plain"
_TEXT: Final = "tag:yaml.org,2002:str"
_COLLECTIONS: Final = frozenset({"", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
ScalarValue = str | int | float | bool | None

_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS: Final = {
    spelling: value
    for word, value in {
        "true": True,
        "yes": True,
        "on": True,
        "false": False,
        "no": False,
        "off": False,
    }.items()
    for spelling in (word, word.capitalize(), word.upper())
}
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(
    r"[-+]?[0-9]+\.[0-9]*(?:[eE][-+][0-9]+)?|[-+]?\.[0-9]+(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_MOST_DIGITS: Final = 400


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
        path: the file.
        environ: holds what ``${NAME}`` stands for.
        if_empty: the mistake of a file without a value; None: it is none, and the root is ``None``.
        is_literal: says of an item of a list at the top whether ``$`` means nothing in it.
    """
    document = Document(file=str(path), folder=path.absolute().parent)
    try:
        text = _decoded(content)
        node = _composed(text)
        if node is not None:
            document.line = node.start_mark.line + 1
            document.root = _Builder(document, environ, is_literal).build(node, ())
        elif if_empty is not None:
            document.report((), if_empty)
        else:
            document.root = None
    except UnreadableError as error:
        location = SourceLocation(file=document.file, line=error.line, path=error.path)
        document.problems.append(location.problem(str(error)))
    return document


class _Loader(_SafeLoader):  # type: ignore[misc]  # made of C where libyaml is there
    """Composes nodes of a limited depth, whose tag only says how a value is written."""

    depth = 0

    def descend_resolver(self, parent: yaml.Node | None, _index: object) -> None:
        self.depth += 1
        if self.depth > _DEEPEST and parent is not None:
            raise yaml.MarkedYAMLError(
                problem=f"nested more than {_DEEPEST} deep", problem_mark=parent.start_mark
            )

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
    # Looking for garbage among the nodes, of which there is none, takes longer than making them.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise parser_error(error, text) from None
    finally:
        if was_enabled:
            gc.enable()
    return node


class _Builder:
    """Builds the values of a document from its nodes."""

    def __init__(
        self,
        document: Document,
        environ: Mapping[str, str],
        is_literal: Callable[[yaml.Node], bool] | None,
    ) -> None:
        self._document = document
        self._environ = environ
        self._is_literal = is_literal
        self._in_literal = False
        # By the id of the node, which an alias repeats: the value, and its size with every alias written out.
        self._built: dict[int, tuple[Value, int] | None] = {}  # None: being built
        self._size = 0
        self._repeated = 0
        self._key_line = 1  # of the last key: nodes do not know where their aliases stand

    def build(self, node: yaml.Node, path: KeyPath) -> Value:
        """Return the value of ``node``, which stands at ``path``."""
        if self._is_literal is not None and len(path) == 1:
            self._in_literal = self._is_literal(node)
        if isinstance(node, yaml.ScalarNode):
            self._size += 1
            return self._scalar(node, path)
        if id(node) in self._built:
            return self._repeat(node, path)
        self._built[id(node)] = None
        before = self._size
        self._size += 1
        build: Callable[..., Value] = self._mapping if isinstance(node, yaml.MappingNode) else self._list
        value = build(node, path)
        if node.tag not in _COLLECTIONS:
            value = self._broken(node, path, "a tag (!) is not supported")
        self._built[id(node)] = value, self._size - before
        return value

    def _report(self, line: int, path: KeyPath, message: str) -> None:
        location = SourceLocation(file=self._document.file, line=line, path=path)
        self._document.problems.append(location.problem(message))

    def _broken(self, node: yaml.Node, path: KeyPath, message: str) -> Value:
        self._report(_line(node), path, message)
        return BROKEN

    def _repeat(self, node: yaml.Node, path: KeyPath) -> Value:
        if (built := self._built[id(node)]) is None:
            self._report(self._key_line, path, "an alias (*) inside of what it repeats")
            return BROKEN
        value, size = built
        self._size += size
        self._repeated += size
        if self._repeated > _MOST_REPEATED:
            message = f"aliases repeat more than {_MOST_REPEATED} values"
            raise UnreadableError(message, line=self._key_line, path=path)
        return value

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Value:
        if node.tag not in (_PLAIN, _TEXT):
            message = "a tag (!) is not supported; a value that begins with ! needs quotation marks"
            return self._broken(node, path, message)
        try:
            value = plain_value(node.value) if node.tag == _PLAIN else node.value
            is_text = isinstance(value, str) and not self._in_literal
            return expand(str(value), self._environ) if is_text else value
        except ValueError as error:
            return self._broken(node, path, str(error))

    def _list(self, node: yaml.Node, path: KeyPath) -> SourceList:
        values = SourceList()
        for index, item in enumerate(node.value):
            values.lines.append(_line(item))
            values.append(self.build(item, (*path, index)))
        return values

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> SourceMapping:
        mapping = SourceMapping()
        merges: list[tuple[yaml.Node, Value]] = []
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            below = path if key is None else (*path, key)
            self._key_line = _line(key_node)
            value = self.build(value_node, below)
            if key is None:
                continue
            if key == "<<" and key_node.tag == _PLAIN:
                merges.append((value_node, value))
            elif key in mapping.lines:
                self._report(_line(key_node), below, f"stands here twice; first in line {mapping.lines[key]}")
            else:
                mapping.lines[key] = _line(key_node)
                mapping[key] = value
                if value is None or isinstance(value, int | float):
                    mapping.plain[key] = str(value_node.value)
        for value_node, value in merges:
            self._merge(mapping, value_node, value, path)
        return mapping

    def _key(self, node: yaml.Node, path: KeyPath) -> str | None:
        key = node.value if node.tag in (_PLAIN, _TEXT) else None
        try:
            if node.tag == _PLAIN and isinstance(key, str):
                key = plain_value(key)
        except ValueError as error:
            self._report(_line(node), path, str(error))
            return None
        if not isinstance(key, str):
            self._report(_line(node), path, "a key is text; put quotation marks around it")
            return None
        return key

    def _merge(self, mapping: SourceMapping, node: yaml.Node, value: Value, path: KeyPath) -> None:
        """Add the keys of merged mappings that the mapping itself does not have; the first one given wins."""
        for source in value if isinstance(value, SourceList) else [value]:
            if isinstance(source, SourceMapping):
                for key, below in source.items():
                    if key not in mapping.lines:
                        mapping.lines[key] = source.lines[key]
                        mapping[key] = below
                        if key in source.plain:
                            mapping.plain[key] = source.plain[key]
            elif source is not BROKEN:
                self._report(_line(node), path, "a merge key (<<) takes a mapping or a list of mappings")


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def plain_value(text: str) -> ScalarValue:
    """Return what an unquoted value means.

    Raises:
        ValueError: a number of absurd length.
    """
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text[0] not in "0123456789+-.":
        return text
    if _INTEGER.fullmatch(text):
        if len(text) > _MOST_DIGITS:
            raise ValueError(f"a number of more than {_MOST_DIGITS} digits")
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
