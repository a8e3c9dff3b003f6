"""Handles signals: stop the program, turn the kill switch on and off, reload."""

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
def handle_daemon_signals(*, kill_switch: KillSwitch, reload: Callable[[], object]) -> Iterator[None]:
    """Handle SIGHUP, SIGUSR1 and SIGUSR2 for as long as the context lasts.

    Signals that :mod:`exporter.held_signals` has held since the start of the program are delivered first.
    """

    def engage() -> None:
        kill_switch.engage()
        log.warning("the kill switch is on: nothing more is deleted until SIGUSR2")

    def release() -> None:
        kill_switch.release()
        log.warning("the kill switch is off: policies delete again")

    with _handled({signal.SIGHUP: reload, signal.SIGUSR1: engage, signal.SIGUSR2: release}):
        # The kernel does not remember the order of held signals. SIGUSR1 is delivered last: if both are held,
        # the kill switch is on.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP, signal.SIGUSR2})
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        yield


@contextmanager
def _handled(handlers: Mapping[signal.Signals, Callable[[], object]]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
            # The program is ending in order; another signal must not kill it before it has finished.
            signal.signal(number, signal.SIG_IGN)
