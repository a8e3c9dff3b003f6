"""Wheel and sdist: the same files build the same archives, and what is installed runs by itself."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import exporter
from support.kubernetes import ROOT

NAME = "ontap_packages_exporter"
VERSION = exporter.__version__
SDIST = f"{NAME}-{VERSION}.tar.gz"
WHEEL = f"{NAME}-{VERSION}-py3-none-any.whl"
EPOCH = "1700000000"


def build(source: Path, directory: Path) -> None:
    """Build wheel and sdist with what is installed here."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", directory],
        cwd=source,
        env={**environ, "SOURCE_DATE_EPOCH": EPOCH},
        check=True,
        capture_output=True,
    )


def checkout(directory: Path) -> Path:
    """Copy what git has of this checkout, or all of it where there is no git."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        names = [name for name in listed.stdout.split("\0") if name and os.path.lexists(ROOT / name)]
        for name in names:
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, directory / name, follow_symlinks=False)
    else:
        shutil.copytree(ROOT, directory, symlinks=True, dirs_exist_ok=True)
    return directory


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def built(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("built")
    build(source, directory)
    return directory


@pytest.fixture(scope="module")
def unpacked(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("unpacked")
    shutil.unpack_archive(built / SDIST, directory)
    return directory / SDIST.removesuffix(".tar.gz")


def digests(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}


def test_the_archives_have_the_program_s_version(built: Path) -> None:
    assert {path.name for path in built.iterdir()} == {SDIST, WHEEL}


def test_two_builds_at_other_places_and_times_give_the_same_bytes(
    source: Path, built: Path, tmp_path: Path
) -> None:
    other = tmp_path / "another-place"
    shutil.copytree(source, other, symlinks=True)
    for path in other.rglob("*.py"):
        os.utime(path, (1, 1))
        path.chmod(0o600)
    build(other, tmp_path / "again")
    assert digests(tmp_path / "again") == digests(built)


def test_the_sdist_builds_the_same_wheel(unpacked: Path, built: Path, tmp_path: Path) -> None:
    build(unpacked, tmp_path)
    assert digests(tmp_path)[WHEEL] == digests(built)[WHEEL]


def files(directory: Path) -> set[str]:
    """Return the names of all files, those behind links to folders too."""
    return {
        str((Path(folder) / name).relative_to(directory))
        for folder, _, names in os.walk(directory, followlinks=True)
        for name in names
    }


def test_the_sdist_holds_every_file_of_the_checkout(source: Path, unpacked: Path) -> None:
    """Behind the chart's links too: both the link's files and those that it leads to are there."""
    built_from = {name for name in files(source) if not name.startswith("docs/images/")}
    assert files(unpacked) == built_from | {"PKG-INFO"}


@pytest.mark.release
def test_the_tests_of_the_sdist_can_be_collected(unpacked: Path) -> None:
    collected = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"],
        cwd=unpacked,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert collected.returncode == 0, collected.stdout[-2000:]


def test_the_wheel_holds_every_file_of_the_program_its_man_page_and_completions(
    source: Path, built: Path
) -> None:
    with zipfile.ZipFile(built / WHEEL) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"{NAME}-{VERSION}.dist-info/METADATA").decode()
    program = {str(path.relative_to(source)) for path in (source / "exporter").rglob("*") if path.is_file()}
    shared = {name.partition(".data/data/")[2] for name in names if ".data/data/" in name}
    assert {name for name in names if name.startswith("exporter/")} == program
    assert shared == {
        "share/bash-completion/completions/ontap-packages-exporter",
        "share/man/man1/ontap-packages-exporter.1",
        "share/zsh/site-functions/_ontap-packages-exporter",
    }
    installed = (source / "docs" / "install.md").read_text()
    assert all(f"/opt/ontap-packages-exporter/{Path(name).parent}/" in installed for name in shared)
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.11" in metadata


async def demo_of(python: Path | str, directory: Path, **environ: str) -> None:
    """Run the demo of what is installed for a Python until it serves metrics, and stop it."""
    process = await asyncio.create_subprocess_exec(
        python,
        "-m",
        "exporter",
        "demo",
        "--web.listen-address=127.0.0.1:0",
        cwd=directory,
        env={**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, **environ},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    log = ""
    try:
        async with asyncio.timeout(120):
            async for line in process.stderr:
                log += line.decode()
                if re.search(r"msg=listening address=(\S+)", log):
                    break
            process.terminate()
            log += (await process.stderr.read()).decode()
            assert await process.wait() == 0, log
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert "msg=listening" in log, log
    assert "Traceback" not in log


async def test_the_demo_runs_from_the_wheel_alone(built: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(built / WHEEL) as archive:
        archive.extractall(tmp_path)
    await demo_of(sys.executable, tmp_path, PYTHONPATH=str(tmp_path))


def pythons() -> Iterator[str]:
    """Yield every Python that is supported and found here, by its version."""
    for minor in range(11, 15):
        found = shutil.which(f"python3.{minor}")
        folders = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3"))
        if found or folders:
            yield str(folders[-1] if folders else found)


@pytest.mark.release
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("archive", [WHEEL, SDIST])
@pytest.mark.parametrize("python", list(pythons()))
async def test_what_is_installed_in_a_clean_environment_runs_the_demo(
    python: str, archive: str, built: Path, tmp_path: Path
) -> None:
    venv = tmp_path / "venv"
    own = venv / "bin" / "python"
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*command: str | Path) -> None:
        done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    run(python, "-m", "venv", venv)
    pip = (own, "-m", "pip", "install", "--quiet")
    run(
        *pip,
        "--require-hashes",
        "-r",
        ROOT / "requirements" / "demo.txt",
        "-r",
        ROOT / "requirements" / "build.txt",
    )
    run(*pip, "--no-deps", "--no-build-isolation", built / archive)
    run(venv / "bin" / "ontap-packages-exporter", "--version")
    assert (venv / "share" / "man" / "man1" / "ontap-packages-exporter.1").exists()
    await demo_of(own, tmp_path)


@pytest.mark.release
def test_the_bill_of_materials_lists_what_the_image_installs(source: Path) -> None:
    binaries = Path(sys.executable).parent
    ready = ("VENV=ready", f"BIN={binaries}")
    subprocess.run(["make", *ready, "--old-file=ready/.release", "sbom"], cwd=source, check=True)
    bill = json.loads((source / "dist" / "sbom.json").read_text())
    assert (bill["bomFormat"], bill["metadata"]["component"]["version"]) == ("CycloneDX", VERSION)
    pinned = re.findall(r"^([\w.-]+)(?:\[.*])?==", (ROOT / "requirements/demo.txt").read_text(), re.MULTILINE)
    assert sorted(component["name"] for component in bill["components"]) == sorted(pinned)
    assert all(component["purl"].startswith("pkg:pypi/") for component in bill["components"])


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(("git", "epoch"), [("exit 128", "none"), (f"echo {EPOCH}", EPOCH)])
def test_a_release_has_the_time_of_its_commit_and_needs_no_git(
    source: Path, git: str, epoch: str, tmp_path: Path
) -> None:
    record = tmp_path / "record"
    python = f'echo "$2" "${{SOURCE_DATE_EPOCH-none}}" >>{record}'
    for name, script in (("git", git), ("python", python)):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    ready = ("VENV=ready", f"BIN={tmp_path}", "--old-file=ready/.release")
    environ = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["make", *ready, "release"], cwd=source, env=environ, check=True)
    assert f"build {epoch}" in record.read_text().splitlines()


def test_the_pages_name_the_version_that_there_is(source: Path) -> None:
    """Names of files and images in commands, which readers copy."""
    named = r"ontap[-_]packages[-_]exporter[-: ](\d+\.\d+\.\d+)"
    pages = [page.read_text() for page in (source / "docs").glob("*.md")]
    versions = [version for page in pages for version in re.findall(named, page)]
    assert versions
    assert set(versions) == {VERSION}


@pytest.mark.release
@pytest.mark.timeout(600)
def test_python_m_build_in_the_sdist_gives_the_same_archives(
    unpacked: Path, built: Path, tmp_path: Path
) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path],
        cwd=unpacked,
        env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH},
        check=True,
        capture_output=True,
    )
    assert digests(tmp_path)[WHEEL] == digests(built)[WHEEL]
