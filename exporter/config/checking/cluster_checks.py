"""Checks the merged layers of one cluster, and makes the settings of its client of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from math import ceil
from typing import Final
from urllib.parse import urlsplit

from exporter.config.checking.named_files import NamedFiles, check_chain, check_readable
from exporter.config.problems import Diagnostics
from exporter.config.reading.proxy import is_excepted, proxy_of_environment
from exporter.config.reading.values import LONGEST_DURATION, format_duration, parse_address
from exporter.config.schema import ClusterEntry, HttpHeader, OAuth2, ProxyKeys, Settings
from exporter.config.sections import Layers
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

_LOGINS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "basic_auth": (("username", "username_file"), ("password", "password_file")),
    "authorization": (("credentials", "credentials_file"),),
    "oauth2": (("client_id",), ("client_secret", "client_secret_file"), ("token_url",)),
}
"""The keys of each kind of login, one of each group of which must be there."""
_HTTP: Final = "http:// is only for clusters with allow_http: true"
_PROXY_READS: Final = (
    "a proxy is only for https://: it would read what is sent; write proxy_url: '' or no_proxy"
)
_STALE_AFTER_POLLS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Connection:
    """What a cluster's requests go to: the cluster itself, or the token endpoint of its login."""

    peer: str
    """For messages."""
    endpoint: Endpoint | None
    """``None`` where no address is set."""
    address: tuple[str, ...]
    """The key of the address."""
    above: tuple[str, ...]
    """The key of the mapping that holds the settings; none for the merged layers themselves."""
    settings: Settings | OAuth2
    what_is_sent: str
    """What nobody else may read; empty if there is no such thing."""


def make_cluster(
    layers: Layers, files: NamedFiles, found: Diagnostics, *, environ: Mapping[str, str]
) -> ClusterSettings | None:
    """Check the merged layers of one cluster, and return its settings; ``None`` if it has no address.

    ``environ`` holds the proxy of ``proxy_from_environment``.
    """
    merged = layers.merged
    if layers.own.model.address is None and not layers.own.is_broken("address"):
        found.error(layers.own.location(), "address is missing")
    _check_login(layers, found)
    _check_headers(layers, found)
    _check_timing(layers, found)
    proxies: list[Proxy | None] = []
    for connection in _connections(merged):
        _check_scheme(connection, layers, found)
        _check_certificate(connection, layers, files, found)
        proxies.append(_checked_proxy(connection, layers, found, environ))
    if merged.address is None:
        return None
    return ClusterSettings(
        name=merged.name or merged.address.host,
        endpoint=merged.address,
        login=_login(merged, token_proxy=proxies[-1]),
        tls=Tls(**dict(merged.tls_config)),
        labels=tuple(sorted(merged.labels.items())),
        poll_interval=merged.poll_interval,
        poll_timeout=merged.poll_timeout,
        stale_after=_stale_after(merged),
        return_timeout_seconds=_return_timeout_seconds(merged),
        max_records=merged.max_records,
        headers=tuple(_headers(merged.http_headers)),
        proxy=proxies[0],
    )


def _check_login(layers: Layers, found: Diagnostics) -> None:
    merged = layers.merged
    for name, groups in _LOGINS.items():
        if (login := getattr(merged, name)) is not None:
            for group in groups:
                if all(getattr(login, key) is None for key in group) and not layers.is_broken(*_LOGINS):
                    found.error(layers.location((name,)), f"{' or '.join(group)} is missing")
    has_certificate = merged.tls_config.cert_file is not None or merged.tls_config.cert is not None
    if not (
        _has_login(merged) or has_certificate or layers.is_broken(*_LOGINS, "tls_config", "http_headers")
    ):
        message = "no login: neither basic_auth nor authorization nor oauth2 nor a client certificate"
        found.warn(layers.own.location(), message)


def _has_login(merged: ClusterEntry) -> bool:
    """Say whether requests carry something secret."""
    has_secret = any(header.secrets or header.files for header in merged.http_headers.values())
    return has_secret or any(getattr(merged, name) is not None for name in _LOGINS)


def _check_headers(layers: Layers, found: Diagnostics) -> None:
    first: dict[str, str] = {}
    for name in layers.merged.http_headers:
        other = first.setdefault(name.lower(), name)
        if other != name:
            found.error(layers.location(("http_headers", name)), f"the same header as {other}")


def _check_timing(layers: Layers, found: Diagnostics) -> None:
    if layers.is_broken("poll_interval", "poll_timeout", "return_timeout", "stale_after"):
        return
    merged = layers.merged
    return_seconds, stale = _return_timeout_seconds(merged), _stale_after(merged)
    timeout, interval = format_duration(merged.poll_timeout), format_duration(merged.poll_interval)
    if merged.poll_timeout.total_seconds() <= return_seconds:
        message = f"poll_timeout ({timeout}) must exceed return_timeout ({return_seconds} s)"
        found.error(layers.location(("poll_timeout",), ("return_timeout",)), message)
    if merged.poll_timeout > merged.poll_interval:
        message = (
            f"poll_timeout ({timeout}) exceeds poll_interval ({interval}): polls of a slow cluster come late"
        )
        found.warn(layers.location(("poll_timeout",), ("poll_interval",)), message)
    if stale < merged.poll_interval:
        message = (
            f"stale_after ({format_duration(stale)}) is shorter than poll_interval ({interval}):"
            " series vanish between polls"
        )
        found.warn(layers.location(("stale_after",), ("poll_interval",)), message)


