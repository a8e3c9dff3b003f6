"""A cluster's identity and the software versions that it names. No I/O.

Source: GET /cluster, /cluster/software and /cluster/nodes (ONTAP 9.6), GET /cluster/software/download (9.7).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from exporter.ontap.errors import ApiError, BadResponse
from exporter.ontap.requests.listing import CollectionQuery
from exporter.ontap.requests.messages import (
    NO_ENTRY_CODE,
    Conversation,
    get,
    read_code,
    read_object,
    text_or_none,
)
from exporter.ontap.requests.paging import may_be_cut_short

CLUSTER_PATH = "/api/cluster"
SOFTWARE_PATH = "/api/cluster/software"
NODES_PATH = "/api/cluster/nodes"
DOWNLOAD_PATH = "/api/cluster/software/download"

_RELEASE = re.compile(r"\bRelease\s+([^\s:]+)")
_SETTLED_UPDATE_STATES = frozenset({None, "completed"})
"""In any other state, versions may change or differ between nodes; None: no update ever ran."""
FINISHED_UPDATE_STATES = _SETTLED_UPDATE_STATES | {"canceled", "failed"}
"""Every other word for the state of an update, a new one too, counts as unfinished."""
_NO_DOWNLOAD = "not_started"
IDLE_DOWNLOAD_STATES = frozenset({_NO_DOWNLOAD, "success", "failure"})
"""Every other word for the state of a download, a new one too, counts as running."""
_RUNNING_DOWNLOAD = "running"
_RUNNING_DOWNLOAD_CODE = "10551382"
"""ONTAP's code for "package download in progress"; it counts whatever the state beside it."""
UNREADABLE = "unreadable"
"""The state if ONTAP sends one that is not a word."""
MAX_WORD_CHARACTERS = 256
"""Longer than any name, version or state. They become labels, so a longer one counts as missing."""
MAX_NODES = 100
"""More nodes than any cluster has."""
_LONGEST_NODES_SECONDS = 5
"""How long ONTAP may look for the nodes: shorter than a poll waits for one fact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterIdentity:
    """A cluster as it names itself; a field that ONTAP leaves out is None."""

    name: str | None
    uuid: str | None
    ontap_version: str | None
    """The release, for example ``9.14.1P2``; the lowest one if the nodes differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftwareFacts:
    """What a cluster runs and is about to run."""

    version: str | None
    pending_version: str | None
    node_versions: tuple[str, ...] | None
    """One for every node; None if a node does not name its version, or no node is listed."""
    update_state: str | None
    """ONTAP's word for the state of the software update; None if no update ever ran."""

    @property
    def update_in_progress(self) -> bool | None:
        """Whether an update is unfinished: it waits, runs or is paused; None if the cluster says nothing."""
        if self.version is None and self.update_state is None:
            return None
        return self.update_state not in FINISHED_UPDATE_STATES

    @property
    def no_update_open(self) -> bool:
        """Whether no update is pending, running or interrupted."""
        return self.pending_version is None and self.update_state in _SETTLED_UPDATE_STATES


def versions_named(
    identity: ClusterIdentity | None, software: SoftwareFacts | None
) -> Mapping[str, str] | None:
    """Return every version in use, and who names it first: the cluster, a node or the pending update.

    None if one of them could not be read.
    """
    if software is None or software.version is None or software.node_versions is None:
        return None
    named = [
        (None if identity is None else identity.ontap_version, "the cluster"),
        (software.version, "the cluster"),
        *((version, "a node") for version in software.node_versions),
        (software.pending_version, "the pending update"),
    ]
    return {version: by for version, by in reversed(named) if version is not None}


def read_identity() -> Conversation[ClusterIdentity]:
    """Read the cluster's name, uuid and version."""
    document = read_object((yield get(CLUSTER_PATH, {"fields": "name,uuid,version"})))
    return ClusterIdentity(
        name=_short(document.get("name")),
        uuid=_short(document.get("uuid")),
        ontap_version=_release(document.get("version")) or _numbers(document.get("version")),
    )


def read_software(query: CollectionQuery) -> Conversation[SoftwareFacts]:
    """Read the versions of the cluster, of its pending update and of its nodes.

    The nodes are read too if the software document does not name the version of each.
    """
    facts = yield from _read_software_alone()
    if facts.version is None or facts.node_versions is not None:
        return facts
    return replace(facts, node_versions=(yield from read_node_versions(query)) or None)


