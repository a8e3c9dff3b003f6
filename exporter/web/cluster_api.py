"""Clusters for programs: ``/api/v1/clusters`` and ``/sd``; and the applied configuration, ``/config``."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from aiohttp import hdrs, web

from exporter.polling.board import ClusterStatus
from exporter.web.answers import answer
from exporter.web.parameters import named_cluster
from exporter.web.sources import SOURCES

JSON_TYPE: Final = "application/json; charset=utf-8"


async def clusters(request: web.Request) -> web.StreamResponse:
    """Answer with every cluster as JSON, or with those that ``cluster`` names."""
    sources = request.app[SOURCES]
    names = frozenset(request.query.getall("cluster", []))

    async def make() -> Iterator[bytes]:
        now = sources.wall_clock()
        statuses = sources.board.statuses()
        documents = (_as_json(status, now) for status in statuses if not names or status.name in names)
        return itertools.chain([b'{"clusters": '], json_list(documents), [b"}"])

    headers: dict[str, str] = {hdrs.CONTENT_TYPE: JSON_TYPE}
    return await answer(request, make, headers, variant=names, is_selected=bool(names))


async def cluster(request: web.Request) -> web.Response:
    """Answer with one cluster as JSON: 404 if it is unknown."""
    document = json.dumps(_as_json(named_cluster(request), request.app[SOURCES].wall_clock()))
    return web.Response(body=document.encode(), headers={hdrs.CONTENT_TYPE: JSON_TYPE})


async def targets(request: web.Request) -> web.StreamResponse:
    """Answer with a group for each cluster; its target is the name that ``/probe`` takes.

    Source: Prometheus, "HTTP SD": a JSON list of ``{"targets": [...], "labels": {...}}``.
    """
    sources = request.app[SOURCES]

    async def make() -> Iterator[bytes]:
        return json_list(map(_group, sources.board.statuses()))

    return await answer(request, make, {hdrs.CONTENT_TYPE: JSON_TYPE})


async def config(request: web.Request) -> web.StreamResponse:
    """Answer with the applied configuration, its secrets masked; thousands of clusters take a second."""
    sources = request.app[SOURCES]

    async def make() -> Iterator[bytes]:
        return (sources.masked_config().encode() for _ in range(1))

    headers: dict[str, str] = {hdrs.CONTENT_TYPE: "text/plain; charset=utf-8"}  # which browsers show
    return await answer(request, make, headers)


def json_list(documents: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Write a list of JSON, a document at a time."""
    separator = b"["
    for document in documents:
        yield separator + json.dumps(document).encode()
        separator = b", "
    yield b"]" if separator != b"[" else b"[]"


def _as_json(status: ClusterStatus, now: float) -> dict[str, Any]:
    """Return a cluster as ``/api/v1/clusters`` shows it; times are Unix seconds."""
    inventory = status.fresh_inventory(now)
    identity = status.inventory.identity if status.inventory else None
    poll = status.last_poll
    return {
        "cluster": status.name,
        "address": status.address,
        "labels": dict(status.labels),
        "up": status.up if poll is not None else None,
        "identity": None
        if identity is None
        else {"name": identity.name, "uuid": identity.uuid, "ontap_version": identity.ontap_version},
        "polls": status.polls,
        "poll_failures": {str(reason): count for reason, count in status.failures.items()},
        "last_poll": None
        if poll is None
        else {
            "timestamp_seconds": poll.ended_timestamp_seconds,
            "duration_seconds": poll.duration_seconds,
            "failure": None
            if poll.failure is None
            else {"reason": str(poll.failure.reason), "message": poll.failure.message},
        },
        "last_successful_poll_timestamp_seconds": status.inventory_timestamp_seconds,
        "pages": status.inventory.listing.pages if status.inventory else None,
        "unnamed_packages": inventory.listing.unnamed if inventory else None,
        "packages": None
        if inventory is None
        else [
            {
                "version": package.version,
                "create_timestamp_seconds": package.create_timestamp_seconds,
                "age_seconds": None
                if package.create_timestamp_seconds is None
                else max(now - package.create_timestamp_seconds, 0.0),
                "in_use": inventory.in_use(package),
            }
            for package in inventory.listing.packages
        ],
    }


def _group(status: ClusterStatus) -> dict[str, Any]:
    return {
        "targets": [status.name],
        "labels": {
            "cluster": status.name,
            **dict(status.labels),
            "__meta_ontap_cluster": status.name,
            "__meta_ontap_address": status.address,
            **{f"__meta_ontap_label_{name}": value for name, value in status.labels},
        },
    }
