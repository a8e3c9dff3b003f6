"""``/metrics`` and ``/probe``: expositions in either format, compressed if the client accepts it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

from aiohttp import hdrs, web

from exporter.metrics.cleanup_metrics import CLEANUP_STATE_FAMILIES
from exporter.metrics.exporter_metrics import EXPORTER_FAMILIES
from exporter.metrics.exposition import OPENMETRICS_END, RenderedTable, in_chunks, render_once
from exporter.metrics.process import ProcessMetrics
from exporter.metrics.text import Format
from exporter.web.answers import SLICE_BYTES, answer
from exporter.web.sources import SOURCES, Sources

GZIP_LEVEL: Final = 2
"""Higher levels take longer and save almost nothing, because the lines of an exposition are alike."""
_GZIP_FORMAT: Final = 31
"""zlib's word for its largest window within a gzip header and trailer."""
_OPENMETRICS_VERSIONS = frozenset({"1.0.0", ""})
_TEXT_TYPES = frozenset({"text/plain", "text/*", "*/*"})
_Tables = tuple[RenderedTable[Any], ...]


async def metrics(request: web.Request) -> web.StreamResponse:
    """Answer with every metric, or with those that ``name[]`` names."""
    sources = request.app[SOURCES]
    form, is_compressed, names = _asked_for(request)

    async def make() -> Iterator[bytes]:
        blocks = _everything(sources, form, names)
        return compress(blocks) if is_compressed else blocks

    return await answer(
        request,
        make,
        _headers(form, is_compressed=is_compressed),
        variant=(form, is_compressed, names),
        is_selected=bool(names),
    )


async def probe(request: web.Request) -> web.StreamResponse:
    """Answer with one cluster's metrics, from memory: 404 if it is unknown, 503 if its inventory is stale."""
    sources = request.app[SOURCES]
    targets = request.query.getall("target", [])
    if len(targets) != 1 or not targets[0]:
        raise web.HTTPBadRequest(text="Name one cluster: /probe?target=NAME\n")
    status = sources.board.get(targets[0])
    if status is None:
        raise web.HTTPNotFound(text=f"No cluster named {targets[0]!r} is configured.\n")
    if status.fresh_inventory(sources.wall_clock()) is None:
        if status.last_poll is None:
            raise web.HTTPServiceUnavailable(text=f"{status.name!r} has not been polled yet.\n")
        failure = status.last_poll.failure
        why = f"; the last one failed: {failure.message}" if failure else ""
        raise web.HTTPServiceUnavailable(text=f"No good poll of {status.name!r} within stale_after{why}.\n")
    tables: _Tables = (sources.exposition.only([status.name]),)
    if (cleanup := sources.cleanup()) is not None:
        keys = [(status.name, policy.name) for policy in cleanup.service.policies()]
        tables += (cleanup.exposition.only(keys), cleanup.leases.only([status.name]))
    form, is_compressed, names = _asked_for(request)
    blocks = _blocks(tables, process=None, now=sources.wall_clock(), form=form, names=names)
    body = b"".join(compress(blocks) if is_compressed else blocks)
    return web.Response(body=body, headers=_headers(form, is_compressed=is_compressed))


def compress(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield blocks as one gzip file."""
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP_FORMAT)
    for chunk in in_chunks(blocks, at_least_bytes=SLICE_BYTES):
        yield compressor.compress(chunk)
    yield compressor.flush()


def preferred_format(accept: Iterable[str]) -> Format:
    """Return OpenMetrics 1.0 if it is asked for at least as much as text; text in every other case."""
    text = openmetrics = 0.0
    for media_type, parameters, weight in _with_weights(accept):
        if media_type == "application/openmetrics-text":
            if parameters.get("version", "") in _OPENMETRICS_VERSIONS:
                openmetrics = max(openmetrics, weight)
        elif media_type in _TEXT_TYPES and parameters.get("version", "0.0.4") == "0.0.4":
            text = max(text, weight)
    return Format.OPENMETRICS if openmetrics > 0 and openmetrics >= text else Format.TEXT


def accepts_gzip(accept_encoding: Iterable[str]) -> bool:
    """Say whether a client accepts gzip."""
    weights = {coding: weight for coding, _, weight in _with_weights(accept_encoding)}
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _asked_for(request: web.Request) -> tuple[Format, bool, frozenset[str]]:
    """Return the format, whether gzip is accepted, and the names of the wanted metrics (empty: all)."""
    return (
        preferred_format(request.headers.getall(hdrs.ACCEPT, [])),
        accepts_gzip(request.headers.getall(hdrs.ACCEPT_ENCODING, [])),
        frozenset(request.query.getall("name[]", [])),
    )


def _everything(sources: Sources, form: Format, names: frozenset[str]) -> Iterator[bytes]:
    """Collect the current values; the blocks may then be made in a thread."""
    tables: _Tables = (sources.exposition.all(),)
    if (cleanup := sources.cleanup()) is not None:
        whole = render_once(CLEANUP_STATE_FAMILIES, cleanup.state())
        tables += (cleanup.exposition.all(), cleanup.leases.all(), whole)
    tables += (render_once(EXPORTER_FAMILIES, sources.exporter_state()),)
    return _blocks(tables, process=sources.process, now=sources.wall_clock(), form=form, names=names)


def _blocks(
    tables: _Tables, *, process: ProcessMetrics | None, now: float, form: Format, names: frozenset[str]
) -> Iterator[bytes]:
    for table in tables:
        yield from table.blocks(now=now, form=form, names=names)
    if process is not None:
        yield process.render(form=form, names=names)
    if form is Format.OPENMETRICS:
        yield OPENMETRICS_END


def _headers(form: Format, *, is_compressed: bool) -> dict[str, str]:
    headers: dict[str, str] = {
        hdrs.CONTENT_TYPE: str(form),
        hdrs.VARY: f"{hdrs.ACCEPT}, {hdrs.ACCEPT_ENCODING}",
    }
    return headers | {hdrs.CONTENT_ENCODING: "gzip"} if is_compressed else headers


def _with_weights(headers: Iterable[str]) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield each item of the headers with its parameters and its weight, by default 1."""
    for item in ",".join(headers).split(","):
        name, *rest = (part.strip() for part in item.split(";"))
        pairs = (part.partition("=") for part in rest)
        parameters = {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
        try:
            weight = float(parameters.pop("q", "1"))
        except ValueError:
            weight = 0.0
        if name:
            yield name.lower(), parameters, weight
