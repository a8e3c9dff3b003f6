"""Connections of clients: how long each step of a client may take.

aiohttp's own sites accept them. Bounded here are the time to the first request (the TLS handshake included),
the time to receive an answer, and what is read between two requests.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import structlog
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from exporter.web.addresses import client_of

if TYPE_CHECKING:
    from exporter.web.admission import BoundedServer

_GRACE_SECONDS: Final = 1.0
"""How long a handshake or a request may go on after its connection was asked to end."""
_LONGEST_LINE_BYTES: Final = 24 * 1024
"""Cookies of a proxy with single sign-on, and a long choice of metrics, exceed aiohttp's 8 KiB."""
SERVER: Final = "ontap-packages-exporter"
"""The header ``Server``; aiohttp's own names its version and Python's."""
_TLS_CLOSE_SECONDS: Final = 1.0
"""How long the closing handshake of TLS may take."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
_aiohttp_log = logging.getLogger(__name__)


class Connection(web.RequestHandler):
    """Speaks HTTP with a client, and ends if the client is too slow."""

    def __init__(self, server: BoundedServer) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=server.limits.idle_seconds,
            logger=_aiohttp_log,
            access_log=None,  # type: ignore[arg-type] # aiohttp's word for none at all
            # Nobody reads what a request carries: it is not worth an error, or the memory, to decompress it.
            auto_decompress=False,
            max_line_size=_LONGEST_LINE_BYTES,
            max_field_size=_LONGEST_LINE_BYTES,
        )
        self.client = ""
        self.has_asked = False
        """Whether handling a request has begun."""
        self._server = server
        self._limits = server.limits
        self._stream: asyncio.Transport | None = None
        """aiohttp drops its own reference before the last bytes of an answer have been received."""
        self._handshake: asyncio.Task[None] | None = None
        self._first_request_timer: asyncio.TimerHandle | None = None
        self._slow_reader_timer: asyncio.TimerHandle | None = None
        self._is_answering = False
        self._resumes_after_answer = False
        self._unhandled_bytes = 0
        self.stalled_since: float | None = None
        """Since when the client has read nothing of what was sent; None: it has read everything."""

    @property
    def is_busy(self) -> bool:
        """Whether an answer is being made or sent."""
        return self._is_answering or self.writing_paused

    @property
    def has_begun_request(self) -> bool:
        """Whether a part of a request has come, or a whole one that is not handled yet."""
        return self._unhandled_bytes > 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection, and wait for the first request."""
        stream = cast("asyncio.Transport", transport)  # of streams there is no other kind
        if self._first_request_timer is None:  # else the handshake is over
            self.client = client_of(stream.get_extra_info("peername"))
            if not self._server.admit(self):
                stream.abort()
                return
            seconds = self._limits.first_request_seconds
            self._first_request_timer = self._later(seconds, self._abort_without_request)
            if self._server.context is not None:
                self._begin_handshake(stream, self._server.context)
                return
        self._stream = stream
        # A single unsent byte pauses writing, so that the end of an answer has its deadline too.
        stream.set_write_buffer_limits(high=1)  # 0 would always be reached with TLS
        super().connection_made(stream)

    def connection_lost(self, exc: BaseException | None) -> None:  # noqa: ARG002 - see below
        """Stop the timers and remove the connection from the count, in the same way whatever ended it.

        aiohttp would keep ``exc`` in a cycle with the frames of the handler, and so with the answer, until
        the next full garbage collection.
        """
        self._forget()
        super().connection_lost(None)

    def data_received(self, data: bytes) -> None:
        """Read parts of requests, and check that each request is small enough.

        The rest stays in the socket until the answer has been made. The loop reads up to 32
        times before anything else runs, and aiohttp keeps every read that it cannot parse.
        """
        self._unhandled_bytes += len(data)
        super().data_received(data)
        stream = self._stream
        if self._unhandled_bytes > self._limits.request_bytes and stream is not None:
            if stream.is_reading():  # else aiohttp has as many requests as it takes, and goes on by itself
                self._resumes_after_answer = True
                stream.pause_reading()
            if not self._is_answering:
                asyncio.get_running_loop().call_soon(self._end_if_too_large)  # by then, a whole one has begun

    def pause_writing(self) -> None:
        """Wait until the client has received what was sent, under a deadline."""
        super().pause_writing()
        self.stalled_since = asyncio.get_running_loop().time()
        if self._slow_reader_timer is None:
            self._slow_reader_timer = self._later(self._limits.answer_seconds, self._abort_slow_reader)

    def resume_writing(self) -> None:
        """Continue: the client has received everything so far."""
        super().resume_writing()
        self.stalled_since = None
        self._stop_timer_if_received()

    def begin_request(self) -> None:
        """Record that handling a request, maybe a malformed one, begins."""
        self._is_answering = self.has_asked = True
        self._unhandled_bytes = 0

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the rest of an answer, and record that the request is done."""
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._is_answering = False
            self._stop_timer_if_received()
            if self._resumes_after_answer and self._stream is not None:
                self._resumes_after_answer = False
                self._stream.resume_reading()

    def end(self) -> None:
        """End after the current answer; a handshake or a request that has begun may go on for a moment."""
        if self._handshake is not None or (self.has_begun_request and not self._is_answering):
            self._later(_GRACE_SECONDS, self._end_now)
        else:
            self._end_now()

    def abort(self) -> None:
        """End at once, even during an answer."""
        stream, handshake = self._stream, self._handshake
        self._forget()
        if handshake is not None:
            handshake.cancel()
        if stream is not None:
            stream.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a malformed request without repeating it: it may hold a password."""
        if isinstance(exc, ConnectionError):  # the client has gone away, so it will not get this answer
            return web.Response(status=500, headers={hdrs.SERVER: SERVER})
        if not isinstance(exc, HttpProcessingError) or request.writer.output_size:
            return super().handle_error(request, status, exc, message)
        exc.__traceback__ = None  # its frames hold what was read, and themselves until a garbage collection
        # From now on, nothing is read: every further read would be another mistake with its traceback.
        self._resumes_after_answer = False
        self.close()
        if self._stream is not None:
            self._stream.pause_reading()
        response = web.Response(status=400, text="Bad Request\n", headers={hdrs.SERVER: SERVER})
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:  # noqa: ANN401 - as aiohttp's
        """Log only our own mistakes; otherwise any client could fill the log."""
        if not isinstance(kw.get("exc_info"), HttpProcessingError | RequestPayloadError | ConnectionError):
            super().log_exception(*args, **kw)

    def _begin_handshake(self, stream: asyncio.Transport, context: ssl.SSLContext) -> None:
        """Hand the socket over to TLS before anything is read from it."""
        accepted = stream.get_extra_info("socket")
        try:
            own = socket.fromfd(accepted.fileno(), accepted.family, accepted.type)
        except OSError:  # no file is left
            self._forget()
        else:
            own.setblocking(False)  # noqa: FBT003 - its only parameter
            self._handshake = asyncio.create_task(self._encrypt(own, context), name="TLS handshake")
            self._handshake.add_done_callback(partial(self._end_handshake, own))
        stream.set_protocol(asyncio.Protocol())
        stream.abort()  # closes its own copy of the socket alone

    async def _encrypt(self, accepted: socket.socket, context: ssl.SSLContext) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self,
                accepted,
                ssl=context,
                ssl_handshake_timeout=self._limits.first_request_seconds,
                ssl_shutdown_timeout=_TLS_CLOSE_SECONDS,
            )
        except OSError:  # no TLS, or none that is allowed: the client's affair
            self._forget()

    def _end_handshake(self, accepted: socket.socket, _: asyncio.Task[None]) -> None:
        self._handshake = None
        if self._stream is None:
            accepted.close()  # else it is the stream's

    def _forget(self) -> None:
        self._server.forget(self)
        for timer in (self._first_request_timer, self._slow_reader_timer):
            if timer is not None:
                timer.cancel()
        self._slow_reader_timer = self._stream = None

    def _stop_timer_if_received(self) -> None:
        if self._slow_reader_timer is not None and not self.is_busy:
            self._slow_reader_timer.cancel()
            self._slow_reader_timer = None

    def _end_now(self) -> None:
        if self._is_answering:
            self.close()
        elif self.connected:
            self.force_close()
        elif self._stream is None:
            self.abort()

    def _end_if_too_large(self) -> None:
        if self._unhandled_bytes > self._limits.request_bytes and not self._is_answering:
            self._end_now()

    def _abort_without_request(self) -> None:
        if not self.has_asked:
            self.abort()

    def _abort_slow_reader(self) -> None:
        log.debug("connection closed: the client reads too slowly", client=self.client)
        self.abort()

    @staticmethod
    def _later(seconds: float, act: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, act)
