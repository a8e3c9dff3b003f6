"""What the event loop reports by itself, outside of every task."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_CLOSED = "the handler is closed"
"""How uvloop ends its message about a transport that is closed."""


def handle_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what the event loop reports: at debug level the end of a connection, anything else as an error.

    If a poll is given up while its connection comes about, uvloop may still want to write to the closed
    transport, and reports that. The poll has its reason without this.
    """
    exception = context.get("exception")
    if isinstance(exception, RuntimeError) and str(exception).endswith(_CLOSED):
        log.debug("a connection was given up while it came about", error=str(exception))
    else:
        loop.default_exception_handler(context)
