"""Connections to simulated clusters: receiving a request, delivering a reply whole, cut or not at all."""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Iterable
from email.utils import formatdate
from itertools import repeat
from typing import cast

from aiohttp import web

from exporter.simulator.api.ontap_replies import Reply
from exporter.simulator.faults.fault import Fault, FaultKind
from exporter.simulator.state.received_requests import ReceivedRequest
from exporter.simulator.state.simulated_cluster import SimulatedCluster
from exporter.simulator.wire.exchange import reply_to

PIECE = b" " * 65536
"""What an endless body goes on with."""
SLOW_PIECES = 20
MISSING_BYTES = 64
"""How many bytes a cut body announces beyond what it sends."""


class Connection(web.RequestHandler):
    """One connection to a cluster."""

    __slots__ = ("cluster", "gone", "handled", "number")

    def __init__(
        self, server: web.Server, cluster: SimulatedCluster, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=cluster.keepalive_seconds,
            # Faults need no log lines: the requests are in the cluster's own log.
            access_log=None,  # type: ignore[arg-type] # None turns it off
        )
        cluster.connections_opened += 1
        self.cluster = cluster
        self.number = cluster.connections_opened
        self.handled = 0
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection; reset it if the cluster went down during its handshake."""
        self.cluster.open_connections += 1
        super().connection_made(transport)
        if not self.cluster.reachable:
            self.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Remove the connection from the count, and wake a request that waits."""
        self.cluster.open_connections -= 1
        self.gone.set()
        super().connection_lost(exc)

    def abort(self) -> None:
        """Reset the connection: the client sees neither an end of TLS nor of the stream."""
        if self.transport is None:
            return
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


async def serve(request: web.BaseRequest) -> web.StreamResponse:
    """Handle a request on a `Connection`."""
    connection = cast("Connection", request.protocol)
    cluster = connection.cluster
    connection.handled += 1
    received = ReceivedRequest(
        connection=connection.number,
        method=request.method,
        target=request.raw_path,
        headers=request.headers,
        body=await request.read(),
        monotonic_seconds=time.monotonic(),
        client_name=_client_name(request),
    )
    cluster.receive(received)
    return await _delivered(request, connection, await reply_to(cluster, received, connection.gone))


def _client_name(request: web.BaseRequest) -> str | None:
    certificate = None if request.transport is None else request.transport.get_extra_info("peercert")
    for part in certificate.get("subject", ()) if certificate else ():
        for name, value in part:
            if name == "commonName":
                return str(value)
    return None


async def _delivered(request: web.BaseRequest, connection: Connection, reply: Reply) -> web.StreamResponse:
    is_dated = reply.damage is None or reply.damage.kind is not FaultKind.UNDATED
    seconds = time.time() + connection.cluster.clock_ahead_seconds
    date = formatdate(seconds, usegmt=True) if is_dated else ""
    headers = {"Content-Type": reply.content_type, "Date": date, **dict(reply.headers)}
    pieces: Iterable[bytes] = (reply.body,)
    pause_seconds = 0.0
    is_cut = False
    match reply.damage:
        case Fault(kind=FaultKind.RESET | FaultKind.LOST_ANSWER):
            connection.abort()
            return web.Response(status=reply.status)
        case Fault(kind=FaultKind.TRUNCATED_BODY):
            is_cut = True
            headers["Content-Length"] = str(len(reply.body) + MISSING_BYTES)
        case Fault(kind=FaultKind.ENDLESS_BODY):
            pieces = _endless(reply.body)
        case Fault(kind=FaultKind.SLOW_BODY, seconds=seconds):
            headers["Content-Length"] = str(len(reply.body))
            size = max(1, -(-len(reply.body) // SLOW_PIECES))
            pieces = slow = [reply.body[at : at + size] for at in range(0, len(reply.body), size)]
            pause_seconds = seconds / max(1, len(slow))
        case _:
            return _whole(connection, web.Response(status=reply.status, body=reply.body, headers=headers))
    response = web.StreamResponse(status=reply.status, headers=headers)
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        for piece in pieces:
            # A TLS connection that its client has closed takes writes without a pause: let the loop notice.
            await asyncio.sleep(0)
            await connection.cluster.clock.sleep(pause_seconds)
            if connection.gone.is_set():
                break
            await response.write(piece)
    if is_cut:
        connection.force_close()
    return response


def _whole(connection: Connection, response: web.Response) -> web.Response:
    """Keep the connection open as long as the cluster does, and say so."""
    cluster = connection.cluster
    left = cluster.keepalive_requests - connection.handled
    if left > 0:
        response.headers["Keep-Alive"] = f"timeout={cluster.keepalive_seconds:g}, max={left}"
    else:
        response.force_close()
    return response


def _endless(body: bytes) -> Iterable[bytes]:
    yield body.rstrip().removesuffix(b"}")
    yield from repeat(PIECE)
