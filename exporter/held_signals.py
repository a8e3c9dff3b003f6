"""Holds the signals of the daemon in the kernel until it handles them. Loads nothing but ``signal``."""

import signal
from typing import Final

DAEMON_SIGNALS: Final = frozenset({signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2})
"""Without a handler, each of these would end the program."""


def hold_daemon_signals() -> None:
    """Hold the signals. The program begins with this: loading the rest takes a tenth of a second."""
    signal.pthread_sigmask(signal.SIG_BLOCK, DAEMON_SIGNALS)


def let_signals_through() -> None:
    """Stop holding them: in a command that is no daemon, each ends the program, as in any other program."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, DAEMON_SIGNALS)
