"""The headers for a proxy, which no cluster gets, and the secrets in them."""

from __future__ import annotations

import aiohttp
from multidict import CIMultiDict

from exporter.ontap.cluster_settings import Proxy
from exporter.ontap.redaction import secrets_in


def proxy_headers(proxy: Proxy | None) -> CIMultiDict[str]:
    """Return the headers that aiohttp sends with ``CONNECT``.

    The request must be for ``https://``: one for ``http://`` would be read by the proxy.
    """
    headers = CIMultiDict[str]()
    if proxy is not None:
        headers.extend((header.name, header.value.read()) for header in proxy.headers)
        if (login := proxy.login) is not None:
            headers["Proxy-Authorization"] = aiohttp.encode_basic_auth(login.username, login.password.read())
    return headers


def proxy_secrets(proxy: Proxy | None) -> tuple[str, ...]:
    """Return what a message must not show: the proxy may echo it."""
    password = "" if proxy is None or proxy.login is None else proxy.login.password.read()
    return tuple(secret for value in proxy_headers(proxy).values() for secret in secrets_in(value, password))
