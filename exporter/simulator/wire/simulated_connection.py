"""Connections to simulated clusters: receiving a request, delivering a reply whole, cut or not at all."""

import asyncio
import socket
import struct
from collections.abc import Iterable
from itertools import repeat

from aiohttp import web

from exporter.simulator.api.ontap_replies import Delivery, Reply
from exporter.simulator.state.received_requests import ReceivedRequest, received_now
from exporter.simulator.state.simulated_clock import SimulatedClock
from exporter.simulator.state.simulated_cluster import SimulatedCluster
from exporter.simulator.wire.exchange import reply_to

PIECE = b" " * 65536
"""What an endless body goes on with."""
SLOW_PIECES = 20
MISSING_BYTES = 64
"""How many bytes a cut body announces beyond what it sends."""


class Connection(web.RequestHandler):
    """One connection to a cluster.

    Args:
        server: The server that it belongs to.
        cluster: The cluster whose address it came in on.
        loop: The event loop.
    """

    __slots__ = ("cluster", "gone", "handled", "number")

    def __init__(
        self, server: web.Server, cluster: SimulatedCluster, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=cluster.keepalive_seconds,
            # Faults need no log lines: what came in is in the cluster's own log.
            access_log=None,  # type: ignore[arg-type] # None turns it off
            # A package's version may be anything, and so may a body.
            auto_decompress=False,
        )
        cluster.connections_opened += 1
        self.cluster = cluster
        self.number = cluster.connections_opened
        self.handled = 0
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection."""
        self.cluster.open_connections += 1
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count it no longer, and tell a request that waits."""
        if not self.gone.is_set():
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
    """Handle a request on a `Connection`.

    Raises:
        TypeError: It came in on another kind of connection.
    """
    connection = request.protocol
    if not isinstance(connection, Connection):
        raise TypeError(f"not a simulated connection: {connection!r}")
    cluster = connection.cluster
    connection.handled += 1
    received = ReceivedRequest(
        number=cluster.log.next_number(),
        connection=connection.number,
        method=request.method,
        target=request.raw_path,
        headers=request.headers,
        body=await request.read(),
        monotonic_seconds=received_now(),
        client_name=_client_name(request),
    )
    cluster.log.add(received)
    reply = await reply_to(cluster, received, connection.gone)
    return await _delivered(request, connection, reply, cluster.clock)


def _client_name(request: web.BaseRequest) -> str | None:
    certificate = None if request.transport is None else request.transport.get_extra_info("peercert")
    for part in certificate.get("subject", ()) if certificate else ():
        for name, value in part:
            if name == "commonName":
                return str(value)
    return None


async def _delivered(
    request: web.BaseRequest, connection: Connection, reply: Reply, clock: SimulatedClock
) -> web.StreamResponse:
    headers = {"Content-Type": reply.content_type, **dict(reply.headers)}
    match reply.delivery:
        case Delivery.RESET:
            connection.abort()
            return web.Response(status=reply.status)
        case Delivery.WHOLE:
            response = web.Response(status=reply.status, body=reply.body, headers=headers)
            _announce_keepalive(connection, response)
            return response
        case Delivery.CUT:
            headers["Content-Length"] = str(len(reply.body) + MISSING_BYTES)
            streamed = await _streamed(request, connection, reply.status, headers, (reply.body,))
            connection.force_close()
            return streamed
        case Delivery.ENDLESS:
            return await _streamed(request, connection, reply.status, headers, _endless(reply.body))
        case Delivery.SLOW:
            size = max(1, -(-len(reply.body) // SLOW_PIECES))
            pieces = [reply.body[at : at + size] for at in range(0, len(reply.body), size)]
            headers["Content-Length"] = str(len(reply.body))
            pause = reply.delivery_seconds / max(1, len(pieces))
            return await _streamed(
                request, connection, reply.status, headers, pieces, clock=clock, pause_seconds=pause
            )


def _endless(body: bytes) -> Iterable[bytes]:
    yield body.rstrip().removesuffix(b"}")
    yield from repeat(PIECE)


async def _streamed(
    request: web.BaseRequest,
    connection: Connection,
    status: int,
    headers: dict[str, str],
    pieces: Iterable[bytes],
    *,
    clock: SimulatedClock | None = None,
    pause_seconds: float = 0.0,
) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=headers)
    await response.prepare(request)
    for piece in pieces:
        # A TLS connection that the client closes takes writes without a pause, for ever: let its end be seen.
        await asyncio.sleep(0)
        if clock is not None:
            await clock.sleep(pause_seconds)
        if connection.gone.is_set():
            break
        await response.write(piece)
    return response


def _announce_keepalive(connection: Connection, response: web.Response) -> None:
    """Keep the connection open as long as the cluster does, and say so."""
    cluster = connection.cluster
    left = cluster.keepalive_requests - connection.handled
    if cluster.keepalive_seconds <= 0 or left <= 0:
        response.force_close()
        return
    response.headers["Keep-Alive"] = f"timeout={cluster.keepalive_seconds:g}, max={left}"
