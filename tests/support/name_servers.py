"""Looks a name up in a network of its own, where name servers may listen on port 53 and /etc may be changed.

Run by ``unshare``; see :mod:`ontap.test_name_lookup`.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

from exporter.ontap.session import SystemResolver

NAME = "cluster.example"
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_HOUR = b"\0\0\x0e\x10"
_FOUND, _NO_SUCH_NAME = b"\x81\x80", b"\x81\x83"
_TYPE_A = b"\0\1"


class NameServer:
    """A DNS server whose answers may be kept for an hour; every name has one address, or does not exist."""

    def __init__(self, host: str, address: str | None) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(512)
            question = query[12 : query.index(b"\0", 12) + 5]
            answers = [self.address] if self.address and question[-4:-2] == _TYPE_A else []
            records = b"".join(
                b"\xc0\x0c" + _TYPE_A + b"\0\1" + _HOUR + b"\0\4" + socket.inet_aton(one) for one in answers
            )
            flags = _FOUND if self.address else _NO_SUCH_NAME
            counts = struct.pack(">4H", 1, len(answers), 0, 0)
            self._socket.sendto(query[:2] + flags + counts + question + records, client)


def main() -> None:
    """Write what a name has been resolved to, after each change."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _IFF_UP))
    subprocess.run(["mount", "-t", "tmpfs", "none", "/etc"], check=True)
    Path("/etc/nsswitch.conf").write_text("hosts: files dns\n")
    _use("127.0.0.1")
    found = asyncio.run(_look_up(NameServer("127.0.0.1", None), NameServer("127.0.0.2", "192.0.2.3")))
    sys.stdout.write("\n".join(found))


async def _look_up(first: NameServer, _: NameServer) -> list[str]:
    resolver = SystemResolver()
    found = [await _found(resolver)]
    first.address = "192.0.2.1"
    found += [await _found(resolver)]
    first.address = "192.0.2.2"
    found += [await _found(resolver)]
    _use("127.0.0.2")
    return [*found, await _found(resolver)]


async def _found(resolver: SystemResolver) -> str:
    try:
        return ", ".join(found["host"] for found in await resolver.resolve(NAME, 443, socket.AF_UNSPEC))
    except OSError as exc:
        return exc.strerror or str(exc)


def _use(name_server: str) -> None:
    """Replace resolv.conf, as a DHCP client does."""
    written = Path("/etc/resolv.conf.new")
    written.write_text(f"nameserver {name_server}\noptions timeout:1\n")
    written.rename("/etc/resolv.conf")
