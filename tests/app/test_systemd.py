"""If systemd starts the program, its sockets are served and it is notified."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest

from exporter.app.systemd import Notifier, passed_sockets

WAIT_SECONDS = 60.0
CONFIG = 'clusters: [{address: "127.0.0.1:1", basic_auth: {username: u, password: p}, name: c1}]\n'
ACTIVATED = 'exec env LISTEN_PID=$$ "$@"'
"""What systemd does for a service with a socket: the variable names this process."""


async def start(
    *arguments: str, environ: Mapping[str, str], passed: tuple[socket.socket, ...] = ()
) -> asyncio.subprocess.Process:
    """Start the program as systemd would, with sockets at descriptors 3 and up."""
    moves = " ".join(f"{3 + number}<&{one.fileno()}" for number, one in enumerate(passed))
    return await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        f"{ACTIVATED} {moves}",
        "bash",
        sys.executable,
        "-m",
        "exporter",
        *arguments,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "LISTEN_FDS": str(len(passed)), **environ},
        pass_fds=[one.fileno() for one in passed],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


class Manager:
    """A service manager's end of the notification socket."""

    def __init__(self, directory: Path, *, abstract: bool = False) -> None:
        self.address = f"@ontap-test-{os.getpid()}" if abstract else str(directory / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{self.address[1:]}" if abstract else self.address)
        self._socket.settimeout(0.0)

    async def notification(self) -> str:
        """Return the first line of the next message."""
        async with asyncio.timeout(WAIT_SECONDS):
            message = await asyncio.get_running_loop().sock_recv(self._socket, 4096)
        return message.decode().partition("\n")[0]

    def close(self) -> None:
        self._socket.close()


async def test_the_manager_learns_of_the_start_a_reload_and_the_end(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    manager = Manager(tmp_path)
    process = await start(
        "run",
        f"--config.file={tmp_path / 'config.yaml'}",
        "--web.listen-address=127.0.0.1:0",
        environ={"NOTIFY_SOCKET": manager.address},
    )
    try:
        assert await manager.notification() == "READY=1"
        process.send_signal(signal.SIGHUP)
        assert [await manager.notification(), await manager.notification()] == ["RELOADING=1", "READY=1"]
        process.send_signal(signal.SIGTERM)
        assert await manager.notification() == "STOPPING=1"
        assert await process.wait() == 0
    finally:
        manager.close()
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_watchdog_is_notified_while_the_event_loop_runs(tmp_path: Path) -> None:
    manager = Manager(tmp_path, abstract=True)
    notifier = Notifier({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "20000"})
    feeding = asyncio.create_task(notifier.keep_alive())
    try:
        assert [await manager.notification() for _ in range(3)] == ["WATCHDOG=1"] * 3
    finally:
        feeding.cancel()
        manager.close()


@pytest.mark.parametrize(
    "environ",
    [
        {"WATCHDOG_USEC": "20000"},
        {"NOTIFY_SOCKET": "/nowhere"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"},
    ],
)
async def test_no_watchdog_is_fed_that_is_not_ours(environ: dict[str, str]) -> None:
    feeding = asyncio.create_task(Notifier(environ).keep_alive())
    done, _ = await asyncio.wait({feeding}, timeout=0.05)
    assert not done
    feeding.cancel()


def test_a_manager_that_cannot_be_notified_stops_nothing() -> None:
    Notifier({"NOTIFY_SOCKET": "/nowhere/at/all"}).ready()


async def test_passed_sockets_are_served_instead_of_the_default_address(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    families = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
    passed = tuple(socket.create_server((host, 0), family=family) for family, host in families)
    process = await start("run", f"--config.file={tmp_path / 'config.yaml'}", environ={}, passed=passed)
    try:
        async with aiohttp.ClientSession() as session:
            for one in passed:
                host, port, *_ = one.getsockname()
                url = f"http://{f'[{host}]' if ':' in host else host}:{port}/-/healthy"
                async with asyncio.timeout(WAIT_SECONDS), session.get(url) as response:
                    assert response.status == 200
        process.send_signal(signal.SIGTERM)
        output, _ = await process.communicate()
        assert process.returncode == 0
        listening = [line for line in output.decode().splitlines() if "msg=listening" in line]
        assert len(listening) == 2
        assert ":10910" not in output.decode()
    finally:
        for one in passed:
            one.close()
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_a_passed_descriptor_that_is_no_listening_socket_ends_the_program(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wrong:
        process = await start("run", f"--config.file={tmp_path / 'config.yaml'}", environ={}, passed=(wrong,))
        output, _ = await process.communicate()
    assert process.returncode == 1
    assert "descriptor 3, passed by systemd, is not a listening TCP socket" in output.decode()


def test_sockets_for_another_process_are_left_alone() -> None:
    assert passed_sockets({"LISTEN_PID": "1", "LISTEN_FDS": "3"}) == ()
    assert passed_sockets({}) == ()
