"""What an image says of itself, read from the Dockerfile; `make image-test` builds it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from datetime import datetime

import pytest

import exporter
from support.kubernetes import ROOT

TEXT = (ROOT / "Dockerfile").read_text()
PREFIX = "org.opencontainers.image."


def default_labels() -> dict[str, str]:
    """Return the labels of an image that is built without arguments."""
    arguments = dict(re.findall(r"^ARG (\w+)=(.*)$", TEXT, re.MULTILINE))
    labels = re.findall(rf'{re.escape(PREFIX)}([\w.]+)="(.*?)"', TEXT)
    return {name: re.sub(r"\$\{(\w+)\}", lambda used: arguments[used[1]], text) for name, text in labels}


def test_without_arguments_the_labels_are_still_true() -> None:
    labels = default_labels()
    assert labels["version"] == exporter.__version__
    assert labels["base.name"].startswith("python:")
    assert datetime.fromisoformat(labels["created"]).tzinfo is not None


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_image_says_when_the_image_was_created() -> None:
    command = ["make", "--dry-run", "image"]
    environ = {"PATH": os.environ["PATH"]}
    shown = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=environ).stdout
    assert "--build-arg CREATED=$(date -u +%Y-%m-%dT%H:%M:%SZ)" in shown
