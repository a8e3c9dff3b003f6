"""Finds the servers of other projects: on this system, or in the folder to which `make` unpacks them."""

from __future__ import annotations

import os
from pathlib import Path

UNPACKED = Path(__file__).parents[2] / ".cache" / "debian"
"""The folder of `.ci/unpack-debian-packages`, in the layout of a Debian system."""

WITHOUT_ROOT_RIGHTS = (
    ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")
    if os.geteuid() == 0
    else ()
)
"""Starts a program without root's right to ignore file permissions; () if the tests do not run as root."""
