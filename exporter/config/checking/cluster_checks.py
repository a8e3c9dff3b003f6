"""Checks the merged layers of one cluster, and makes the settings of its client of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from math import ceil
from typing import Any, Final
from urllib.parse import urlsplit

from exporter.config.checking.named_files import CheckFile, check_chain, check_readable
from exporter.config.problems import Diagnostics, KeyPath
from exporter.config.reading.proxy import is_excepted, proxy_of_environment
from exporter.config.reading.values import LONGEST_DURATION, format_duration, parse_address
from exporter.config.schema import ClusterEntry, HttpHeader, OAuth2, ProxyKeys, Settings
from exporter.config.sections import Section
from exporter.ontap.cluster_settings import (
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

_LOGINS: Final = ("basic_auth", "authorization", "oauth2")
_PROXY_READS: Final = (
    "a cluster with http:// cannot use a proxy, which could read the login; write proxy_url: '' or no_proxy"
)
_STALE_AFTER_POLLS: Final = 3


def make_cluster(
    layers: Sequence[Section[Any]],
    merged: ClusterEntry,
    check_file: CheckFile,
    found: Diagnostics,
    *,
    environ: Mapping[str, str],
) -> ClusterSettings | None:
    """Check the merged layers of a cluster, and return its settings; None if it has no address.

    The nearest layer comes first: the cluster's own entry, its profile, the defaults. ``environ`` holds the
    proxy of ``proxy_from_environment``.
    """
    checks = _ClusterChecks(layers=layers, merged=merged, check_file=check_file, found=found, environ=environ)
    own = layers[0]
    if own.model.address is None and not own.is_broken("address"):
        checks.error("address is missing")
    checks.check_login()
    checks.check_headers()
    checks.check_timing()
    proxy = checks.check_connection(merged, merged.address)
    token_proxy = None
    if merged.oauth2 is not None:
        token_proxy = checks.check_connection(merged.oauth2, _token_endpoint(merged.oauth2), ("oauth2",))
    if merged.address is None:
        return None
    return ClusterSettings(
        name=merged.name or merged.address.host,
        endpoint=merged.address,
        login=_login(merged, token_proxy=token_proxy),
        tls=Tls(**dict(merged.tls_config)),
        labels=tuple(sorted(merged.labels.items())),
        poll_interval=merged.poll_interval,
        poll_timeout=merged.poll_timeout,
        stale_after=_stale_after(merged),
        return_timeout_seconds=_return_timeout_seconds(merged),
        max_records=merged.max_records,
        headers=tuple(_headers(merged.http_headers)),
        proxy=proxy,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _ClusterChecks:
    layers: Sequence[Section[Any]]
    merged: ClusterEntry
    check_file: CheckFile
    found: Diagnostics
    environ: Mapping[str, str]

    def is_broken(self, *keys: str) -> bool:
        """Say whether a mistake has been found in one of these keys, in any layer."""
        return any(layer.is_broken(*keys) for layer in self.layers)

    def nearest(self, *keys: KeyPath) -> tuple[Section[Any], KeyPath]:
        """Return the nearest layer that sets one of these keys, with this key; or else the cluster's own."""
        setting = ((layer, key) for layer in self.layers for key in keys if layer.has(*key))
        return next(setting, (self.layers[0], ()))

    def error(self, message: str, *keys: KeyPath) -> None:
        """Add a mistake where the nearest layer sets one of these keys."""
        layer, key = self.nearest(*keys)
        self.found.error(layer.location(*key), message)

    def warn(self, message: str, *keys: KeyPath) -> None:
        """Add a warning, likewise."""
        layer, key = self.nearest(*keys)
        self.found.warn(layer.location(*key), message)

    def has_login(self) -> bool:
        """Say whether requests carry something secret."""
        headers = self.merged.http_headers.values()
        has_secret = any(header.secrets or header.files for header in headers)
        return has_secret or any(getattr(self.merged, name) is not None for name in _LOGINS)

    def check_login(self) -> None:
        tls, is_broken = self.merged.tls_config, self.is_broken
        for name in () if is_broken(*_LOGINS) else _LOGINS:
            if (login := getattr(self.merged, name)) is not None:
                for group in login.required:
                    if all(getattr(login, key) is None for key in group):
                        self.error(f"{' or '.join(group)} is missing", (name,))
        has_certificate = tls.cert_file is not None or tls.cert is not None
        if not (self.has_login() or has_certificate or is_broken(*_LOGINS, "tls_config", "http_headers")):
            self.warn("no login: neither basic_auth nor authorization nor oauth2 nor a client certificate")

    def check_headers(self) -> None:
        first: dict[str, str] = {}
        for name in self.merged.http_headers:
            other = first.setdefault(name.lower(), name)
            if other != name:
                self.error(f"the same header as {other}", ("http_headers", name))

    def check_timing(self) -> None:
        merged = self.merged
        if self.is_broken("poll_interval", "poll_timeout", "return_timeout", "stale_after"):
            return
        return_seconds, stale_after = _return_timeout_seconds(merged), _stale_after(merged)
        if merged.poll_timeout.total_seconds() <= return_seconds:
            timeout = format_duration(merged.poll_timeout)
            message = f"poll_timeout ({timeout}) must exceed return_timeout ({return_seconds} s)"
            self.error(message, ("poll_timeout",), ("return_timeout",))
        if merged.poll_timeout > merged.poll_interval:
            timeout, interval = format_duration(merged.poll_timeout), format_duration(merged.poll_interval)
            message = f"poll_timeout ({timeout}) exceeds poll_interval ({interval})"
            self.warn(f"{message}: polls of a slow cluster come late", ("poll_timeout",), ("poll_interval",))
        if stale_after < merged.poll_interval:
            stale, interval = format_duration(stale_after), format_duration(merged.poll_interval)
            message = f"stale_after ({stale}) is shorter than poll_interval ({interval})"
            self.warn(f"{message}: series vanish between polls", ("stale_after",), ("poll_interval",))

    def check_connection(
        self, settings: Settings | OAuth2, endpoint: Endpoint | None, above: tuple[str, ...] = ()
    ) -> Proxy | None:
        """Check how requests go to the cluster or to its token endpoint; return the proxy on their way.

        ``above`` is the key of the mapping that holds the settings.
        """
        address, sent = (("oauth2", "token_url"), "client secret") if above else (("address",), "login")
        if endpoint is not None and endpoint.scheme == "http" and not self.is_broken("allow_http"):
            if not self.merged.allow_http:
                self.error("http:// is only for clusters with allow_http: true", address)
            elif self.has_login():
                self.warn(f"http:// sends the {sent} unencrypted", address)
        if not self.is_broken("oauth2" if above else "tls_config"):
            self._check_certificate(settings, above)
        if self.is_broken(*ProxyKeys.model_fields, "oauth2"):
            return None
        return self._check_proxy(settings, endpoint, above)

    def _check_certificate(self, settings: Settings | OAuth2, above: tuple[str, ...]) -> None:
        tls = settings.tls_config
        if tls.insecure_skip_verify:
            whose = "token endpoint" if above else "cluster"
            message = f"the {whose}'s certificate is not verified"
            self.warn(message, (*above, "tls_config", "insecure_skip_verify"))
        certificate = tls.cert or tls.cert_file
        key = tls.key_file if tls.key is None else tls.key.value
        certificate_key = (*above, "tls_config", "cert" if tls.cert else "cert_file")
        key_key = (*above, "tls_config", "key" if tls.key is not None else "key_file")
        if certificate is None:
            if key is not None:
                self.error(f"{key_key[-1]} without cert_file", key_key)
            return
        named = [file for file in (tls.cert_file, tls.key_file) if file is not None]
        if any(self.check_file(check_readable, file).error for file in named):
            return
        checked = self.check_file(check_chain, certificate, key)
        at, source = certificate_key, certificate
        if checked.is_about_key and key is not None:
            at, source = key_key, key
        layer, _ = self.nearest(at)
        layer.add_file_check(self.found, checked, source, *at)

    def _check_proxy(
        self, settings: ProxyKeys, endpoint: Endpoint | None, above: tuple[str, ...]
    ) -> Proxy | None:
        has_proxy = "proxy_url" in settings.model_fields_set or settings.proxy_from_environment
        if settings.no_proxy and not has_proxy:
            self.error("no_proxy without proxy_url", (*above, "no_proxy"))
        if settings.proxy_connect_header and not has_proxy:
            message = "proxy_connect_header without proxy_url or proxy_from_environment"
            self.error(message, (*above, "proxy_connect_header"))
        if endpoint is None or not has_proxy:
            return None
        try:
            proxy = _proxy_for(settings, endpoint, environ=self.environ)
        except ValueError as error:
            self.error(str(error), (*above, "proxy_from_environment"))
            return None
        if proxy is not None and endpoint.scheme == "http":
            self.error(_PROXY_READS, (*above, "proxy_url"), (*above, "proxy_from_environment"))
        return proxy


