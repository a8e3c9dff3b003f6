"""Reads a web configuration and the files that it names, and reports all mistakes at once."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from exporter.config import ConfigError, Problem
from exporter.config.checking.named_files import permissions, secret_for_everyone
from exporter.config.problems import Diagnostics, SourceLocation
from exporter.config.reading.yaml_source import read_document
from exporter.config.sections import Section
from exporter.config.validation import validate
from exporter.web.auth.toolkit_schema import (
    HttpServerConfig,
    RateLimitConfig,
    TlsServerConfig,
    WebRoot,
    check_header,
)
from exporter.web.auth.toolkit_tls import read_tls

_TLS: Final = "tls_server_config"
_HTTP: Final = "http_server_config"
_USERS: Final = "basic_auth_users"
_RATE: Final = "rate_limit"
_UNPROTECTED: Final = {_TLS: "pages are served without TLS", _USERS: "nobody is asked for a password"}
_HTTP2: Final = "HTTP/1.1 is served, which every client of HTTP/2 speaks as well"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """A whole web configuration."""

    path: Path
    tls: TlsServerConfig | None
    """None: plain HTTP."""
    context: ssl.SSLContext | None = field(compare=False)
    """Built from ``tls``."""
    users: Mapping[str, bytes] = field(repr=False)
    """bcrypt hashes; empty: nobody is asked for a password."""
    headers: tuple[tuple[str, str], ...]
    """Sent with every answer."""
    rate_limit: RateLimitConfig | None
    files: tuple[Path, ...]
    """The file itself, and all files that it names."""
    warnings: tuple[Problem, ...] = field(compare=False)
    """Settings that are allowed but probably mistakes, by file and line."""

    @property
    def client_requirements(self) -> TlsServerConfig | None:
        """The requirements for clients: all settings but the server's own certificate."""
        return self.tls and self.tls.model_copy(update={"cert": None, "key": None})


def load_web_config(path: Path, *, environ: Mapping[str, str]) -> WebConfig:
    """Read and check a web configuration and every file that it names.

    ``environ`` holds what ``${NAME}`` stands for.

    Raises:
        ConfigError: with every problem that could be found, whatever the files hold.
    """
    document = read_document(path, environ=environ)
    document.take_as_text((_HTTP, "headers"))
    document.take_as_text((_USERS,))
    is_empty = {key: not document.value((key,)) for key in (_TLS, _USERS)}
    root = validate(WebRoot, document)
    found = Diagnostics(errors=set(document.problems))
    top = Section(model=root, document=document, path=())
    for key, what in _UNPROTECTED.items():
        if top.has(key) and is_empty[key]:
            found.warn(top.location(key), f"this is empty, so {what}")
    headers = _headers(top, found)
    users = root.basic_auth_users or {}
    for name in users:
        if ":" in name:
            found.error(top.location(_USERS, name), "a user name cannot hold a colon (RFC 7617)")
    limit = root.rate_limit
    if limit and limit.interval and not limit.burst and not document.is_broken([(_RATE, "burst")]):
        found.error(top.location(_RATE), "burst is missing or 0: no request would be answered")
    settings = root.tls_server_config
    tls = None
    if settings is not None and not is_empty[_TLS]:
        tls = read_tls(Section(model=settings, document=document, path=(_TLS,)), found)
    if found.errors:
        raise ConfigError(found.errors)
    holds_secret = bool(users) or (settings is not None and settings.key is not None)
    if holds_secret and (warning := secret_for_everyone(permissions(path))) is not None:
        found.warn(SourceLocation(file=document.file, line=0), f"{warning}: {path}")
    return WebConfig(
        path=path,
        tls=tls and tls[0],
        context=tls and tls[1],
        users={name: value.encode() for name, value in users.items()},
        headers=headers,
        rate_limit=limit if limit and limit.interval and limit.burst else None,
        files=(path, *(settings.files if settings is not None else ())),
        warnings=tuple(sorted(found.warnings)),
    )


def _headers(top: Section[WebRoot], found: Diagnostics) -> tuple[tuple[str, str], ...]:
    """Check the settings of HTTP, and return the headers that are set."""
    settings = top.model.http_server_config or HttpServerConfig()
    if settings.http2:
        found.warn(top.location(_HTTP, "http2"), _HTTP2)
    headers = settings.headers or {}
    for name, value in headers.items():
        try:
            check_header(name, value)
        except ValueError as error:
            found.error(top.location(_HTTP, "headers", name), str(error))
    return tuple((name, value) for name, value in headers.items() if value)
