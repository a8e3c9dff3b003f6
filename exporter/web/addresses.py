"""Addresses: where to listen, as Prometheus writes it (``[host]:port``), and what counts as one client."""

from __future__ import annotations

import re
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any

_ADDRESS = re.compile(r"(?:\[(?P<bracketed>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\[\]:\s/]*)):(?P<port>\d{1,5})")
_HIGHEST_PORT = 65535
BACKLOG = 128
_CLIENT_BITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenAddress:
    """Where to listen: an empty host is every address, IPv4 and IPv6; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return the address in the form of the flag."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen_address(text: str) -> ListenAddress:
    """Read ``:10910``, ``127.0.0.1:10910``, ``localhost:0`` or ``[::1]:10910``.

    Raises:
        ValueError: the text is not of this form.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > _HIGHEST_PORT:
        raise ValueError(f"not a listen address: {text!r}; write [host]:port, e.g. :10910 or [::1]:10910")
    return ListenAddress(host=match["bracketed"] or match["host"] or "", port=int(match["port"]))


def open_sockets(address: ListenAddress) -> tuple[socket.socket, ...]:
    """Bind an address; a name is bound at every address that it has.

    Raises:
        OSError: the address cannot be bound or the name is not known.
    """
    if not address.host:
        dual = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual else socket.AF_INET
        return (_bound(("", address.port), family, dualstack=dual),)
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except UnicodeError as exc:
        raise OSError(f"not a host name: {address.host!r}") from exc
    # The end of an IPv6 address says which interface a link-local one belongs to.
    unique = dict.fromkeys((family, name[0], name[2:]) for family, _, _, _, name in found)
    sockets: list[socket.socket] = []
    port = address.port
    with ExitStack() as opened:
        for family, host, rest in unique:
            sockets.append(opened.enter_context(_bound((host, port, *rest), family, dualstack=False)))
            port = sockets[0].getsockname()[1]
        opened.pop_all()
    return tuple(sockets)


def client_of(peer: object) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 network of an IPv6 address.

    ``peer`` is an address or a tuple that begins with it; peers without an address, as on a Unix socket,
    count as one client.
    """
    address = peer[0] if isinstance(peer, tuple) else peer
    try:
        parsed = ip_address(str(address).partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(IPv6Network((parsed, _CLIENT_BITS), strict=False))
    return str(parsed)


def _bound(name: tuple[Any, ...], family: socket.AddressFamily, *, dualstack: bool) -> socket.socket:
    return socket.create_server(name, family=family, backlog=BACKLOG, dualstack_ipv6=dualstack)
