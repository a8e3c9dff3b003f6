"""Listening sockets on loopback addresses: one port for many, reserved while a cluster is down."""

import asyncio
import errno
import functools
import ipaddress
import resource
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator

LAST_ADDRESS = ipaddress.IPv4Address("127.255.255.255")
"""The broadcast address of loopback, which nobody can listen on."""
PORT_ATTEMPTS = 20
FILES_PER_ADDRESS = 4
FILES_BESIDES = 256
BACKLOG = 128
HANDSHAKE_SECONDS = 30.0
OUT_OF_FILES_PAUSE_SECONDS = 0.1


def addresses_from(first: str) -> Iterator[str]:
    """The addresses from the first on, as far as they are loopback addresses.

    Raises:
        ValueError: The first is no IPv4 loopback address.
    """
    address = ipaddress.IPv4Address(first)
    if not address.is_loopback:
        raise ValueError(
            f"{first} is no loopback address: simulated clusters are served on 127.0.0.0/8 alone"
        )
    return map(str, map(ipaddress.IPv4Address, range(int(address), int(LAST_ADDRESS))))


def bound(address: str, port: int) -> socket.socket:
    """A socket that has an address but does not listen: who connects is refused.

    Raises:
        OSError: The address is taken.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.settimeout(0)
        sock.bind((address, port))
    except BaseException:
        sock.close()
        raise
    return sock


def bound_together(addresses: Iterable[str], port: int) -> list[socket.socket]:
    """A socket on every address, all with the same port.

    Args:
        addresses: The addresses.
        port: The port; 0 finds one that is free on all of them.

    Raises:
        OSError: The port is taken, or none was found.
    """
    wanted = tuple(addresses)
    for attempt in range(PORT_ATTEMPTS):
        sockets: list[socket.socket] = []
        try:
            for address in wanted:
                chosen = sockets[0].getsockname()[1] if sockets else port
                sockets.append(bound(address, chosen))
                # Listening at once tells whether somebody else listens there too.
                sockets[-1].listen()
        except OSError as error:
            for sock in sockets:
                sock.close()
            last = attempt == PORT_ATTEMPTS - 1
            if error.errno != errno.EADDRINUSE or port or last:
                raise
        else:
            return sockets
    return []


def allow_open_files(addresses: int) -> None:
    """Raise the process's own limit of open files to what so many addresses need, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = FILES_BESIDES + FILES_PER_ADDRESS * addresses
    if soft != resource.RLIM_INFINITY and soft < needed:
        limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))


class Listener:
    """Accepts connections on a socket, until closed; then even a handshake that is under way is dropped.

    Args:
        sock: The socket; closing the listener closes it.
        protocol: Makes the protocol of a connection.
        context: Gives the TLS context of a connection; None for plain HTTP.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        protocol: Callable[[], asyncio.Protocol],
        context: Callable[[], ssl.SSLContext | None],
    ) -> None:
        self._sock = sock
        self._protocol = protocol
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._greetings: set[asyncio.Task[None]] = set()
        # Accepted, but not yet in the hands of a transport, which closes its own.
        self._orphans: set[socket.socket] = set()
        self._pause: asyncio.TimerHandle | None = None
        sock.listen(BACKLOG)
        self._watch()

    async def close(self) -> None:
        """Accept no more."""
        self._loop.remove_reader(self._sock)
        if self._pause is not None:
            self._pause.cancel()
        self._sock.close()
        greetings = tuple(self._greetings)
        for greeting in greetings:
            greeting.cancel()
        await asyncio.gather(*greetings, return_exceptions=True)

    def _watch(self) -> None:
        self._loop.add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        for _ in range(BACKLOG):
            try:
                accepted, peer = self._sock.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self._loop.remove_reader(self._sock)
                    self._pause = self._loop.call_later(OUT_OF_FILES_PAUSE_SECONDS, self._watch)
                return
            accepted.settimeout(0)
            self._orphans.add(accepted)
            greeting = self._loop.create_task(self._greet(accepted), name=f"greet {peer}")
            self._greetings.add(greeting)
            greeting.add_done_callback(functools.partial(self._greeted, accepted))

    async def _greet(self, accepted: socket.socket) -> None:
        context = self._context()
        self._orphans.discard(accepted)
        await self._loop.connect_accepted_socket(
            self._protocol,
            accepted,
            ssl=context,
            ssl_handshake_timeout=None if context is None else HANDSHAKE_SECONDS,
        )

    def _greeted(self, accepted: socket.socket, greeting: asyncio.Task[None]) -> None:
        self._greetings.discard(greeting)
        if accepted in self._orphans:
            self._orphans.discard(accepted)
            accepted.close()
        # A client that goes away or does not like the certificate is no fault of ours; a bug is.
        if not greeting.cancelled() and not isinstance(greeting.exception(), OSError):
            greeting.result()
