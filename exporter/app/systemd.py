"""Sockets from systemd and notifications to it; there are none if systemd did not start the program.

Source: sd_listen_fds(3) and sd_notify(3). The protocols are a few environment variables and one datagram.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Mapping
from typing import NoReturn

import structlog

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_FIRST_PASSED_DESCRIPTOR = 3


def passed_sockets(environ: Mapping[str, str]) -> tuple[socket.socket, ...]:
    """Return the listening sockets that systemd has passed to this process; the caller closes them.

    Raises:
        OSError: a passed descriptor is not a TCP socket that listens.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()) or not environ.get("LISTEN_FDS", "").isdecimal():
        return ()
    passed: list[socket.socket] = []
    for descriptor in range(_FIRST_PASSED_DESCRIPTOR, _FIRST_PASSED_DESCRIPTOR + int(environ["LISTEN_FDS"])):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - as it is called
        one = socket.socket(fileno=descriptor)
        is_tcp = one.family in {socket.AF_INET, socket.AF_INET6} and one.type == socket.SOCK_STREAM
        if not is_tcp or not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError(f"descriptor {descriptor}, passed by systemd, is not a listening TCP socket")
        one.settimeout(0.0)
        passed.append(one)
    return tuple(passed)


class Notifier:
    """Notifies the service manager, if the environment names its socket, of what the program does."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        is_for_us = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        given = environ.get("WATCHDOG_USEC", "")
        self._is_stopping = False
        self._watchdog_seconds = int(given) / 1_000_000 if given.isdecimal() and is_for_us else 0.0

    def ready(self) -> None:
        """Notify that the program serves and polls, after its start or after a reload."""
        if not self._is_stopping:
            self._send("READY=1")

    def reloading(self) -> None:
        """Notify that a configuration is being applied; call :meth:`ready` when that is done."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Notify that the program is ending."""
        self._is_stopping = True
        self._send("STOPPING=1")

    async def keep_alive(self) -> NoReturn:
        """Notify twice in each watchdog interval; wait forever if there is no watchdog."""
        if not self._address or not self._watchdog_seconds:
            await asyncio.Future()
        while True:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self._watchdog_seconds / 2)

    def _send(self, state: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
                manager.settimeout(0.0)
                manager.sendto(state.encode(), self._address)
        except OSError as exc:
            log.warning("systemd cannot be notified", state=state.partition("\n")[0], error=str(exc))
