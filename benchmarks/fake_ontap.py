"""A fake server for many clusters, as cheap as possible in Python, because its client is measured.

Usage: ``python -m benchmarks.fake_ontap --directory DIRECTORY [--packages 20]``

One listener takes every address of 127.0.0.0/8, and no other, so each is a cluster of its own. It serves the
three documents that a poll reads, with times of creation that differ between clusters, and nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import socket
import ssl
from pathlib import Path
from typing import cast

import uvloop

from exporter.simulator.wire.simulated_certificates import SERVER_NAME, Authority

_RELEASES = tuple(f"9.{minor}.1{patch}" for minor in range(8, 18) for patch in ("", "P2", "P5", "P8", "P11"))
_RUNNING = "9.14.1P2"
_FIRST_CREATION_SECONDS = 1_700_000_000


def main() -> None:
    """Serve until killed; the first line on standard output is the port."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--directory", type=Path, required=True, help="where the certificates are written")
    parser.add_argument("--packages", type=int, default=20, help="of each cluster")
    arguments = parser.parse_args()
    uvloop.run(_serve(arguments.directory, arguments.packages))


async def _serve(directory: Path, packages: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Authority(directory).issue_server([SERVER_NAME]))
    answers = _Answers(packages)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        listening.bind(("", 0))
        server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(answers), sock=listening, ssl=context, backlog=1024
        )
        print(listening.getsockname()[1], flush=True)
        await server.serve_forever()


class _Answers:
    """All answers, made once for each cluster and page."""

    def __init__(self, packages: int) -> None:
        self._packages = packages
        self._listings: dict[str, bytes] = {}
        self._software = _answer(
            {"version": _RUNNING, "nodes": [{"name": f"node{n}", "version": _RUNNING} for n in (1, 2)]}
        )
        self._download = _answer({"state": "success"})

    def to(self, path: bytes, address: str) -> bytes:
        """Return the whole answer to a request for a path."""
        if path.startswith(b"/api/cluster/software/packages"):
            listing = self._listings.get(address)
            if listing is None:
                listing = self._listings[address] = self._listing(address)
            return listing
        if path.startswith(b"/api/cluster/software/download"):
            return self._download
        if path.startswith(b"/api/cluster/software"):
            return self._software
        full = f"NetApp Release {_RUNNING}: Sun Jan 05 02:11:00 UTC 2025"
        version = {"full": full, "generation": 9, "major": 14, "minor": 1}
        return _answer({"name": f"cluster-{address}", "uuid": f"uuid-{address}", "version": version})

    def _listing(self, address: str) -> bytes:
        number = int(ipaddress.IPv4Address(address))
        records = [
            {
                "version": _RELEASES[index] if index < len(_RELEASES) else f"9.18.1P{index}",
                "create_time": _written(_FIRST_CREATION_SECONDS + number % 86_400 + 604_800 * index),
                "_links": {"self": {"href": f"/api/cluster/software/packages/{index}"}},
            }
            for index in range(self._packages)
        ]
        return _answer({"records": records, "num_records": len(records)})


class _Connection(asyncio.Protocol):
    """One connection, whose requests have no bodies."""

    def __init__(self, answers: _Answers) -> None:
        self._answers = answers
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note to which cluster the client speaks."""
        self._transport = cast("asyncio.Transport", transport)
        self._address: str = transport.get_extra_info("sockname")[0]

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            self._transport.write(self._answers.to(head.split(b" ", 2)[1], self._address))


def _written(timestamp_seconds: int) -> str:
    days, seconds = divmod(timestamp_seconds, 86_400)
    year = 2023 + days // 366 % 3
    return (
        f"{year}-{days % 12 + 1:02}-{days % 28 + 1:02}T{seconds // 3600:02}:{seconds // 60 % 60:02}:00+00:00"
    )


def _answer(document: object) -> bytes:
    body = json.dumps(document, indent=2).encode()
    head = (
        "HTTP/1.1 200 OK\r\nDate: Sun, 05 Jan 2025 02:11:00 GMT\r\nServer: libzapid-httpd\r\n"
        "X-Content-Type-Options: nosniff\r\nCache-Control: no-cache,no-store,must-revalidate\r\n"
        f"Content-Length: {len(body)}\r\nContent-Type: application/json\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    main()
