"""Sockets on loopback addresses: one port for many."""

import errno
import ipaddress
import resource
import socket
from collections.abc import Iterable

LAST_ADDRESS = "127.255.255.255"
"""The broadcast address of loopback, which nobody can listen on."""
PORT_ATTEMPTS = 20


def address_after(first: str, number: int) -> str:
    """Return the address that follows the first one at this distance.

    Raises:
        OSError: It is no loopback address that one can listen on.
    """
    address = ipaddress.IPv4Address(first) + number
    if not address.is_loopback or str(address) == LAST_ADDRESS:
        raise OSError(
            errno.EADDRNOTAVAIL, f"{address} is no loopback address: clusters are served on 127.0.0.0/8 alone"
        )
    return str(address)


def listening_together(addresses: Iterable[str], port: int) -> list[socket.socket]:
    """A listening socket on every address, all with the same port; 0 finds one that is free on all of them.

    Raises:
        OSError: The port is taken, or none was found.
    """
    wanted = tuple(addresses)
    attempts = 1 if port else PORT_ATTEMPTS
    while True:
        attempts -= 1
        sockets: list[socket.socket] = []
        try:
            for address in wanted:
                chosen = sockets[0].getsockname()[1] if sockets else port
                sockets.append(socket.create_server((address, chosen)))
        except OSError as error:
            for sock in sockets:
                sock.close()
            if error.errno != errno.EADDRINUSE or not attempts:
                raise
        else:
            return sockets


def allow_open_files() -> None:
    """Raise the process's limit of open files as far as it may: a fleet needs several for each cluster."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
