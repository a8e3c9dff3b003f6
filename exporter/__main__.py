"""The console script, and ``python -m exporter``."""

import sys

from exporter.held_signals import hold_signals


def main() -> int:
    """Hold signals, then load and run the command line; returns the exit code."""
    hold_signals()
    from exporter import cli  # noqa: PLC0415 - signals are held while this is loaded

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
