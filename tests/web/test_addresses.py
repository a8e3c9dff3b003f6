"""Addresses to listen on are read as Prometheus writes them, and bound as they say."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

import pytest

from exporter.web.addresses import ListenAddress, client_of, open_sockets, parse_listen_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (":10910", "", 10910),
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("localhost:65535", "localhost", 65535),
        ("[::1]:10910", "::1", 10910),
        ("[fe80::1%eth0]:80", "fe80::1%eth0", 80),
    ],
)
def test_an_address_is_read_and_written(text: str, host: str, port: int) -> None:
    address = parse_listen_address(text)
    assert address == ListenAddress(host=host, port=port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    ["", "10910", "::1:10910", "localhost", "localhost:", ":65536", ":-1", "[::1]", "a b:1", "http://a:1"],
)
def test_a_text_that_is_no_listen_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a listen address"):
        parse_listen_address(text)


def test_an_empty_host_takes_both_families_on_one_port() -> None:
    with ExitStack() as stack:
        (bound,) = open_sockets(ListenAddress(host="", port=0))
        port = stack.enter_context(bound).getsockname()[1]
        stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        if socket.has_dualstack_ipv6():
            stack.enter_context(socket.create_connection(("::1", port), timeout=5))


def test_a_taken_port_is_an_error_and_leaves_nothing_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            open_sockets(ListenAddress(host="127.0.0.1", port=port))


def test_the_interface_of_a_link_local_address_is_used() -> None:
    with pytest.raises(OSError, match=r".") as failed:
        open_sockets(ListenAddress(host="fe80::1%lo", port=0))
    assert failed.value.errno == errno.EADDRNOTAVAIL  # without the interface, the kernel calls it invalid


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(OSError, match=r"."):
        open_sockets(ListenAddress(host="no..such.invalid", port=0))


@pytest.mark.parametrize(
    ("address", "client"),
    [
        (("192.0.2.7", 40000), "192.0.2.7"),
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        (None, ""),
        ("somewhere", ""),
    ],
)
def test_a_client_is_an_address_or_the_network_of_one(address: object, client: str) -> None:
    assert client_of(address) == client
