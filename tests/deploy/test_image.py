"""The container image, built anew and run: who it runs as, what it may write, how it stops, its health."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from exporter.simulator import SimulatedCluster, Simulator
from exporter.simulator.exporter_configuration import exporter_config
from support.images import BASE, IMAGE, Images, needs_containers
from support.waiting import eventually

pytestmark = [pytest.mark.image, pytest.mark.timeout(1800), needs_containers]

START_SECONDS = 60.0
STOP_SECONDS = 1.0
MEBIBYTE = 1024 * 1024
LARGEST_MEBIBYTES = 130
"""What the image may add to its base."""
CLEANUP = """\
cleanup:
  state: sqlite:////var/lib/ontap-packages-exporter/state.db
  policies: [{name: retire-old, every: 1h, keep_newest: 2}]
"""
LEAST_PRIVILEGE = (
    "--read-only",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--network=host",
    # A sandbox may not raise the limits that podman would set.
    "--ulimit=nofile=1024:1024",
    "--ulimit=nproc=4096:4096",
)


@pytest.fixture(scope="module")
def images() -> Iterator[Images]:
    # Not a folder that pytest keeps: a container has mounts there.
    with tempfile.TemporaryDirectory(prefix="images-", ignore_cleanup_errors=True) as directory:
        images = Images(directory=Path(directory))
        try:
            images.build()
            yield images
        finally:
            images.podman("rm", "--all", "--force")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


class Container:
    """A running container of the image."""

    def __init__(self, images: Images, name: str, port: int) -> None:
        self.images = images
        self.name = name
        self.url = f"http://127.0.0.1:{port}"

    def run(self, *command: str) -> str:
        """Run a command in it and return its output."""
        return self.images.podman("exec", self.name, *command).strip()

    async def status(self, path: str) -> int:
        """Return the status of a page; 0 if it does not answer."""
        try:
            async with aiohttp.ClientSession() as session, session.get(self.url + path) as response:
                return response.status
        except aiohttp.ClientConnectionError:
            return 0

    async def until_ready(self) -> None:
        """Wait until every cluster has been polled."""

        async def ready() -> bool:
            return await self.status("/-/ready") == 200

        await eventually(ready, seconds=START_SECONDS, what=self.images.podman("logs", self.name))

    async def stop(self) -> tuple[float, int]:
        """Send SIGTERM; return the seconds until its process has ended, and its exit code."""
        pid = int(self.images.podman("inspect", "--format={{.State.Pid}}", self.name))
        process = Path(f"/proc/{pid}")

        async def ended() -> bool:
            return not process.exists()

        began = time.monotonic()
        os.kill(pid, signal.SIGTERM)
        await eventually(ended, seconds=START_SECONDS, what="the container to end")
        seconds = time.monotonic() - began
        return seconds, int(self.images.podman("wait", self.name))


@asynccontextmanager
async def container(images: Images, *command: str, volumes: tuple[str, ...] = ()) -> AsyncIterator[Container]:
    """Run a container that listens on a port of its own, which is not the default."""
    port = free_port()
    flags = (*LEAST_PRIVILEGE, "--tmpfs=/tmp", *(f"--volume={volume}" for volume in volumes))
    listen = f"--web.listen-address=127.0.0.1:{port}"
    name = await asyncio.to_thread(images.podman, "run", "--detach", *flags, IMAGE, *command, listen)
    try:
        yield Container(images, name.strip(), port)
    finally:
        await asyncio.to_thread(images.podman, "rm", "--force", name.strip())


def test_the_image_says_what_it_is_and_runs_as_nobody(images: Images) -> None:
    image = images.inspect(IMAGE)
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in image["Labels"].items()}
    assert labels["title"] == "ontap-packages-exporter"
    assert labels["licenses"] == "Apache-2.0"
    assert (labels["revision"], labels["version"]) == ("0123abc", "1.2.3")
    assert labels["created"] == "2026-01-01T00:00:00Z"
    assert labels["base.name"] == BASE
    config: dict[str, Any] = image["Config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["ontap-packages-exporter"]
    assert image["Healthcheck"]["Test"] == ["CMD", "ontap-packages-exporter", "health"]
    assert config["ExposedPorts"] == {"10910/tcp": {}}


def test_the_image_is_small(images: Images) -> None:
    size = (images.inspect(IMAGE)["Size"] - images.inspect(BASE)["Size"]) / MEBIBYTE
    print(f"\nthe image adds {size:.0f} MiB to its base")  # noqa: T201 - docs tell it
    assert size < LARGEST_MEBIBYTES


async def test_the_demo_works_without_privileges(images: Images) -> None:
    async with container(images, "demo") as running:
        await running.until_ready()
        assert running.run("id", "-u") == "65532"
        with pytest.raises(AssertionError, match="Read-only file system"):
            running.run("touch", "/opt/exporter/x")
        status = running.run("cat", "/proc/1/status")
        assert "CapEff:\t0000000000000000" in status
        assert "NoNewPrivs:\t1" in status
        running.run("test", "-s", "/opt/exporter/share/man/man1/ontap-packages-exporter.1")
        # The health check as podman runs it, at an address that is not the default.
        images.podman("healthcheck", "run", running.name)


async def test_it_stops_in_order_within_a_second(images: Images) -> None:
    fastest = START_SECONDS
    # The best of three: a busy machine may take longer once.
    for _ in range(3):
        async with container(images, "demo") as running:
            await running.until_ready()
            seconds, code = await running.stop()
            assert code == 0
            fastest = min(fastest, seconds)
        if fastest < STOP_SECONDS:
            break
    assert fastest < STOP_SECONDS


async def test_a_mounted_configuration_is_polled_and_a_hung_daemon_is_unhealthy(
    images: Images, tmp_path: Path
) -> None:
    clusters = [SimulatedCluster("c1", packages=["9.14.1"])]
    async with Simulator(clusters, directory=tmp_path) as simulator:
        folder = tmp_path / "etc"
        folder.mkdir(mode=0o755)
        text = exporter_config(simulator, extra=CLEANUP)
        (folder / "config.yaml").write_text(text.replace(str(simulator.ca_file.resolve()), "ca.pem"))
        (folder / "ca.pem").write_bytes(simulator.ca_file.read_bytes())
        volumes = (f"{folder}:/etc/ontap-packages-exporter:ro", "journal:/var/lib/ontap-packages-exporter")
        command = ("run", "--config.file=/etc/ontap-packages-exporter/config.yaml")
        async with container(images, *command, volumes=volumes) as running:
            await running.until_ready()
            # A new volume belongs to the exporter, so the journal can be made in it.
            running.run("test", "-s", "/var/lib/ontap-packages-exporter/state.db")
            images.podman("healthcheck", "run", running.name)
            images.podman("kill", "--signal=STOP", running.name)
            with pytest.raises(AssertionError, match=r"unhealthy|timeout"):
                await asyncio.to_thread(images.podman, "healthcheck", "run", running.name)
            images.podman("kill", "--signal=CONT", running.name)


def test_without_a_configuration_the_container_ends_with_2_and_says_why(images: Images) -> None:
    with pytest.raises(AssertionError, match="cannot be read"):
        images.podman("run", "--rm", *LEAST_PRIVILEGE, IMAGE)