def _stale_after(settings: Settings) -> timedelta:
    """Return ``stale_after``, which follows ``poll_interval`` where it was not set."""
    return settings.stale_after or min(_STALE_AFTER_POLLS * settings.poll_interval, LONGEST_DURATION)


def _return_timeout_seconds(settings: Settings) -> int:
    """Return ``return_timeout``, which stays below ``poll_timeout`` where it was not set."""
    if "return_timeout" in settings.model_fields_set:
        return settings.return_timeout
    return min(settings.return_timeout, ceil(settings.poll_timeout.total_seconds()) - 1)


def _connections(merged: ClusterEntry) -> Iterator[_Connection]:
    yield _Connection(
        peer="cluster",
        endpoint=merged.address,
        address=("address",),
        above=(),
        settings=merged,
        what_is_sent="login" if _has_login(merged) else "",
    )
    if merged.oauth2 is not None:
        url = urlsplit(merged.oauth2.token_url or "")
        yield _Connection(
            peer="token endpoint",
            endpoint=parse_address(f"{url.scheme}://{url.netloc}") if url.netloc else None,
            address=("oauth2", "token_url"),
            above=("oauth2",),
            settings=merged.oauth2,
            what_is_sent="client secret",
        )


def _check_scheme(connection: _Connection, layers: Layers, found: Diagnostics) -> None:
    if connection.endpoint is None or connection.endpoint.scheme != "http" or layers.is_broken("allow_http"):
        return
    if not layers.merged.allow_http:
        found.error(layers.location(connection.address), _HTTP)
    elif connection.what_is_sent:
        message = f"http:// sends the {connection.what_is_sent} unencrypted"
        found.warn(layers.location(connection.address), message)


def _check_certificate(
    connection: _Connection, layers: Layers, files: NamedFiles, found: Diagnostics
) -> None:
    tls, keys = connection.settings.tls_config, (*connection.above, "tls_config")
    if "tls_config" not in connection.settings.model_fields_set or layers.is_broken(keys[0]):
        return
    if tls.insecure_skip_verify:
        location = layers.location((*keys, "insecure_skip_verify"))
        found.warn(location, f"the {connection.peer}'s certificate is not verified")
    certificate = tls.cert or tls.cert_file
    key = tls.key_file if tls.key is None else tls.key.value
    key_of_certificate = (*keys, "cert" if tls.cert else "cert_file")
    key_of_key = (*keys, "key" if tls.key is not None else "key_file")
    if certificate is None:
        if key is not None:
            found.error(layers.location(key_of_key), f"{key_of_key[-1]} without cert_file")
        return
    named = [file for file in (tls.cert_file, tls.key_file) if file is not None]
    if any(files.check(check_readable, file).error for file in named):
        return
    verdict = files.check(check_chain, certificate, key)
    if verdict.is_about_key and key is not None:
        layers.nearest(key_of_key).add_verdict(found, verdict, key, *key_of_key)
    else:
        layers.nearest(key_of_certificate).add_verdict(found, verdict, certificate, *key_of_certificate)


def _checked_proxy(
    connection: _Connection, layers: Layers, found: Diagnostics, environ: Mapping[str, str]
) -> Proxy | None:
    """Return the proxy through which requests go."""
    settings, above, endpoint = connection.settings, connection.above, connection.endpoint
    is_set = not settings.model_fields_set.isdisjoint(ProxyKeys.model_fields)
    if not is_set or layers.is_broken(*ProxyKeys.model_fields, "oauth2"):
        return None
    has_proxy = "proxy_url" in settings.model_fields_set or settings.proxy_from_environment
    if settings.no_proxy and not has_proxy:
        found.error(layers.location((*above, "no_proxy")), "no_proxy without proxy_url")
    if settings.proxy_connect_header and not has_proxy:
        message = "proxy_connect_header without proxy_url or proxy_from_environment"
        found.error(layers.location((*above, "proxy_connect_header")), message)
    if endpoint is None:
        return None
    try:
        proxy = _proxy_for(settings, endpoint, environ=environ)
    except ValueError as error:
        found.error(layers.location((*above, "proxy_from_environment")), str(error))
        return None
    if proxy is not None and endpoint.scheme == "http":
        location = layers.location((*above, "proxy_url"), (*above, "proxy_from_environment"))
        found.error(location, _PROXY_READS)
    return proxy


def _proxy_for(keys: ProxyKeys, endpoint: Endpoint, *, environ: Mapping[str, str]) -> Proxy | None:
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


def _login(merged: ClusterEntry, *, token_proxy: Proxy | None) -> Login:
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
        return OAuth2Login(
            client_id=oauth2.client_id or "",
            client_secret=oauth2.client_secret or Secret(file=oauth2.client_secret_file),
            token_url=oauth2.token_url or "",
            scopes=tuple(oauth2.scopes),
            parameters=tuple(sorted(oauth2.endpoint_params.items(), key=lambda item: item[0])),
            tls=Tls(**dict(oauth2.tls_config)),
            proxy=token_proxy,
        )
    return None


def _headers(headers: Mapping[str, HttpHeader]) -> Iterator[Header]:
    for name, header in sorted(headers.items()):
        yield from (Header(name=name, value=Secret(value=one), is_secret=False) for one in header.values)
        yield from (Header(name=name, value=one) for one in header.secrets)
        yield from (Header(name=name, value=Secret(file=one)) for one in header.files)
