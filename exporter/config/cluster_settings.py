"""Makes the client's settings for one cluster from its merged layers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from math import ceil
from typing import Final

from exporter.config.reading.proxy import is_excepted, proxy_of_environment
from exporter.config.reading.values import LONGEST_DURATION, parse_address
from exporter.config.schema import (
    ClusterEntry,
    HttpHeader,
    OAuth2,
    ProxyKeys,
    Settings,
)
from exporter.ontap.endpoint import (
    BasicLogin,
    ClusterSettings,
    Endpoint,
    Header,
    Login,
    OAuth2Login,
    Proxy,
    Secret,
    Tls,
    TokenLogin,
)

_STALE_AFTER_POLLS: Final = 3


def cluster_settings(merged: ClusterEntry, *, environ: Mapping[str, str]) -> ClusterSettings | None:
    """Return the settings of a cluster; ``None`` if it has no address, or its proxy cannot be used.

    ``environ`` holds the proxy of ``proxy_from_environment``.
    """
    try:
        proxy = None if merged.address is None else proxy_for(merged, merged.address, environ=environ)
        login = _login(merged, environ=environ)
    except ValueError:
        return None
    if merged.address is None:
        return None
    return ClusterSettings(
        name=merged.name or merged.address.host,
        endpoint=merged.address,
        login=login,
        tls=Tls(**dict(merged.tls_config)),
        labels=tuple(sorted(merged.labels.items())),
        poll_interval=merged.poll_interval,
        poll_timeout=merged.poll_timeout,
        stale_after=stale_after(merged),
        return_timeout_seconds=return_timeout_seconds(merged),
        max_records=merged.max_records,
        headers=tuple(_headers(merged.http_headers)),
        proxy=proxy,
    )


def stale_after(settings: Settings) -> timedelta:
    """Return ``stale_after``, which follows ``poll_interval`` where it was not set."""
    return settings.stale_after or min(_STALE_AFTER_POLLS * settings.poll_interval, LONGEST_DURATION)


def return_timeout_seconds(settings: Settings) -> int:
    """Return ``return_timeout``, which stays below ``poll_timeout`` where it was not set."""
    if "return_timeout" in settings.model_fields_set:
        return settings.return_timeout
    return min(settings.return_timeout, ceil(settings.poll_timeout.total_seconds()) - 1)


def proxy_for(keys: ProxyKeys, endpoint: Endpoint, *, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy through which an address is reached.

    Raises:
        ValueError: the environment names none that can be used; says why, without a secret.
    """
    if keys.proxy_from_environment:
        proxy = proxy_of_environment(environ, endpoint)
    elif keys.no_proxy and is_excepted(endpoint, keys.no_proxy):
        proxy = None
    else:
        proxy = keys.proxy_url or None
    if proxy is None or not keys.proxy_connect_header:
        return proxy
    headers = (
        Header(name=name, value=value)
        for name, values in sorted(keys.proxy_connect_header.items())
        for value in values
    )
    return replace(proxy, headers=tuple(headers))


def token_endpoint(oauth2: OAuth2) -> Endpoint | None:
    """Return where the tokens come from; ``None`` where that is not set."""
    if oauth2.token_url is None:
        return None
    scheme, _, rest = oauth2.token_url.partition("://")
    return parse_address(f"{scheme}://{re.split('[/?]', rest, maxsplit=1)[0]}")


def _login(merged: ClusterEntry, *, environ: Mapping[str, str]) -> Login:
    if (basic := merged.basic_auth) is not None:
        return BasicLogin(
            username=basic.username or "",
            username_file=basic.username_file,
            password=basic.password or Secret(file=basic.password_file),
        )
    if (authorization := merged.authorization) is not None:
        credentials = authorization.credentials or Secret(file=authorization.credentials_file)
        return TokenLogin(type=authorization.type, credentials=credentials)
    if (oauth2 := merged.oauth2) is not None:
        endpoint = token_endpoint(oauth2)
        return OAuth2Login(
            client_id=oauth2.client_id or "",
            client_secret=oauth2.client_secret or Secret(file=oauth2.client_secret_file),
            token_url=oauth2.token_url or "",
            scopes=tuple(oauth2.scopes),
            parameters=tuple(sorted(oauth2.endpoint_params.items(), key=lambda item: item[0])),
            tls=Tls(**dict(oauth2.tls_config)),
            proxy=None if endpoint is None else proxy_for(oauth2, endpoint, environ=environ),
        )
    return None


def _headers(headers: Mapping[str, HttpHeader]) -> Iterator[Header]:
    for name, header in sorted(headers.items()):
        yield from (Header(name=name, value=Secret(value=one), is_secret=False) for one in header.values)
        yield from (Header(name=name, value=one) for one in header.secrets)
        yield from (Header(name=name, value=Secret(file=one)) for one in header.files)
