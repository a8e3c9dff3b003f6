"""The address of a cluster, as an operator writes it."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, Literal

from exporter.config.problems import BadValueError
from exporter.ontap.endpoint import Endpoint

_EXAMPLES: Final = "write host, host:port or https://host:port"
_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NUMERIC: Final = re.compile(r"[0-9.]+")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_LONGEST_HOST: Final = 253
_HIGHEST_PORT: Final = 65535


def parse_address(text: str) -> Endpoint:
    """Return the endpoint that ``host[:port]``, ``https://host[:port]`` or ``http://host[:port]`` names.

    Raises:
        ValueError: with what is wrong; never with a user name or password that ``text`` may hold.
    """
    if "@" in text:
        raise ValueError(f"an address holds no user name or password; {_EXAMPLES}, and basic_auth beside it")
    scheme, rest = _split_scheme(text)
    for characters, what in (("/\\", "path"), ("?", "query"), ("#", "fragment")):
        if any(character in rest for character in characters):
            raise BadValueError(f"an address has no {what}: ", text, f"; {_EXAMPLES}")
    if not rest or any(character.isspace() for character in rest):
        what = "white space in the address" if rest else "no host in the address"
        raise BadValueError(f"{what}: ", text, f"; {_EXAMPLES}")
    host, port = _split_port(rest)
    default_port = 443 if scheme == "https" else 80
    return Endpoint(scheme=scheme, host=host, port=default_port if port is None else _parse_port(port))


def parse_host(text: str) -> str:
    """Return a DNS name as it is written, or an IP address in its shortest form, without brackets.

    Raises:
        ValueError: ``text`` is neither.
    """
    if ":" in text and "%" in text:
        raise BadValueError("a zone in an IPv6 address is not supported: ", text)
    try:
        if ":" in text:
            return str(IPv6Address(text))
        if _NUMERIC.fullmatch(text):
            return str(IPv4Address(text))
    except AddressValueError:
        what = "neither a host name nor an IPv6 address" if ":" in text else "not an IPv4 address"
        raise BadValueError(f"{what}: ", text) from None
    name = text.removesuffix(".")
    if len(name) > _LONGEST_HOST or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise BadValueError("not a host name: ", text)
    return text


def _split_scheme(text: str) -> tuple[Literal["https", "http"], str]:
    scheme, separator, rest = text.partition("://")
    if not separator:
        return "https", text
    match scheme.lower():
        case "https":
            return "https", rest
        case "http":
            return "http", rest
        case _:
            raise BadValueError("a scheme other than https and http: ", text, f"; {_EXAMPLES}")


def _split_port(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        inner, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in inner or (rest and not rest.startswith(":")):
            raise BadValueError("not an IPv6 address in brackets: ", text, "; write [fd00::1]:443")
        return parse_host(inner), rest[1:] if rest else None
    if text.count(":") > 1:
        raise BadValueError("an IPv6 address stands in brackets: ", text, "; write [fd00::1]:443")
    host, colon, port = text.partition(":")
    return parse_host(host), port if colon else None


def _parse_port(text: str) -> int:
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= _HIGHEST_PORT:
        raise BadValueError(f"a port is a number from 1 to {_HIGHEST_PORT}: ", text)
    return int(text)
