"""The daemon's event loop: which one, and what it reports outside of every task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_CLOSED = "the handler is closed"
"""How uvloop ends its message about a transport that is closed."""


def handle_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what the event loop reports: at debug level the end of a connection, anything else as an error.

    If a poll ends while its connection is being established, uvloop may still try to write to the closed
    transport, and reports that. The poll has its reason already.
    """
    exception = context.get("exception")
    if isinstance(exception, RuntimeError) and str(exception).endswith(_CLOSED):
        log.debug("a connection was abandoned while it was being established", error=str(exception))
    else:
        loop.default_exception_handler(context)


def fast_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the factory of uvloop's event loop; None (Python's own loop) if uvloop is not installed."""
    try:
        import uvloop  # noqa: PLC0415 - not available on every platform
    except ModuleNotFoundError:
        return None
    return uvloop.new_event_loop
