"""``python -m ontap_dashboards`` writes all dashboards."""

from __future__ import annotations

import sys

from ontap_dashboards.catalogue import DIRECTORY, files


def main() -> int:
    """Write every file, and remove the files of dashboards that no longer exist."""
    written = files()
    DIRECTORY.mkdir(exist_ok=True)
    for stale in DIRECTORY.glob("*.json"):
        if stale.name not in written:
            stale.unlink()
    for name, text in written.items():
        (DIRECTORY / name).write_text(text, encoding="utf-8")
    return 0


sys.exit(main())
