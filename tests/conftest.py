"""What holds for every test."""

from __future__ import annotations

import os
import signal

import hypothesis
import pytest
from hypothesis.database import DirectoryBasedExampleDatabase

from support.programs import UNPACKED

# How long an example takes says more about the machine than about the code; pytest ends what hangs.
# The suite tries the same examples each time; `make fuzz` looks for new ones.
hypothesis.settings.register_profile(
    "project", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile(
    "fuzz",
    parent=hypothesis.settings.get_profile("project"),
    derandomize=False,
    database=DirectoryBasedExampleDatabase(".hypothesis/examples"),
    max_examples=5_000,
)


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--hypothesis-profile"):
        hypothesis.settings.load_profile("project")
    os.environ["PATH"] += f"{os.pathsep}{UNPACKED / 'usr' / 'bin'}"
    # Behind nohup, or in the background, they are ignored, and so they would be in each program under test.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
