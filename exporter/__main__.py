"""The console script, and ``python -m exporter``."""

import sys

from exporter.held_signals import hold_daemon_signals


def main() -> int:
    """Hold the daemon's signals, then load and run the command line; returns the exit code."""
    hold_daemon_signals()
    from exporter import cli  # noqa: PLC0415 - a signal must not end the program while this is loaded

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
