"""Where the servers of other people are found: on this system, or where `make` has unpacked them."""

from __future__ import annotations

from pathlib import Path

UNPACKED = Path(__file__).parents[2] / ".cache" / "debian"
"""The folder of `.ci/unpack-debian-packages`, in the layout of a Debian system."""
