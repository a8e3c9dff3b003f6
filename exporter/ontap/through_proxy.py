"""How requests go through a proxy: in a tunnel, with what is meant for the proxy sent to it alone."""

from __future__ import annotations

from typing import TypedDict

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from exporter.ontap.endpoint import Proxy
from exporter.ontap.redaction import secrets_in


class ProxyArguments(TypedDict, total=False):
    """Arguments of a request of aiohttp."""

    proxy: URL
    proxy_headers: CIMultiDict[str]


def proxy_arguments(proxy: Proxy | None) -> ProxyArguments:
    """Return what sends a request through a proxy.

    The request must be for ``https://``: aiohttp then sends only ``CONNECT`` with these headers to the proxy.
    A request for ``http://`` would be read by the proxy.
    """
    if proxy is None:
        return {}
    headers = CIMultiDict((header.name, header.value.read()) for header in proxy.headers)
    if (login := proxy.login) is not None:
        headers["Proxy-Authorization"] = aiohttp.encode_basic_auth(login.username, login.password.read())
    return {"proxy": URL(proxy.url), "proxy_headers": headers}


def proxy_secrets(proxy: Proxy | None) -> tuple[str, ...]:
    """Return what a message must not show: the proxy may echo it."""
    if proxy is None:
        return ()
    headers = proxy_arguments(proxy)["proxy_headers"]
    password = "" if proxy.login is None else proxy.login.password.read()
    return tuple(secret for value in headers.values() for secret in secrets_in(value, password))
