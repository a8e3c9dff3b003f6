"""``/metrics`` and ``/probe``: expositions in either format, compressed where the client asks for it."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from aiohttp import hdrs, web

from exporter.metrics.cleanup import CLEANUP_STATE_FAMILIES
from exporter.metrics.exporter import EXPORTER_FAMILIES
from exporter.metrics.exposition import OPENMETRICS_END, RenderedTable, in_chunks, names_filter, render_once
from exporter.metrics.process import ProcessMetrics
from exporter.metrics.text import Format
from exporter.web.accept import accepts_gzip, preferred_format
from exporter.web.sending import CHUNK_BYTES, send
from exporter.web.sources import SOURCES

GZIP_LEVEL = 2
"""Lines of an exposition are so alike that higher levels take longer and save next to nothing."""
_GZIP_FORMAT = 31
"""zlib's word for its largest window within a gzip header and trailer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scrape:
    """Everything that one answer is made of, so that it can be made in a thread."""

    tables: tuple[RenderedTable[Any], ...]
    process: ProcessMetrics | None
    now: float
    form: Format
    names: Collection[str]
    compress: bool

    def chunks(self) -> Iterator[bytes]:
        plain = in_chunks(self._blocks(), at_least_bytes=CHUNK_BYTES)
        return _compressed(plain) if self.compress else plain

    def _blocks(self) -> Iterator[bytes]:
        wanted = names_filter(self.names)
        for table in self.tables:
            yield from table.blocks(now=self.now, form=self.form, wanted=wanted)
        if self.process is not None:
            yield self.process.render(form=self.form, names=self.names)
        if self.form is Format.OPENMETRICS:
            yield OPENMETRICS_END


def _compressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP_FORMAT)
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()


async def metrics(request: web.Request) -> web.StreamResponse:
    """Answer with every metric, or with those that ``name[]`` names."""
    sources = request.app[SOURCES]
    tables: tuple[RenderedTable[Any], ...] = (sources.exposition.all(),)
    if (cleanup := sources.cleanup()) is not None:
        tables += (cleanup.exposition.all(), render_once(CLEANUP_STATE_FAMILIES, cleanup.state()))
    tables += (render_once(EXPORTER_FAMILIES, sources.exporter_state()),)
    return await _answer(request, tables, process=sources.process)


async def probe(request: web.Request) -> web.StreamResponse:
    """Answer with one cluster's metrics, from memory: 404 where it is unknown, 503 without fresh data."""
    sources = request.app[SOURCES]
    targets = request.query.getall("target", [])
    if len(targets) != 1 or not targets[0]:
        raise web.HTTPBadRequest(text="Name one cluster: /probe?target=NAME\n")
    status = sources.board.get(targets[0])
    if status is None:
        raise web.HTTPNotFound(text=f"No cluster named {targets[0]!r} is configured.\n")
    if status.fresh_inventory(sources.wall_clock()) is None:
        failure = status.last_poll.failure if status.last_poll else None
        why = f"; the last one failed: {failure.message}" if failure else ""
        raise web.HTTPServiceUnavailable(text=f"No good poll of {status.name!r} within stale_after{why}.\n")
    tables: tuple[RenderedTable[Any], ...] = (sources.exposition.only([status.name]),)
    if (cleanup := sources.cleanup()) is not None:
        keys = [policy.key for policy in cleanup.board.statuses() if policy.cluster == status.name]
        tables += (cleanup.exposition.only(keys),)
    return await _answer(request, tables, process=None)


async def _answer(
    request: web.Request,
    tables: tuple[RenderedTable[Any], ...],
    *,
    process: ProcessMetrics | None,
) -> web.StreamResponse:
    sources = request.app[SOURCES]
    form = preferred_format(request.headers.getall(hdrs.ACCEPT, []))
    compress = accepts_gzip(request.headers.getall(hdrs.ACCEPT_ENCODING, []))
    scrape = _Scrape(
        tables=tables,
        process=process,
        now=sources.wall_clock(),
        form=form,
        names=request.query.getall("name[]", []),
        compress=compress,
    )
    headers: dict[str, str] = {
        hdrs.CONTENT_TYPE: str(form),
        hdrs.VARY: f"{hdrs.ACCEPT}, {hdrs.ACCEPT_ENCODING}",
    }
    if compress:
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    return await send(request, scrape.chunks(), sources.renderers, headers)
