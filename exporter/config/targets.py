"""Clusters out of groups of targets, as Prometheus's file_sd has them: one cluster for each address.

As for Prometheus, targets may be missing, repeated, or in several groups. Source:
https://prometheus.io/docs/prometheus/latest/configuration/configuration/ (``file_sd_config``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final

import yaml

from exporter.config.problems import KeyPath, Problem
from exporter.config.reading.document import Document
from exporter.config.schema import ClusterEntry, TargetGroup
from exporter.config.sections import Section
from exporter.config.validation import validate
from exporter.ontap.endpoint import Endpoint

_NOTHING_SET: Final = ClusterEntry()
_KEYS: Final = frozenset(TargetGroup.model_fields)


class Target(Section[ClusterEntry]):
    """One target of a group: its address is the target itself, its labels are those of the group."""

    __slots__ = ()

    def at(self, *keys: str | int) -> KeyPath:
        """Return the path of what stands for a key of an entry."""
        match keys:
            case ("labels", *_):
                return (*self.path[:-2], *keys)
            case _:
                return self.path


def is_group(node: yaml.Node) -> bool:
    """Say whether an item of a cluster file is a group."""
    if not isinstance(node, yaml.MappingNode):
        return False
    return has_group_keys({key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)})


def has_group_keys(keys: AbstractSet[str]) -> bool:
    """Say whether a mapping with these keys is a group: it has targets, or no key that a group has not."""
    return "targets" in keys or keys <= _KEYS


def targets_of(document: Document, index: int) -> Iterator[Target]:
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
    """Return each entry of all files as it is, but of targets one for each address.

    A target with an address that an earlier target or an entry of this name has is ``None``. One with another
    port of a host that an earlier target has is named ``host:port``. ``warnings`` takes one of each target
    whose labels are not used.
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
        if same is not None and same.model.address != address:
            same = None
        other = by_address.get(key) or same
        if other is None:
            name = {"name": address.origin.partition("://")[2]} if address.host in hosts else {}
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
