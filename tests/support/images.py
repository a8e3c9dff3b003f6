"""Builds and runs the container image with buildah and podman, on a base made of Debian's packages.

No registry of images is asked: the base is bootstrapped from Debian, and pip installs from a folder.
Everything is stored below one folder, in the storage driver ``vfs``, which needs no kernel module.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.kubernetes import ROOT

BASE = "localhost/debian-python"
IMAGE = "localhost/ontap-packages-exporter"
PROGRAMS = ("buildah", "podman", "runc", "debootstrap")
# The release of Debian whose Python is that of the image's own base.
_SUITE = "trixie"
_PYTHON = "3.13"
_CACHED = ROOT / ".cache" / f"debian-{_SUITE}-python.tar"
_PACKAGES = "python3,python3-venv,python-is-python3,ca-certificates"

needs_containers = pytest.mark.skipif(
    os.geteuid() != 0 or any(shutil.which(program) is None for program in PROGRAMS),
    reason=f"needs root, and: apt-get install --no-install-recommends {' '.join(PROGRAMS)}",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """The store of images and containers, in a folder."""

    directory: Path

    def buildah(self, *arguments: str | Path) -> str:
        """Run buildah and return its output."""
        return _run("buildah", *self._store, *arguments)

    def podman(self, *arguments: str | Path) -> str:
        """Run podman and return its output."""
        return _run("podman", *self._store, "--cgroup-manager=cgroupfs", "--runtime=runc", *arguments)

    @property
    def _store(self) -> tuple[str, ...]:
        return (
            f"--root={self.directory / 'store'}",
            f"--runroot={self.directory / 'run'}",
            "--storage-driver=vfs",
        )

    def build(self) -> None:
        """Build the image of this checkout."""
        self._build_base()
        wheels = self.directory / "wheels"
        pinned = ("-r", ROOT / "requirements" / "demo.txt", "-r", ROOT / "requirements" / "build.txt")
        only = ("--only-binary=:all:", f"--python-version={_PYTHON}")
        _run(sys.executable, "-m", "pip", "download", "--quiet", *only, "--dest", wheels, *pinned)
        config = self.directory / "pip.conf"
        config.write_text("[global]\nno-index = true\nfind-links = /wheels\n")
        self.buildah(
            "build",
            "--isolation=chroot",
            "--network=host",
            "--format=docker",  # which has health checks
            f"--build-arg=PYTHON_IMAGE={BASE}",
            "--build-arg=REVISION=0123abc",
            "--build-arg=VERSION=1.2.3",
            "--build-arg=CREATED=2026-01-01T00:00:00Z",
            f"--volume={wheels}:/wheels:ro",
            f"--volume={config}:/etc/pip.conf:ro",
            f"--tag={IMAGE}",
            ROOT,
        )

    def inspect(self, image: str) -> dict[str, Any]:
        """Return what an image says of itself."""
        (described,) = json.loads(self.podman("image", "inspect", image))
        return dict(described)

    def _build_base(self) -> None:
        if not _CACHED.exists():
            _CACHED.parent.mkdir(exist_ok=True)
            sources = _run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
            rootfs = self.directory / "rootfs"
            _run(
                "debootstrap",
                "--variant=minbase",
                f"--include={_PACKAGES}",
                _SUITE,
                rootfs,
                sources.split()[0],
            )
            for rest in (*rootfs.glob("var/cache/apt/*"), *rootfs.glob("var/lib/apt/lists/*")):
                shutil.rmtree(rest) if rest.is_dir() else rest.unlink()
            _run("tar", "--create", "--file", _CACHED, "--directory", rootfs, ".")
        container = self.buildah("from", "scratch").strip()
        self.buildah("add", container, _CACHED, "/")
        self.buildah("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", container)
        self.buildah("commit", "--rm", container, BASE)


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout
