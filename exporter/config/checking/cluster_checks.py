"""Checks the merged layers of one cluster: login, address, proxy, TLS, timing."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from exporter.config.checking import named_files
from exporter.config.checking.named_files import NamedFiles
from exporter.config.checking.section_checks import Diagnostics
from exporter.config.cluster_settings import (
    cluster_settings,
    proxy_for,
    return_timeout_seconds,
    stale_after,
    token_endpoint,
)
from exporter.config.reading.values import format_duration
from exporter.config.schema import ClusterEntry, ProxyKeys, TlsConfig
from exporter.config.sections import Layers
from exporter.ontap.endpoint import ClusterSettings, Endpoint

_LOGINS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = MappingProxyType(
    {
        "basic_auth": (("username", "username_file"), ("password", "password_file")),
        "authorization": (("credentials", "credentials_file"),),
        "oauth2": (("client_id",), ("client_secret", "client_secret_file"), ("token_url",)),
    }
)
"""The keys of each kind of login, one of each group of which must be there."""
_HTTP: Final = "http:// is only for clusters with allow_http: true"
_PROXY_READS: Final = (
    "a proxy is only for https://: it would read what is sent; write proxy_url: '' or no_proxy"
)


def check_cluster(
    layers: Layers, files: NamedFiles, found: Diagnostics, *, environ: Mapping[str, str]
) -> ClusterSettings | None:
    """Check the merged layers of one cluster, and return its settings; ``None`` if it cannot be reached.

    ``environ`` holds the proxy of ``proxy_from_environment``.
    """
    if layers.own.model.address is None and not layers.own.is_broken("address"):
        found.error(layers.own.location(), "address is missing")
    _check_login(layers, found)
    _check_address(layers, found)
    _check_headers(layers, found)
    _check_proxies(layers, found, environ)
    _check_tls(layers, files, found)
    _check_timing(layers, found)
    return cluster_settings(layers.merged, environ=environ)


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


def _check_address(layers: Layers, found: Diagnostics) -> None:
    merged = layers.merged
    addresses: list[tuple[Endpoint | None, tuple[str, ...], str]] = [
        (merged.address, ("address",), "http:// sends the login unencrypted" if _has_login(merged) else "")
    ]
    if merged.oauth2 is not None:
        warning = "http:// sends the client secret unencrypted"
        addresses.append((token_endpoint(merged.oauth2), ("oauth2", "token_url"), warning))
    for endpoint, key, warning in addresses:
        if endpoint is None or endpoint.scheme != "http" or layers.is_broken("allow_http"):
            continue
        if not merged.allow_http:
            found.error(layers.location(key), _HTTP)
        elif warning:
            found.warn(layers.location(key), warning)


def _check_headers(layers: Layers, found: Diagnostics) -> None:
    first: dict[str, str] = {}
    for name in layers.merged.http_headers:
        other = first.setdefault(name.lower(), name)
        if other != name:
            message = f"the same header as {other}"
            found.error(layers.location(("http_headers", name)), message)


def _check_proxies(layers: Layers, found: Diagnostics, environ: Mapping[str, str]) -> None:
    merged = layers.merged
    is_set = not merged.model_fields_set.isdisjoint((*ProxyKeys.model_fields, "oauth2"))
    if not is_set or layers.is_broken(*ProxyKeys.model_fields, "oauth2"):
        return
    destinations: list[tuple[tuple[str, ...], ProxyKeys, Endpoint | None]] = [((), merged, merged.address)]
    if merged.oauth2 is not None:
        destinations.append((("oauth2",), merged.oauth2, token_endpoint(merged.oauth2)))
    for above, keys, endpoint in destinations:
        _check_proxy_keys(layers, above, keys, found)
        if endpoint is None:
            continue
        try:
            proxy = proxy_for(keys, endpoint, environ=environ)
        except ValueError as error:
            found.error(layers.location((*above, "proxy_from_environment")), str(error))
            continue
        if proxy is not None and endpoint.scheme == "http":
            location = layers.location((*above, "proxy_url"), (*above, "proxy_from_environment"))
            found.error(location, _PROXY_READS)


def _check_proxy_keys(layers: Layers, above: tuple[str, ...], keys: ProxyKeys, found: Diagnostics) -> None:
    has_proxy = "proxy_url" in keys.model_fields_set or keys.proxy_from_environment
    if keys.no_proxy and not has_proxy:
        found.error(layers.location((*above, "no_proxy")), "no_proxy without proxy_url")
    if keys.proxy_connect_header and not has_proxy:
        location = layers.location((*above, "proxy_connect_header"))
        found.error(location, "proxy_connect_header without proxy_url or proxy_from_environment")


def _check_tls(layers: Layers, files: NamedFiles, found: Diagnostics) -> None:
    merged = layers.merged
    if "tls_config" in merged.model_fields_set and not layers.is_broken("tls_config"):
        _check_certificate(layers, (), merged.tls_config, files, found)
    if merged.oauth2 is not None and not layers.is_broken("oauth2"):
        _check_certificate(layers, ("oauth2",), merged.oauth2.tls_config, files, found)


def _check_certificate(
    layers: Layers, above: tuple[str, ...], tls: TlsConfig, files: NamedFiles, found: Diagnostics
) -> None:
    keys = (*above, "tls_config")
    if tls.insecure_skip_verify:
        whose = "token endpoint" if above else "cluster"
        location = layers.location((*keys, "insecure_skip_verify"))
        found.warn(location, f"the {whose}'s certificate is not verified")
    certificate = tls.cert or tls.cert_file
    key = tls.key_file if tls.key is None else tls.key.value
    key_of_certificate = (*keys, "cert" if tls.cert else "cert_file")
    key_of_key = (*keys, "key" if tls.key is not None else "key_file")
    if certificate is None:
        if key is not None:
            found.error(layers.location(key_of_key), f"{key_of_key[-1]} without cert_file")
        return
    named = [file for file in (tls.cert_file, tls.key_file) if file is not None]
    if any(files.check(named_files.check_readable, file).error for file in named):
        return
    verdict = files.check(named_files.check_chain, certificate, key)
    at, source = (
        (key_of_key, key) if verdict.is_about_key and key is not None else (key_of_certificate, certificate)
    )
    found.add_verdict(verdict, source, layers.nearest(at), *at)


def _check_timing(layers: Layers, found: Diagnostics) -> None:
    if layers.is_broken("poll_interval", "poll_timeout", "return_timeout", "stale_after"):
        return
    merged = layers.merged
    return_seconds, stale = return_timeout_seconds(merged), stale_after(merged)
    if merged.poll_timeout.total_seconds() <= return_seconds:
        timeout = format_duration(merged.poll_timeout)
        message = f"poll_timeout ({timeout}) must exceed return_timeout ({return_seconds} s)"
        found.error(layers.location(("poll_timeout",), ("return_timeout",)), message)
    if merged.poll_timeout > merged.poll_interval:
        timeout, interval = format_duration(merged.poll_timeout), format_duration(merged.poll_interval)
        message = (
            f"poll_timeout ({timeout}) exceeds poll_interval ({interval}): polls of a slow cluster come late"
        )
        found.warn(layers.location(("poll_timeout",), ("poll_interval",)), message)
    if stale < merged.poll_interval:
        message = (
            f"stale_after ({format_duration(stale)}) is shorter than poll_interval"
            f" ({format_duration(merged.poll_interval)}): series vanish between polls"
        )
        found.warn(layers.location(("stale_after",), ("poll_interval",)), message)
