"""From the text of a YAML file to a :class:`~exporter.config.document.Document`.

The tree is built from the parser's events, one by one, so that a file can neither exhaust the stack by its
depth nor the memory by its aliases, and every mistake that does not stop the parser is found in one reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from exporter.config.content import ContentError, read_content
from exporter.config.document import Document, Entry, ListNode, MapNode, Node, ScalarNode
from exporter.config.problems import ConfigError, KeyPath, Problem, show_path
from exporter.config.scalars import expand, has_variable, plain_value

_DEEPEST: Final = 64
_MOST_REPEATED: Final = 1_000_000
_TEXT_TAGS: Final = frozenset({"!", "tag:yaml.org,2002:str"})
_COLLECTION_TAGS: Final = frozenset({None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_document(path: Path, *, environ: Mapping[str, str]) -> tuple[Document, list[Problem]]:
    """Read a file, which may be a pipe, and parse it.

    Raises:
        ConfigError: the file cannot be read at all, or is no YAML.
    """
    try:
        content = read_content(path, may_be_stream=True)
    except ContentError as error:
        raise ConfigError([Problem(file=str(path), line=0, key="", message=str(error))]) from None
    return parse_document(content, path, environ=environ)


def parse_document(
    content: bytes, path: Path, *, environ: Mapping[str, str], if_empty: str = "the file holds no values"
) -> tuple[Document, list[Problem]]:
    """Return the values in the content of a file, together with the problems that did not stop the reading.

    Raises:
        ConfigError: it is no YAML.
    """
    file = str(path)
    builder = _Builder(file=file, environ=environ)
    try:
        text = _decoded(content)
        _check_characters(text)
        for event in _events(text):
            builder.feed(event)
    except _UnreadableError as error:
        problem = Problem(file=file, line=error.line, key=builder.key, message=str(error))
        raise ConfigError([*builder.problems, problem]) from None
    if builder.root is None:
        raise ConfigError([Problem(file=file, line=0, key="", message=if_empty)])
    return Document(file=file, folder=path.absolute().parent, root=builder.root), builder.problems


class _UnreadableError(Exception):
    """Nothing can be read from ``line`` on."""

    def __init__(self, message: str, *, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _UnreadableError("not UTF-8", line=line) from None


def _check_characters(text: str) -> None:
    found = _UNPRINTABLE.search(text)
    if found is not None:
        line = text.count("\n", 0, found.start()) + 1
        raise _UnreadableError(f"a character that YAML does not allow: U+{ord(found[0]):04X}", line=line)


def _events(text: str) -> Iterator[yaml.Event]:
    events = yaml.parse(text, Loader=_LOADER)
    while True:
        try:
            event = next(events, None)
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            raise _translated(error, text) from None
        if event is None:
            return
        yield event


def _translated(error: Exception, text: str) -> _UnreadableError:
    """Say in one line what the parser says in many, leaving out what it quotes from the file."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if not isinstance(error, yaml.MarkedYAMLError) or mark is None:
        return _UnreadableError("not YAML")
    said = ", ".join(part for part in (error.context, error.problem) if part)
    message = "not YAML: " + re.sub(r" '!.*?'", "", said)
    if error.context == "while scanning an alias":
        message += "; a value that begins with * needs quotation marks"
    lines = text.splitlines()
    near = lines[max(mark.line - 1, 0) : mark.line + 1]
    if any("${" in line and "{" in line.replace("${", "") for line in near):
        message += "; between { and }, ${NAME} stands in quotation marks"
    return _UnreadableError(message, line=min(mark.line + 1, max(len(lines), 1)))


@dataclass(slots=True, kw_only=True)
class _Frame:
    """A list or mapping that is still being read."""

    node: ListNode | MapNode
    anchor: str | None
    is_broken: bool
    """It is read for the mistakes in it, and then dropped."""
    awaits_key: bool
    key: str | None = None
    """The key whose value comes next; ``None`` where that value is to be dropped."""
    key_line: int = 0
    is_merge: bool = False
    merges: list[Node] = field(default_factory=list)


