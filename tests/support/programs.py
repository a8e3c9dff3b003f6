"""Finds the servers of other projects: on this system, or in the folder to which `make` unpacks them."""

from __future__ import annotations

from pathlib import Path

UNPACKED = Path(__file__).parents[2] / ".cache" / "debian"
"""The folder of `.ci/unpack-debian-packages`, in the layout of a Debian system."""
