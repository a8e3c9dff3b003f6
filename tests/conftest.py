"""What holds for every test."""

from __future__ import annotations

import os

import hypothesis

from support.programs import UNPACKED

# How long an example takes says more about the machine than about the code; pytest ends what hangs.
hypothesis.settings.register_profile(
    "project", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)


def pytest_configure() -> None:
    hypothesis.settings.load_profile("project")
    os.environ["PATH"] += f"{os.pathsep}{UNPACKED / 'usr' / 'bin'}"