class _Builder:
    """Takes events, holds the root and the problems."""

    def __init__(self, *, file: str, environ: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self.root: Node | None = None
        self._file = file
        self._environ = environ
        self._frames: list[_Frame] = []
        self._anchors: dict[str, Node] = {}
        self._repeated = 0
        self._documents = 0

    @property
    def key(self) -> str:
        """The path of the value that is being read."""
        path: KeyPath = ()
        for frame in self._frames:
            if isinstance(frame.node, ListNode):
                path = (*path, len(frame.node.items))
            elif frame.key is not None:
                path = (*path, frame.key)
        return show_path(path)

    def feed(self, event: yaml.Event) -> None:
        """Take the next event."""
        line = event.start_mark.line + 1 if event.start_mark else 0
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise _UnreadableError("a second document in one file", line=line)
            case yaml.ScalarEvent():
                node = self._scalar(event, line)
                self._remember(event.anchor, node)
                self._put(node)
            case yaml.AliasEvent():
                self._put(self._repeat(event.anchor, line))
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._open(event, line)
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._close()
            case _:
                pass

    def _report(self, line: int, message: str) -> None:
        self.problems.append(Problem(file=self._file, line=line, key=self.key, message=message))

    def _remember(self, anchor: str | None, node: Node) -> None:
        if anchor is not None:
            self._anchors[anchor] = node

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> ScalarNode:
        is_plain = event.tag is None and event.implicit[0]
        is_key = bool(self._frames) and self._frames[-1].awaits_key
        if event.tag is not None and event.tag not in _TEXT_TAGS:
            return self._broken(
                line, "a tag (!) is not supported; a value that begins with ! needs quotation marks"
            )
        written = None
        try:
            value = plain_value(event.value) if is_plain else event.value
            if isinstance(value, str) and not is_key:
                written = event.value if has_variable(value) else None
                value = expand(value, self._environ)
        except ValueError as error:
            return self._broken(line, str(error))
        return ScalarNode(line=line, value=value, written=written, is_plain=is_plain)

    def _broken(self, line: int, message: str) -> ScalarNode:
        self._report(line, message)
        return ScalarNode(line=line, value=None, is_broken=True)

    def _repeat(self, anchor: str | None, line: int) -> Node:
        """Return the node that an alias stands for."""
        node = self._anchors.get(anchor or "")
        if node is None:
            if any(frame.anchor == anchor for frame in self._frames):
                return self._broken(line, "an alias (*) inside of what it repeats")
            return self._broken(
                line, "an alias (*) of nothing; a value that begins with * needs quotation marks"
            )
        self._repeated += node.size
        if self._repeated > _MOST_REPEATED:
            raise _UnreadableError(f"aliases repeat more than {_MOST_REPEATED} values", line=line)
        return node

    def _open(self, event: yaml.SequenceStartEvent | yaml.MappingStartEvent, line: int) -> None:
        if len(self._frames) >= _DEEPEST:
            raise _UnreadableError(f"nested more than {_DEEPEST} deep", line=line)
        has_tag = event.tag not in _COLLECTION_TAGS
        if has_tag:
            self._report(line, "a tag (!) is not supported")
        if event.anchor is not None:
            self._anchors.pop(event.anchor, None)
        is_map = isinstance(event, yaml.MappingStartEvent)
        node = MapNode(line=line) if is_map else ListNode(line=line)
        self._frames.append(_Frame(node=node, anchor=event.anchor, is_broken=has_tag, awaits_key=is_map))

    def _close(self) -> None:
        frame = self._frames[-1]
        if isinstance(frame.node, MapNode):
            self._merge(frame.node, frame.merges)
        self._frames.pop()
        node = ScalarNode(line=frame.node.line, value=None, is_broken=True) if frame.is_broken else frame.node
        self._remember(frame.anchor, node)
        self._put(node)

    def _put(self, node: Node) -> None:
        """Give a finished node to what it stands in."""
        if not self._frames:
            self.root = node
            return
        frame = self._frames[-1]
        frame.node.size += node.size
        if isinstance(frame.node, ListNode):
            frame.node.items.append(node)
        elif frame.awaits_key:
            self._take_key(frame, node)
        else:
            self._take_value(frame, frame.node, node)

    def _take_key(self, frame: _Frame, node: Node) -> None:
        frame.key = None
        frame.awaits_key = False
        frame.key_line = node.line
        frame.is_merge = isinstance(node, ScalarNode) and node.is_plain and node.value == "<<"
        if isinstance(node, ScalarNode) and isinstance(node.value, str):
            frame.key = node.value
        elif not (isinstance(node, ScalarNode) and node.is_broken):
            self._report(node.line, "a key is text; put quotation marks around it")

    def _take_value(self, frame: _Frame, mapping: MapNode, node: Node) -> None:
        frame.awaits_key = True
        key, frame.key = frame.key, None
        if key is None:
            return
        if frame.is_merge:
            frame.merges.append(node)
        elif key in mapping.entries:
            frame.key = key
            self._report(frame.key_line, f"stands here twice; first in line {mapping.entries[key].line}")
            frame.key = None
        else:
            mapping.entries[key] = Entry(line=frame.key_line, node=node)

    def _merge(self, mapping: MapNode, merges: list[Node]) -> None:
        """Add the keys of merged mappings that the mapping itself does not have; the first one given wins."""
        for merge in merges:
            for source in merge.items if isinstance(merge, ListNode) else [merge]:
                if isinstance(source, MapNode):
                    for key, entry in source.entries.items():
                        mapping.entries.setdefault(key, entry)
                elif not (isinstance(source, ScalarNode) and source.is_broken):
                    self._report(source.line, "a merge key (<<) takes a mapping or a list of mappings")
