"""From a document to layers: every section against its shape, every mistake in our words, with its line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final, TypeVar, assert_never

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from exporter.config.document import Document, ListNode, MapNode, Node, ScalarNode, broken_paths, plain
from exporter.config.layers import DEFAULT_MAX_CONCURRENT_POLLS, Key, Layer, Marker, Setting, Value
from exporter.config.model import Written
from exporter.config.problems import KeyPath, Problem
from exporter.config.schema import (
    NESTED,
    Authorization,
    BasicAuth,
    ClusterEntry,
    Root,
    Settings,
    Shape,
    TlsConfig,
)
from exporter.ontap.endpoint import Secret

_ShapeT = TypeVar("_ShapeT", bound=Shape)

_SECRETS: Final = frozenset({("basic_auth", "password"), ("authorization", "credentials")})
_EVERY_KEY: Final = frozenset(ClusterEntry.model_fields)
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
_LONGEST_GUESSED: Final = 64
# Where a key belongs that stands in the wrong mapping; `name` and the like belong to a cluster first.
_HOMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        key: home
        for shape, home in (
            (Root, "at the top of the file"),
            (BasicAuth, "under basic_auth"),
            (Authorization, "under authorization"),
            (TlsConfig, "under tls_config"),
            (ClusterEntry, "in an entry of clusters"),
            (Settings, "in defaults, in a profile or in an entry of clusters"),
        )
        for key in shape.model_fields
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sections:
    """A configuration file, section by section."""

    written: Written
    max_concurrent_polls: int
    problems: tuple[Problem, ...]


def read_sections(document: Document) -> Sections:
    """Read every section of a configuration file."""
    reader = _SectionReader(document)
    root, broken = reader.shape(Root, ())
    if root is None:
        broken.add("clusters")
    polls = None if root is None else root.max_concurrent_polls
    if root is not None and polls is None and "max_concurrent_polls" in root.model_fields_set:
        reader.report(("max_concurrent_polls",), "nothing stands behind the colon")
    written = Written(
        defaults=reader.layer(Settings, ("defaults",), rank=0),
        profiles={name: reader.layer(Settings, ("profiles", name), rank=1) for name in reader.profiles()},
        clusters=tuple(
            reader.layer(ClusterEntry, ("clusters", index), rank=2) for index in range(reader.clusters())
        ),
    )
    if not written.clusters and "clusters" not in broken:
        reader.report(("clusters",), "at least one cluster is expected")
    return Sections(
        written=written,
        max_concurrent_polls=DEFAULT_MAX_CONCURRENT_POLLS if polls is None else polls,
        problems=tuple(reader.problems),
    )


class _SectionReader:
    """Reads mappings of one document; holds what is wrong with them."""

    def __init__(self, document: Document) -> None:
        self.problems: list[Problem] = []
        self._document = document

    def report(self, path: KeyPath, message: str) -> None:
        """Add a problem of the key at ``path``."""
        self.problems.append(self._document.place(path).problem(message))

    def profiles(self) -> Iterable[str]:
        """Return the names of the profiles."""
        node = self._document.node(("profiles",))
        return node.entries if isinstance(node, MapNode) else ()

    def clusters(self) -> int:
        """Return how many clusters there are."""
        node = self._document.node(("clusters",))
        return len(node.items) if isinstance(node, ListNode) else 0

    def layer(self, shape: type[Settings], path: KeyPath, *, rank: int) -> Layer:
        """Read the settings of one mapping."""
        place = self._document.place(path)
        node = self._document.node(path)
        if node is None or (_is_nothing(node) and shape is not ClusterEntry):
            return Layer(place=place)
        settings, broken = self.shape(shape, path)
        if settings is None:
            return Layer(place=place, broken=_EVERY_KEY)
        if shape is ClusterEntry and "address" not in settings.model_fields_set | broken:
            self.report(path, "address is missing")
            broken.add("address")
        flat: dict[Key, Setting] = {}
        for key, value, line in _flattened(settings, node):
            if value is None:
                self.report((*path, *key), "nothing stands behind the colon")
                broken.add(key[0])
            else:
                place_of_key = self._document.place_in_line(line, (*path, *key))
                flat[key] = Setting(value=self._resolved(key, value), place=place_of_key, rank=rank)
        return Layer(place=place, settings=flat, broken=frozenset(broken))

    def shape(self, shape: type[_ShapeT], path: KeyPath) -> tuple[_ShapeT | None, set[str]]:
        """Check a mapping; return what is good in it, and the keys that have a mistake in them."""
        node = self._document.node(path)
        if not isinstance(node, MapNode):
            if not (isinstance(node, ScalarNode) and node.is_broken):
                self.report(path, f"a mapping is expected, not {_kind(node)}")
            return None, set(_EVERY_KEY)
        is_root = issubclass(shape, Root)
        raw: dict[str, Any] = {}
        broken: set[str] = set()
        for key, entry in node.entries.items():
            # What stands in the sections of a file is read one by one, each with its own mistakes.
            child = _outline(entry.node) if is_root else entry.node
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
            self.report((*path, *location), self._translated(detail, shape, (*path, *location)))
            _prune(raw, location)
            if detail["type"] != "extra_forbidden" or len(location) > 1:
                broken.add(str(location[0]))
        return shape.model_validate(raw), broken

    def _translated(self, detail: ErrorDetails, shape: type[Shape], path: KeyPath) -> str:
        node = self._document.node(path)
        context = detail.get("ctx", {})
        match detail["type"]:
            case "value_error":
                return str(context["error"])
            case "extra_forbidden":
                outer = shape if len(detail["loc"]) == 1 else NESTED[str(detail["loc"][0])]
                return _unknown_key(str(detail["loc"][-1]), outer)
            case "greater_than_equal":
                return f"must be at least {context['ge']}"
            case "less_than_equal":
                return f"must be at most {context['le']}"
            case kind:
                is_quotable = (
                    kind == "string_type" and isinstance(node, ScalarNode) and node.value is not None
                )
                advice = "; put quotation marks around it" if is_quotable else ""
                return f"{_EXPECTED.get(kind, 'something else')} is expected, not {_kind(node)}{advice}"

    def _resolved(self, key: Key, value: Value) -> Value:
        """Return a value as the rest of the program takes it: paths absolute, secrets wrapped."""
        if not isinstance(value, str):
            return value
        if key in _SECRETS:
            return Secret(value=value)
        return self._document.folder / value if key[-1].endswith("_file") and key[0] != "labels" else value


def _flattened(settings: Shape, node: Node, prefix: Key = ()) -> Iterator[tuple[Key, Value | None, int]]:
    """Yield what was set and its line, in the order of the file; ``None`` where nothing was written."""
    for key, entry in node.entries.items() if isinstance(node, MapNode) else ():
        if key not in settings.model_fields_set:
            continue
        match getattr(settings, key), entry.node:
            case Shape() as inner, _:
                yield (*prefix, key), Marker.MAPPING, entry.line
                yield from _flattened(inner, entry.node, (*prefix, key))
            case dict() as labels, MapNode(entries=entries):
                for name, value in labels.items():
                    yield (*prefix, key, name), value, entries[name].line
            case None, _ if key == "labels":
                pass  # every label of the file is commented out
            case value, _:
                yield (*prefix, key), value, entry.line


def _unknown_key(key: str, shape: type[Shape]) -> str:
    if key in _HOMES:
        return f"not allowed here; it belongs {_HOMES[key]}"
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


def _is_nothing(node: Node) -> bool:
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
