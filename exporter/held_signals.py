"""Holds signals in the kernel while the program is loaded. Loads nothing but ``signal``."""

import signal
from typing import Final

STOP_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT})
DAEMON_SIGNALS: Final = frozenset({signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2})
"""Without a handler, each of these would end the program."""


def hold_signals() -> None:
    """Hold all these signals. The program begins with this: loading the rest takes a tenth of a second."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS | DAEMON_SIGNALS)


def let_stop_signals_through() -> None:
    """Hold only the signals that the daemon handles once it runs."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def let_signals_through() -> None:
    """Hold none: in a command that is no daemon, each ends the program, as in any other program."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS | DAEMON_SIGNALS)