def read_software_beside(listed: tuple[str, ...] | None) -> Conversation[SoftwareFacts]:
    """Read the software document, which may leave out a node that is down.

    What :func:`read_node_versions` has ``listed`` counts too. If it is None, the versions of the nodes are
    not known; if it is empty, the software document alone decides.
    """
    facts = yield from _read_software_alone()
    named = None if listed is None else (*listed, *(facts.node_versions or ()))
    return replace(facts, node_versions=named or None)


def _read_software_alone() -> Conversation[SoftwareFacts]:
    response = yield get(SOFTWARE_PATH, {"fields": "version,pending_version,state,nodes"})
    document = read_object(response)
    return SoftwareFacts(
        version=_release(document.get("version")),
        pending_version=_pending(document.get("pending_version")),
        node_versions=_every_version(document.get("nodes")),
        update_state=_word(document.get("state")),
    )


def read_download_state() -> Conversation[str]:
    """Read ONTAP's word for the state of the package download.

    A cluster that has never downloaded a package states none, or answers 404 with code 4, "entry doesn't
    exist". Its state is the word for a download that has not started.
    """
    try:
        response = yield get(DOWNLOAD_PATH, {"fields": "state,code"})
    except ApiError as exc:
        if exc.status == HTTPStatus.NOT_FOUND and exc.code == NO_ENTRY_CODE and not exc.transient:
            return _NO_DOWNLOAD
        raise
    document = read_object(response)
    if read_code(document.get("code"), response.redact) == _RUNNING_DOWNLOAD_CODE:
        return _RUNNING_DOWNLOAD
    return _word(document.get("state")) or _NO_DOWNLOAD


def read_node_versions(query: CollectionQuery) -> Conversation[tuple[str, ...] | None]:
    """Read the version of every node; None if one is missing, () if there is no node."""
    seconds = min(query.conclusive_return_timeout_seconds, _LONGEST_NODES_SECONDS)
    request = get(NODES_PATH, {"fields": "version", "return_timeout": seconds})
    response = yield request
    document = read_object(response)
    links = document.get("_links")
    if isinstance(links, dict) and links.get("next") is not None:
        return None
    nodes = document.get("records")
    if nodes == []:
        return None if may_be_cut_short(request.target, elapsed_seconds=response.elapsed_seconds) else ()
    return _every_version(nodes)


def _every_version(nodes: object) -> tuple[str, ...] | None:
    if not isinstance(nodes, list) or not 0 < len(nodes) <= MAX_NODES:
        return None
    versions = tuple(_release(node.get("version")) if isinstance(node, dict) else None for node in nodes)
    known = tuple(version for version in versions if version is not None)
    return known if len(known) == len(versions) else None


def _release(version: Any) -> str | None:  # noqa: ANN401 - a JSON value
    """Return the whole release, from a plain version or an object's ``full``; None if it is missing."""
    is_object = isinstance(version, dict)
    text = _short(version.get("full") if is_object else version)
    match = _RELEASE.search(text or "")
    return match[1] if match else None if is_object else text


def _numbers(version: Any) -> str | None:  # noqa: ANN401 - a JSON value
    """Return a version object without a release as a text for people: its numbers, or its ``full`` text."""
    if not isinstance(version, dict):
        return None
    numbers = [version.get(part) for part in ("generation", "major", "minor")]
    if all(isinstance(number, int) for number in numbers):
        return ".".join(str(number) for number in numbers)
    return _short(version.get("full"))


def _pending(value: object) -> str | None:
    """Return the version of a pending update, None if there is none."""
    if value is None or value == "":
        return None
    version = _release(value)
    if version is None:
        raise BadResponse("pending_version names no version")
    return version


def _word(value: object) -> str | None:
    """Return ONTAP's word for a state; None if it is missing, ``UNREADABLE`` if it is not a word."""
    return None if value is None else _short(value) or UNREADABLE


def _short(value: object) -> str | None:
    """Return a text, or None for anything else and for a text that is too long to be a word."""
    text = text_or_none(value)
    return text if text is not None and len(text) <= MAX_WORD_CHARACTERS else None
