"""``/metrics`` and ``/probe``: expositions in either format, compressed where the client asks for it.

An answer is made in chunks, each in a thread and only once the client has taken the one before: nobody waits
long for the interpreter, and a slow client holds one chunk beside what its connection buffers.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import hdrs, web

from exporter.metrics.exporter import EXPORTER_FAMILIES, ExporterState
from exporter.metrics.exposition import OPENMETRICS_END, RenderedTable, in_chunks, names_filter, render_once
from exporter.metrics.process import ProcessMetrics
from exporter.metrics.text import Format
from exporter.web.accept import accepts_gzip, preferred_format
from exporter.web.sources import SOURCES

CHUNK_BYTES = 128 * 1024
"""Of an answer before it is compressed: about a millisecond's work."""
SEND_SECONDS = 60.0
"""How long a client may take for its answer; the longest ``scrape_timeout`` that is in use."""
GZIP_LEVEL = 2
"""Lines of an exposition are so alike that higher levels take longer and save next to nothing."""
_GZIP_FORMAT = 31
"""zlib's word for its largest window within a gzip header and trailer."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scrape:
    """Everything that one answer is made of, so that it can be made in a thread."""

    tables: tuple[RenderedTable[Any], ...]
    exporter: ExporterState | None
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
        if self.exporter is not None:
            yield render_once(EXPORTER_FAMILIES, self.exporter, form=self.form, wanted=wanted)
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
        tables += (cleanup.exposition.all(),)
    return await _answer(request, tables, exporter=sources.exporter_state(), process=sources.process)


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
    return await _answer(request, tables, exporter=None, process=None)


async def _answer(
    request: web.Request,
    tables: tuple[RenderedTable[Any], ...],
    *,
    exporter: ExporterState | None,
    process: ProcessMetrics | None,
) -> web.StreamResponse:
    sources = request.app[SOURCES]
    form = preferred_format(request.headers.getall(hdrs.ACCEPT, []))
    compress = accepts_gzip(request.headers.getall(hdrs.ACCEPT_ENCODING, []))
    scrape = _Scrape(
        tables=tables,
        exporter=exporter,
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
    chunks = _made_in_threads(scrape.chunks(), sources.renderers)
    begun = bytearray()
    async for chunk in chunks:
        begun += chunk
        if len(begun) > CHUNK_BYTES:
            return await _stream(request, headers, bytes(begun), chunks)
    return web.Response(body=bytes(begun), headers=headers)


async def _stream(
    request: web.Request, headers: Mapping[str, str], begun: bytes, chunks: AsyncIterator[bytes]
) -> web.StreamResponse:
    """Send an answer as it is made, and no faster than the client takes it."""
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return response
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await response.write(begun)
            async for chunk in chunks:
                await response.write(chunk)
    except TimeoutError:
        log.warning("scrape given up: the client takes its answer too slowly", client=request.remote)
        if request.transport is not None:
            request.transport.abort()
    return response


async def _made_in_threads(chunks: Iterator[bytes], renderers: Executor) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    while (chunk := await loop.run_in_executor(renderers, next, chunks, None)) is not None:
        yield chunk
