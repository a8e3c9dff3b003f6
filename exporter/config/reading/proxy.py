"""Reads the URL of a proxy, and decides for which addresses it is used.

Sources: https://prometheus.io/docs/prometheus/latest/configuration/configuration/ (``proxy_url``), and Go's
``golang.org/x/net/http/httpproxy``, which Prometheus uses for ``no_proxy`` and ``proxy_from_environment``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import unquote

from exporter.config.reading.values import parse_address
from exporter.ontap.cluster_settings import (
    BasicLogin,
    Endpoint,
    Proxy,
    Secret,
    check_password,
    check_username,
)

_SCHEME: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_FORM: Final = "write http://host:port or http://user:password@host:port"
_NETWORK: Final = re.compile(r"[^/]+/[0-9]{1,3}")
_OF_ENVIRONMENT: Final = {
    "https": ("HTTPS_PROXY", "https_proxy"),
    "http": ("HTTP_PROXY", "http_proxy"),
}
_EXCEPTIONS: Final = ("NO_PROXY", "no_proxy")


def parse_proxy_url(text: str) -> Proxy:
    """Return the proxy of ``http://[user:password@]host[:port]``.

    Raises:
        ValueError: it names none; the message holds nothing of ``text``, where a password may be.
    """
    match = _SCHEME.fullmatch(text)
    if match is None or match["scheme"].lower() != "http":
        scheme = "" if match is None else f"a proxy with {match['scheme'].lower()}:// is not supported; "
        raise ValueError(f"{scheme}{_FORM}")
    login, at, host = match["rest"].rpartition("@")
    try:
        endpoint = parse_address(f"http://{host.removesuffix('/')}")
    except ValueError:
        raise ValueError(f"not the URL of a proxy; {_FORM}, with %40 for @ and so on in a password") from None
    return Proxy(host=endpoint.host, port=endpoint.port, login=_login(login) if at else None)


def _login(text: str) -> BasicLogin:
    username, _, password = text.partition(":")
    checked = check_password(unquote(password)) if password else ""  # a token may be the user name alone
    return BasicLogin(username=check_username(unquote(username)), password=Secret(value=checked))


def secret_in_url(written: str) -> str:
    """Return the password in a URL as it stands in a file, or what stands there as the user name alone."""
    login = written.rpartition("@")[0].rpartition("//")[2]
    return login.partition(":")[2] or login


def proxy_of_environment(environ: Mapping[str, str], endpoint: Endpoint) -> Proxy | None:
    """Return the proxy that ``HTTPS_PROXY``, for http:// ``HTTP_PROXY``, names if ``endpoint`` needs it.

    Raises:
        ValueError: it names none; the message holds nothing of its value.
    """
    names = _OF_ENVIRONMENT[endpoint.scheme]
    name = next((name for name in names if environ.get(name)), None)
    exceptions = next((environ[name] for name in _EXCEPTIONS if environ.get(name)), "")
    if name is None or is_excepted(endpoint, exceptions):
        return None
    url = environ[name]
    try:
        return parse_proxy_url(url if "://" in url else f"http://{url}")
    except ValueError as error:
        raise ValueError(f"the environment variable {name}: {error}") from None


def is_excepted(endpoint: Endpoint, exceptions: str) -> bool:
    """Say whether ``endpoint`` is reached without a proxy; a loopback address always is.

    ``exceptions`` are names (with all names below), addresses and networks, separated by commas, maybe with
    ports; ``.name`` means only the names below, ``*`` everything.
    """
    host = endpoint.canonical_host
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(
        _matches(one, host, address, endpoint.port) for one in exceptions.lower().split(",") if one.strip()
    )


def _matches(exception: str, host: str, address: IPv4Address | IPv6Address | None, port: int) -> bool:
    written = exception.strip()
    if written == "*":
        return True
    if "/" in written:
        try:
            is_network = _NETWORK.fullmatch(written) is not None  # no netmask, which Python would read too
            return is_network and address is not None and address in ip_network(written, strict=False)
        except ValueError:
            return False
    name, its_port = written, ""
    if _address(written) is None:
        name, _, its_port = written.rpartition(":") if ":" in written else (written, "", "")
        name = name.strip("[]")
    if its_port and its_port != str(port):
        return False
    if (excepted := _address(name)) is not None:
        return address == excepted
    name = name.removeprefix("*") if name.startswith("*.") else name
    return host.endswith(name) if name.startswith(".") else host == name or host.endswith(f".{name}")


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
