"""One file of ``cluster_files``: entries as under ``clusters``, groups as in file_sd, or both."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from exporter.config.address import parse_address
from exporter.config.content import digest
from exporter.config.document import Document, ListNode, MapNode, Node
from exporter.config.layers import Key, Layer, Setting
from exporter.config.mappings import MappingReader
from exporter.config.model import ClusterFile
from exporter.config.problems import ConfigError, Problem
from exporter.config.reader import parse_document
from exporter.config.schema import ClusterEntry, TargetGroup

_RANK: Final = 2
# Few lines with aliases in them can name a million.
_MOST_CLUSTERS: Final = 100_000
_ADVICE: Final = "write [] for no clusters"
# JSON writes a character beyond U+FFFF as two escapes, which YAML would take for two broken characters.
_JSON_PAIR: Final = re.compile(
    r"((?<!\\)(?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})"
)


def parse_cluster_file(content: bytes, path: Path, *, environ: Mapping[str, str]) -> ClusterFile:
    """Return what a file says; one that is no YAML has a problem and no clusters."""
    try:
        document, problems = parse_document(
            _as_yaml(content, path), path, environ=environ, if_empty=f"the file is empty; {_ADVICE}"
        )
    except ConfigError as error:
        return _said(content, path, (), error.problems)
    reader = MappingReader(document)
    clusters: list[Layer] = []
    match document.root:
        case ListNode(items=items):
            for index, node in enumerate(items):
                clusters += _item(reader, document, index, node)
                if len(clusters) > _MOST_CLUSTERS:
                    reader.report((index,), f"more than {_MOST_CLUSTERS} clusters in one file")
                    clusters.clear()
                    break
        case MapNode(entries=entries) if "clusters" in entries:
            reader.report((), "a list is expected, not a mapping; the list begins without clusters: above it")
        case root:
            reader.report_kind((), "a list", root, advice=_ADVICE)
    return _said(content, path, clusters, [*problems, *reader.problems])


def _said(content: bytes, path: Path, clusters: Iterable[Layer], problems: Iterable[Problem]) -> ClusterFile:
    return ClusterFile(path=path, digest=digest(content), clusters=tuple(clusters), problems=tuple(problems))


def _as_yaml(content: bytes, path: Path) -> bytes:
    """Return the content of a file as YAML, which JSON is, save for one kind of escape."""
    if path.suffix != ".json" or b"\\u" not in content:
        return content

    def character(match: re.Match[str]) -> str:
        pair = bytes.fromhex(match[2] + match[3])
        return match[1] + pair.decode("utf-16-be")

    text = content.decode("utf-8", errors="surrogateescape")
    return _JSON_PAIR.sub(character, text).encode("utf-8", errors="surrogateescape")


def _item(reader: MappingReader, document: Document, index: int, node: Node) -> Iterator[Layer]:
    if isinstance(node, MapNode) and "targets" in node.entries:
        yield from _group(reader, document, index)
    else:
        yield reader.layer(ClusterEntry, (index,), rank=_RANK, required="address")


def _group(reader: MappingReader, document: Document, index: int) -> Iterator[Layer]:
    """Yield a cluster for each target of a group, with the labels that Prometheus would keep."""
    group = reader.layer(TargetGroup, (index,), rank=_RANK)
    shared = {
        key: setting
        for key, setting in group.settings.items()
        if key[0] == "labels" and not key[-1].startswith("__")
    }
    for number in reader.indexes(index, "targets"):
        path = (index, "targets", number)
        endpoint = reader.text(path, parse_address)
        if endpoint is not None:
            place = document.place(path)
            settings: dict[Key, Setting] = {
                ("address",): Setting(value=endpoint, place=place, rank=_RANK),
                **shared,
            }
            yield Layer(place=place, settings=settings, broken=group.broken & {"labels"})
