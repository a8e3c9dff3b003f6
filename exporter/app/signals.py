"""What the operating system's signals do."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import structlog

from exporter.cleanup.kill_switch import KillSwitch

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@contextmanager
def stop_on_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set ``stop`` on SIGTERM and SIGINT for as long as the context lasts."""
    with _handled({signal.SIGTERM: stop.set, signal.SIGINT: stop.set}):
        yield


@contextmanager
def handle_signals(*, kill_switch: KillSwitch, reload: Callable[[], object]) -> Iterator[None]:
    """Heed signals for as long as the context lasts.

    Args:
        kill_switch: halts all deleting at SIGUSR1 and is released at SIGUSR2.
        reload: called at SIGHUP.
    """

    def engage() -> None:
        kill_switch.engage()
        log.warning("cleanup is halted: nothing more is deleted until SIGUSR2")

    def release() -> None:
        kill_switch.release()
        log.warning("cleanup is released: policies delete again")

    def on_hangup() -> None:
        reload()

    handlers = {signal.SIGUSR1: engage, signal.SIGUSR2: release, signal.SIGHUP: on_hangup}
    with _handled(handlers):
        yield


@contextmanager
def _handled(handlers: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
            # The program is ending in order, and has a moment's work left; another signal would kill it.
            signal.signal(number, signal.SIG_IGN)
