"""``/sd``: every cluster as a target of its own, for Prometheus's HTTP service discovery."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiohttp import hdrs, web

from exporter.polling.board import ClusterStatus
from exporter.web.answers import answer
from exporter.web.documents import JSON_TYPE, json_list
from exporter.web.sources import SOURCES


async def targets(request: web.Request) -> web.StreamResponse:
    """Answer with a group for each cluster; its target is the name that ``/probe`` takes.

    Source: Prometheus, "HTTP SD": a JSON list of ``{"targets": [...], "labels": {...}}``.
    """
    sources = request.app[SOURCES]

    async def make() -> Iterator[bytes]:
        return json_list(map(_group, sources.board.statuses()))

    return await answer(request, make, {hdrs.CONTENT_TYPE: JSON_TYPE})


def _group(status: ClusterStatus) -> dict[str, Any]:
    labels = {"cluster": status.name, **dict(status.labels)}
    meta = {f"__meta_ontap_label_{name}": value for name, value in status.labels}
    return {
        "targets": [status.name],
        "labels": {
            **labels,
            "__meta_ontap_cluster": status.name,
            "__meta_ontap_address": status.address,
            **meta,
        },
    }
