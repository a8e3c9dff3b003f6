"""Sends an answer as it is made.

It is made in chunks, each in a thread and only once the client has taken the one before: nobody waits long
for the interpreter, and a slow client holds one chunk beside what its connection buffers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from typing import Any

import structlog
from aiohttp import hdrs, web

from exporter.metrics.exposition import in_chunks
from exporter.web.connection import SEND_SECONDS

CHUNK_BYTES = 128 * 1024
"""Of an answer before it is compressed: about a millisecond's work."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def send(
    request: web.Request, chunks: Iterator[bytes], renderers: Executor, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Answer with chunks as they are made; what fits into one is sent with its length."""
    made = _made_in_threads(chunks, renderers)
    begun = bytearray()
    async for chunk in made:
        begun += chunk
        if len(begun) > CHUNK_BYTES:
            return await _stream(request, headers, bytes(begun), made)
    return web.Response(body=bytes(begun), headers=headers)


async def send_blocks(
    request: web.Request, blocks: Iterator[bytes], renderers: Executor, content_type: str
) -> web.StreamResponse:
    """Answer with text in UTF-8, gathered from smaller blocks."""
    headers: dict[str, str] = {hdrs.CONTENT_TYPE: f"{content_type}; charset=utf-8"}
    return await send(request, in_chunks(blocks, at_least_bytes=CHUNK_BYTES), renderers, headers)


def json_list(documents: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Write a list of JSON, a document at a time."""
    separator = b"["
    for document in documents:
        yield separator + json.dumps(document).encode()
        separator = b", "
    yield b"]" if separator != b"[" else b"[]"


def slices(whole: bytes) -> Iterator[bytes]:
    """Yield what has been made as a whole, so that a connection buffers little of it."""
    return (whole[begin : begin + CHUNK_BYTES] for begin in range(0, len(whole), CHUNK_BYTES))


async def _stream(
    request: web.Request, headers: Mapping[str, str], begun: bytes, chunks: AsyncIterator[bytes]
) -> web.StreamResponse:
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
        log.warning(
            "answer given up: the client takes it too slowly", path=request.path, client=request.remote
        )
        if request.transport is not None:
            request.transport.abort()
    return response


async def _made_in_threads(chunks: Iterator[bytes], renderers: Executor) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    while (chunk := await loop.run_in_executor(renderers, next, chunks, None)) is not None:
        yield chunk
