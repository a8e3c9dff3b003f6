"""Reads a cluster file: entries as under ``clusters``, groups of targets as in Prometheus's file_sd, or both.

Each address of a group is a cluster. As for Prometheus, targets may be missing, repeated, or in several
groups. Source:
https://prometheus.io/docs/prometheus/latest/configuration/configuration/ (``file_sd_config``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import yaml

from exporter.config.problems import KeyPath, Problem
from exporter.config.reading.document import BROKEN, Document
from exporter.config.reading.yaml_source import parse_document
from exporter.config.schema import ClusterEntry, TargetGroup
from exporter.config.sections import Section
from exporter.config.validation import kind_of, validate
from exporter.ontap.cluster_settings import Endpoint

_NOTHING_SET: Final = ClusterEntry()
_KEYS: Final = frozenset(TargetGroup.model_fields)
# Few lines with aliases in them can name a million.
_MOST_CLUSTERS: Final = 100_000
_ADVICE: Final = "write [] for no clusters"
# JSON writes a character beyond U+FFFF as two escapes, which YAML would take for two broken characters.
_JSON_PAIR: Final = re.compile(
    rb"(?<!\\)((?:\\\\)*)(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFile:
    """What one of the cluster files says."""

    entries: tuple[Section[ClusterEntry], ...]
    problems: tuple[Problem, ...]


def parse_cluster_file(content: bytes, path: Path, *, environ: Mapping[str, str]) -> ClusterFile:
    """Return what a cluster file says: entries as under ``clusters``, groups as in file_sd, or both."""
    is_json = path.suffix.lower() == ".json"
    document = parse_document(
        _as_yaml(content) if is_json else content,
        path,
        environ=environ,
        if_empty=f"the file is empty; {_ADVICE}" if is_json else None,
        is_literal=_is_group,
    )
    entries: list[Section[ClusterEntry]] = []
    root = document.root
    if isinstance(root, list):
        for index in range(len(root)):
            entries += _entries(document, index)
            if len(entries) > _MOST_CLUSTERS:
                document.report((index,), f"more than {_MOST_CLUSTERS} clusters in one file")
                entries.clear()
                break
    elif root is not BROKEN and root is not None:
        is_main = isinstance(root, dict) and "clusters" in root
        advice = "the list begins without clusters: above it" if is_main else _ADVICE
        document.report((), f"a list is expected, not {kind_of(root)}; {advice}")
    document.root = None  # the models hold the values
    return ClusterFile(entries=tuple(entries), problems=tuple(document.problems))


def _entries(document: Document, index: int) -> Iterator[Section[ClusterEntry]]:
    item = document.value((index,))
    if isinstance(item, dict) and _has_group_keys(item.keys()):
        yield from _targets_of(document, index)
    else:
        yield Section(model=validate(ClusterEntry, document, (index,)), document=document, path=(index,))


def _as_yaml(content: bytes) -> bytes:
    """Return JSON as YAML, which it is, save for one kind of escape."""

    def character(match: re.Match[bytes]) -> bytes:
        return match[1] + str(json.loads(b'"%s"' % match[2])).encode()

    return _JSON_PAIR.sub(character, content)


def entry_problems(text: str) -> list[str]:
    """Return what is wrong with a list of one cluster; every environment variable counts as set."""
    names = re.findall(r"\$\{(\w+)\}", text)
    file = parse_cluster_file(text.encode(), Path("entries.yaml"), environ=dict.fromkeys(names, "x"))
    return [f"{problem.key.removeprefix('[0].')}: {problem.message}" for problem in file.problems]


class Target(Section[ClusterEntry]):
    """One target of a group: its address is the target itself, its labels are those of the group."""

    __slots__ = ()

    def at(self, *keys: str | int) -> KeyPath:
        """Return the path of what stands for a key of an entry."""
        match keys:
            case ("address",):
                return self.path
            case ("labels", *_):
                return (*self.path[:-2], *keys)
            case _:
                return (*self.path, *keys)


def _is_group(node: yaml.Node) -> bool:
    """Say whether an item of a cluster file is a group."""
    if not isinstance(node, yaml.MappingNode):
        return False
    return _has_group_keys({key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)})


def _has_group_keys(keys: AbstractSet[str]) -> bool:
    """Say whether a mapping with these keys is a group: it has targets, or only keys of a group."""
    return "targets" in keys or keys <= _KEYS


def _targets_of(document: Document, index: int) -> Iterator[Target]:
    """Yield the targets of the group at ``index``; labels that begin with ``__`` are left out."""
    item = document.value((index,))
    if isinstance(item, dict) and item.get("targets", ()) is None:
        del item["targets"]
    document.take_as_text((index, "labels"))
    group = validate(TargetGroup, document, (index,))
    labels = {name: value for name, value in group.labels.items() if not name.startswith("__")}
    shared = {"labels": labels} if labels else {}
    for number, address in enumerate(group.targets):
        entry = _NOTHING_SET.model_copy(update={"address": address, **shared})
        yield Target(model=entry, document=document, path=(index, "targets", number))


def distinct(
    entries: Iterable[Section[ClusterEntry]], warnings: set[Problem] | None = None
) -> list[Section[ClusterEntry] | None]:
    """Return the entries in order, with None for each duplicate target.

    A target is a duplicate if an earlier target, or an entry named like its host, has its address. A target
    is named ``host:port`` if an earlier target, or an entry without a name, has its host on another port.
    ``warnings`` gets one for each duplicate whose labels are dropped.
    """
    entries = list(entries)
    named = {
        entry.model.effective_name: entry for entry in reversed(entries) if not isinstance(entry, Target)
    }
    by_address: dict[Endpoint, Section[ClusterEntry]] = {}
    hosts: set[str] = set()
    found: list[Section[ClusterEntry] | None] = []
    for entry in entries:
        address = entry.model.address
        if not isinstance(entry, Target) or address is None:
            found.append(entry)
            continue
        key = replace(address, host=address.canonical_host)
        same = named.get(address.host)
        is_taken = address.host in hosts
        if same is not None and same.model.address != address:
            is_taken |= same.model.name is None  # it has another port of the host
            same = None
        other = by_address.get(key) or same
        if other is None:
            name = {"name": address.origin.partition("://")[2]} if is_taken else {}
            model = entry.model.model_copy(update=name)
            by_address[key] = Target(model=model, document=entry.document, path=entry.path)
            hosts.add(address.host)
            found.append(by_address[key])
            continue
        found.append(None)
        if warnings is not None and other.model.labels != entry.model.labels:
            location = other.location("address")
            message = f"the same target as {location}: {location.key}, whose labels it has"
            warnings.add(entry.location("address").problem(message))
    return found
