"""One connection of a client: what it may take its time for, and what it is told where it speaks no HTTP."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

FIRST_REQUEST_SECONDS: Final = 15.0
"""How long a new connection may take to send the head of its first request."""
IDLE_SECONDS: Final = 75.0
"""How long it may take for the next one: longer than the usual minute between scrapes."""
SEND_SECONDS: Final = 60.0
"""How long a client may take for its answer; the longest ``scrape_timeout`` that is in use."""

_log = logging.getLogger(__name__)
"""For our own mistakes alone: any client could fill it with its own, or put its password there."""


class Connection(web.RequestHandler):
    """Speaks HTTP with a client, and ends where the client lets it wait for too long."""

    __slots__ = ("_deadline", "_first_request_until", "_is_unwanted", "_open", "_stuck")

    def __init__(
        self, server: web.Server, *, loop: asyncio.AbstractEventLoop, first_request_until: float
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=IDLE_SECONDS,
            logger=_log,
            access_log=None,  # type: ignore[arg-type] # aiohttp's word for none at all
            # Nobody reads what a request carries: it is not worth an error, or the memory, to decompress it.
            auto_decompress=False,
        )
        self._open: asyncio.Transport | None = None
        self._is_unwanted = False
        self._first_request_until = first_request_until
        self._deadline: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether it takes one of the connections that there may be."""
        return self._open is not None

    @property
    def is_new(self) -> bool:
        """Whether no request has come yet."""
        return not self._request_count

    @property
    def is_idle(self) -> bool:
        """Whether it owes no answer."""
        return self._waiter is not None and not self._waiter.done() and self._stuck is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, and wait for the first request."""
        self._open = cast("asyncio.Transport", transport)  # of streams there is no other kind
        # What the client has not taken is told at once, so that the end of an answer has its deadline too.
        self._open.set_write_buffer_limits(high=1)  # 0 would always be reached with TLS
        self._deadline = self._loop.call_at(self._first_request_until, self._end_where_new)
        super().connection_made(transport)
        if self._is_unwanted:
            self.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self._open = None
        for timer in (self._deadline, self._stuck):
            if timer is not None:
                timer.cancel()
        self._deadline = self._stuck = None
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for the client to take what has been sent, but not for ever."""
        super().pause_writing()
        self._stuck = self._loop.call_later(SEND_SECONDS, self.abort)

    def resume_writing(self) -> None:
        """Go on: the client has taken everything."""
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
        super().resume_writing()

    def abort(self) -> None:
        """End at once, whatever is owed, or as soon as it begins."""
        self._is_unwanted = True
        # aiohttp forgets the transport while its last bytes wait to be taken.
        transport, self._open = self._open, None
        if transport is not None:
            transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP without a word of it: it may hold a password."""
        if not isinstance(exc, HttpProcessingError) or request.writer.output_size:
            return super().handle_error(request, status, exc, message)
        response = web.Response(status=400, text="Bad Request\n")
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:  # noqa: ANN401 - as aiohttp's
        """Log what is our own mistake."""
        if not isinstance(kw.get("exc_info"), HttpProcessingError | RequestPayloadError):
            super().log_exception(*args, **kw)

    def _end_where_new(self) -> None:
        if self.is_new:
            self.abort()