def _stale_after(settings: Settings) -> timedelta:
    """Return ``stale_after``, which follows ``poll_interval`` where it was not set."""
    return settings.stale_after or min(_STALE_AFTER_POLLS * settings.poll_interval, LONGEST_DURATION)


def _return_timeout_seconds(settings: Settings) -> int:
    """Return ``return_timeout``, which stays below ``poll_timeout`` where it was not set."""
    if "return_timeout" in settings.model_fields_set:
        return settings.return_timeout
    return min(settings.return_timeout, ceil(settings.poll_timeout.total_seconds()) - 1)


def _proxy_for(keys: ProxyKeys, endpoint: Endpoint, *, environ: Mapping[str, str]) -> Proxy | None:
    if keys.proxy_from_environment:
        proxy = proxy_of_environment(environ, endpoint)
    elif keys.no_proxy and is_excepted(endpoint, keys.no_proxy):
        proxy = None
    else:
        proxy = keys.proxy_url or None
    if proxy is None:
        return None
    headers = (
        Header(name=name, value=value)
        for name, values in sorted(keys.proxy_connect_header.items())
        for value in values
    )
    return replace(proxy, headers=tuple(headers))


def _token_endpoint(oauth2: OAuth2) -> Endpoint | None:
    url = urlsplit(oauth2.token_url or "")
    return parse_address(f"{url.scheme}://{url.netloc}") if url.netloc else None


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
