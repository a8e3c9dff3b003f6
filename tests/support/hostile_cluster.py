"""A server that answers every request over TLS with chosen bytes."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import trustme

from exporter.ontap.cluster_settings import Endpoint, Tls


def answer(body: bytes, *, headers: str = "", status: str = "200 OK") -> bytes:
    """Write an answer with a body whose length is stated."""
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@contextmanager
def hostile_cluster(reply: bytes, directory: Path) -> Iterator[tuple[Endpoint, Tls]]:
    """Serve one reply, whatever is asked for, for as long as the context lasts.

    Threads serve it: their work is not that of the event loop.
    """
    authority = trustme.CA()
    ca_file = directory / "hostile-ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
            connections.append(tls)
            while tls.recv(65536):
                tls.sendall(reply)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

    connections: list[ssl.SSLSocket] = []
    listening = socket.create_server(("127.0.0.1", 0))
    threads = [threading.Thread(target=accept)]
    threads[0].start()
    try:
        yield Endpoint(host="127.0.0.1", port=listening.getsockname()[1]), Tls(ca_file=ca_file)
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for connection in connections:
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
