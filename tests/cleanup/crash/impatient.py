"""The program, which tries a journal that another process holds again after half a second."""

from __future__ import annotations

import sys

from exporter.cleanup import service
from exporter.cli import main

service.REOPEN_SECONDS = 0.5

if __name__ == "__main__":
    sys.exit(main())
