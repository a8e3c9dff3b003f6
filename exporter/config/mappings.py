"""One mapping of a document against its shape: what is good in it, and every mistake in our words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final, TypeVar, assert_never

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from exporter.config.document import Document, ListNode, MapNode, Node, ScalarNode, broken_paths, plain
from exporter.config.layers import Key, Layer, Marker, Setting, Value
from exporter.config.problems import HIDDEN, BadValueError, KeyPath, Problem
from exporter.config.schema import (
    NESTED,
    Authorization,
    BasicAuth,
    Cleanup,
    ClusterChoice,
    ClusterEntry,
    Outline,
    PolicyEntry,
    Root,
    Settings,
    Shape,
    TargetGroup,
    TlsConfig,
)
from exporter.config.state import absolute_state
from exporter.ontap.endpoint import Secret

_ShapeT = TypeVar("_ShapeT", bound=Shape)
_ValueT = TypeVar("_ValueT")

_SECRETS: Final = frozenset({("basic_auth", "password"), ("authorization", "credentials")})
_EXPECTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "model_type": "a mapping",
        "model_attributes_type": "a mapping",
        "dict_type": "a mapping",
        "list_type": "a list",
        "string_type": "text",
        "int_type": "a whole number",
        "bool_type": "true or false",
    }
)
_KINDS: Final[Mapping[type, str]] = MappingProxyType(
    {
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a number with a fraction",
        type(None): "nothing",
    }
)
_QUOTATION: Final = "put quotation marks around it"
_LONGEST_GUESSED: Final = 64
_CLEANUP: Final = frozenset({Cleanup, PolicyEntry, ClusterChoice})


def _homes(*shapes: tuple[type[Shape], str]) -> Mapping[str, str]:
    """Return where each key belongs; a key of several shapes belongs to the last one."""
    return MappingProxyType({key: home for shape, home in shapes for key in shape.model_fields})


_OUTSIDE_CLEANUP: Final = (
    (TargetGroup, "in a file of cluster_files"),
    (Root, "at the top of the configuration file"),
    (BasicAuth, "under basic_auth"),
    (Authorization, "under authorization"),
    (TlsConfig, "under tls_config"),
    (ClusterEntry, "in an entry of clusters"),
    (Settings, "in defaults, in a profile or in an entry of clusters"),
)
_INSIDE_CLEANUP: Final = (
    (ClusterChoice, "under clusters of a policy"),
    (PolicyEntry, "in an entry of cleanup.policies"),
    (Cleanup, "under cleanup"),
)
# For a key that stands in the wrong mapping: `name` and the like belong to what is nearest.
_HOMES: Final = _homes(*_INSIDE_CLEANUP, *_OUTSIDE_CLEANUP)
_HOMES_IN_CLEANUP: Final = _homes(*_OUTSIDE_CLEANUP, *_INSIDE_CLEANUP)


class MappingReader:
    """Reads mappings of one document; holds what is wrong with them."""

    def __init__(self, document: Document, *, homes: Mapping[str, str] | None = None) -> None:
        """Read ``document``; ``homes`` tells where each key belongs, if it is no main configuration."""
        self.problems: list[Problem] = []
        self._document = document
        self._homes = homes

    def report(self, path: KeyPath, message: str) -> None:
        """Add a problem of the key at ``path``."""
        self.problems.append(self._document.place(path).problem(message))

    def report_kind(self, path: KeyPath, expected: str, node: Node | None, *, advice: str = "") -> None:
        """Add the problem of a value of the wrong kind, unless it has been reported already."""
        if not (isinstance(node, ScalarNode) and node.is_broken):
            self.report(path, _expected(expected, node, advice))

    def keys(self, *path: str | int) -> Collection[str]:
        """Return the keys of the mapping at ``path``; none where there is no mapping."""
        node = self._document.node(path)
        return node.entries if isinstance(node, MapNode) else ()

    def indexes(self, *path: str | int) -> range:
        """Return the indexes of the list at ``path``; none where there is no list."""
        node = self._document.node(path)
        return range(len(node.items) if isinstance(node, ListNode) else 0)

    def layer(
        self, shape: type[Shape], path: KeyPath, *, rank: int = 0, required: str | None = None
    ) -> Layer:
        """Read the settings of one mapping, which may be left empty where it has no ``required`` key."""
        place = self._document.place(path)
        node = self._document.node(path)
        if node is None or (_is_nothing(node) and required is None):
            return Layer(place=place)
        settings, broken = self.shape(shape, path)
        if settings is None:
            return Layer(place=place, broken=frozenset(broken))
        if required is not None and required not in settings.model_fields_set | broken:
            self.report(path, f"{required} is missing")
            broken.add(required)
        flat: dict[Key, Setting] = {}
        for key, value, line, written in _flattened(settings, node):
            if value is None:
                self.report((*path, *key), "nothing stands behind the colon")
                broken.add(key[0])
            else:
                place_of_key = self._document.place_in_line(line, (*path, *key))
                flat[key] = Setting(
                    value=self._resolved(key, value), place=place_of_key, rank=rank, written=written
                )
        return Layer(place=place, settings=flat, broken=frozenset(broken))

    def text(self, path: KeyPath, read: Callable[[str], _ValueT]) -> _ValueT | None:
        """Return what ``read`` makes of the text at ``path``; ``None`` where that has a mistake in it."""
        node = self._document.node(path)
        if not isinstance(node, ScalarNode) or not isinstance(node.value, str):
            is_quotable = isinstance(node, ScalarNode) and node.value is not None
            self.report_kind(path, "text", node, advice=_QUOTATION if is_quotable else "")
            return None
        try:
            return read(node.value)
        except ValueError as error:
            self.report(path, _told(error, node))
            return None

    def shape(self, shape: type[_ShapeT], path: KeyPath) -> tuple[_ShapeT | None, set[str]]:
        """Check a mapping; return what is good in it, and the keys that have a mistake in them."""
        node = self._document.node(path)
        if not isinstance(node, MapNode):
            self.report_kind(path, "a mapping", node)
            return None, set(shape.model_fields)
        is_outline = issubclass(shape, Outline)
        raw: dict[str, Any] = {}
        broken: set[str] = set()
        for key, entry in node.entries.items():
            # What stands in sections is read one by one, each with its own mistakes.
            child = _outline(entry.node) if is_outline else entry.node
            raw[key] = plain(child)
            for below in broken_paths(child, (key,)):
                _prune(raw, below)
                broken.add(key)
        try:
            return shape.model_validate(raw), broken
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
        for detail in details:
            location = detail["loc"]
            self._report_detail(detail, shape, path)
            _prune(raw, location)
            if detail["type"] != "extra_forbidden" or len(location) > 1:
                broken.add(str(location[0]))
        return shape.model_validate(raw), broken

    def _report_detail(self, detail: ErrorDetails, shape: type[Shape], path: KeyPath) -> None:
        path = (*path, *detail["loc"])
        place = self._document.place(path)
        node = self._document.node(path)
        message = _translated(detail, shape, node, self._homes)
        is_unknown = detail["type"] == "extra_forbidden" and path[-1] not in _HOMES
        if shape is Cleanup and is_unknown and _is_nothing(node):
            # The end of a password with a comma in it reads as a key beside the URL that it belongs to.
            place = self._document.place_in_line(place.position.line, (*path[:-1], HIDDEN))
            message = "unknown key; is a space missing behind a colon, or quotation marks around a comma?"
        self.problems.append(place.problem(message))

    def _resolved(self, key: Key, value: Value) -> Value:
        """Return a value as the rest of the program takes it: paths absolute, secrets wrapped."""
        if not isinstance(value, str):
            return value
        if key in _SECRETS:
            return Secret(value=value)
        if key == ("state",):
            return Secret(value=absolute_state(value, self._document.folder))
        return self._document.folder / value if key[-1].endswith("_file") and key[0] != "labels" else value


def _translated(
    detail: ErrorDetails, shape: type[Shape], node: Node | None, homes: Mapping[str, str] | None
) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "value_error":
            return _told(context["error"], node)
        case "extra_forbidden":
            outer = shape if len(detail["loc"]) == 1 else _nested(shape, str(detail["loc"][0]))
            return _unknown_key(str(detail["loc"][-1]), outer, homes)
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case kind:
            is_quotable = kind == "string_type" and isinstance(node, ScalarNode) and node.value is not None
            return _expected(_EXPECTED.get(kind, "something else"), node, _QUOTATION if is_quotable else "")


def _told(error: ValueError, node: Node | None) -> str:
    """Return the text of an error that may quote the value of ``node``."""
    if isinstance(error, BadValueError) and isinstance(node, ScalarNode) and node.written is not None:
        return error.quoting(node.written)
    return str(error)


def _expected(what: str, node: Node | None, advice: str = "") -> str:
    return f"{what} is expected, not {_kind(node)}" + (f"; {advice}" if advice else "")


def _nested(shape: type[Shape], key: str) -> type[Shape]:
    return ClusterChoice if shape is PolicyEntry else NESTED[key]


def _flattened(
    settings: Shape, node: Node, prefix: Key = ()
) -> Iterator[tuple[Key, Value | None, int, str | None]]:
    """Yield what was set, its line and how it was written where that differs, in the order of the file.

    The value is ``None`` where nothing was written.
    """
    for key, entry in node.entries.items() if isinstance(node, MapNode) else ():
        if key not in settings.model_fields_set:
            continue
        match getattr(settings, key), entry.node:
            case Shape() as inner, _:
                yield (*prefix, key), Marker.MAPPING, entry.line, None
                yield from _flattened(inner, entry.node, (*prefix, key))
            case dict() as labels, MapNode(entries=entries):
                yield (*prefix, key), Marker.MAPPING, entry.line, None
                for name, value in labels.items():
                    yield (*prefix, key, name), value, entries[name].line, None
            case None, _ if (*prefix, key) == ("labels",):
                pass  # every label of the file is commented out
            case list() as texts, _:
                yield (*prefix, key), tuple(texts), entry.line, None
            case value, scalar:
                written = scalar.written if isinstance(scalar, ScalarNode) else None
                yield (*prefix, key), value, entry.line, written


def _unknown_key(key: str, shape: type[Shape], homes: Mapping[str, str] | None) -> str:
    if homes is None:
        homes = _HOMES_IN_CLEANUP if shape in _CLEANUP else _HOMES
    if key in homes:
        return f"not allowed here; it belongs {homes[key]}"
    if ":" in key:
        return "unknown key; is a space missing behind the colon?"
    close = get_close_matches(key, shape.model_fields, n=1) if len(key) <= _LONGEST_GUESSED else []
    if close:
        return f"unknown key; did you mean {close[0]}?"
    if shape is BasicAuth or shape is Authorization:
        return "unknown key; a secret with a comma in it needs quotation marks"
    return "unknown key"


def _prune(raw: dict[str, Any], path: KeyPath) -> None:
    """Take away what stands at ``path``, or the nearest mapping around it."""
    holder: Any = raw
    for step in path[:-1]:
        below = holder.get(step)
        if not isinstance(below, dict):
            path = path[: path.index(step) + 1]
            break
        holder = below
    holder.pop(path[-1], None)


def _outline(node: Node) -> Node:
    match node:
        case ScalarNode():
            return node
        case ListNode():
            return ListNode(line=node.line)
        case MapNode():
            return MapNode(line=node.line)
        case _:
            assert_never(node)


def _is_nothing(node: Node | None) -> bool:
    return isinstance(node, ScalarNode) and node.value is None and not node.is_broken


def _kind(node: Node | None) -> str:
    """Say what a value is, without showing it."""
    match node:
        case ListNode():
            return "a list"
        case MapNode():
            return "a mapping"
        case ScalarNode():
            return _KINDS[type(node.value)]
        case None:
            return "nothing"
        case _:
            assert_never(node)
