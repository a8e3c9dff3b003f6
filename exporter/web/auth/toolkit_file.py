"""Reads a web configuration and the files that it names, and reports all mistakes at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from exporter.config import ConfigError, Problem
from exporter.config.document import Document
from exporter.config.named_files import permissions, secret_for_everyone
from exporter.config.validation import validate
from exporter.config.yaml_source import read_document
from exporter.web.auth.rate_limit import RateLimit
from exporter.web.auth.toolkit_schema import (
    HOMES,
    BasicAuthUsers,
    HttpHeaders,
    HttpServerConfig,
    RateLimitConfig,
    WebRoot,
    check_header,
)
from exporter.web.auth.toolkit_tls import SECTION as _TLS
from exporter.web.auth.toolkit_tls import TlsSection
from exporter.web.auth.web_config import WebConfig

_HTTP: Final = "http_server_config"
_USERS: Final = "basic_auth_users"
_RATE: Final = "rate_limit"
_HTTP2: Final = "HTTP/1.1 is served, which every client of HTTP/2 speaks as well"


def load_web_config(path: Path, *, environ: Mapping[str, str]) -> WebConfig:
    """Read and check a web configuration and every file that it names.

    ``environ`` holds what ``${NAME}`` stands for.

    Raises:
        ConfigError: with every problem that could be found, whatever the files hold.
    """
    document = read_document(path, environ=environ)
    written = validate(WebRoot, document, belongs=HOMES).model_fields_set
    section = TlsSection(document=document)
    if _TLS in written:
        section.read()
    warnings = section.warnings
    headers = _headers(document, warnings) if _HTTP in written else ()
    users = _users(document) if _USERS in written else {}
    rate_limit = _rate_limit(document) if _RATE in written else None
    if document.problems:
        raise ConfigError(document.problems)
    holds_secret = bool(users) or section.has_inline_key
    if holds_secret and (warning := secret_for_everyone(permissions(path))) is not None:
        warnings.append(Problem(file=document.file, line=0, key="", message=f"{warning}: {path}"))
    return WebConfig(
        path=path,
        tls=section.tls,
        context=section.context,
        users=users,
        headers=headers,
        rate_limit=rate_limit,
        files=(path, *section.files),
        warnings=tuple(sorted(set(warnings))),
    )


def _headers(document: Document, warnings: list[Problem]) -> tuple[tuple[str, str], ...]:
    """Read ``http_server_config``."""
    settings = validate(HttpServerConfig, document, (_HTTP,), belongs=HOMES)
    if settings.http2:
        warnings.append(document.location((_HTTP, "http2")).problem(_HTTP2))
    if "headers" not in settings.model_fields_set:
        return ()
    found = validate(HttpHeaders, document, (_HTTP, "headers"), belongs=HOMES).__pydantic_extra__
    for name, value in found.items():
        try:
            check_header(name, value)
        except ValueError as error:
            document.report((_HTTP, "headers", name), str(error))
    return tuple((name, value) for name, value in found.items() if value)


def _users(document: Document) -> dict[str, bytes]:
    """Read ``basic_auth_users``."""
    found = validate(BasicAuthUsers, document, (_USERS,), belongs=HOMES).__pydantic_extra__
    for name in found:
        if ":" in name:
            document.report((_USERS, name), "a user name cannot hold a colon (RFC 7617)")
    if not found and not document.is_broken((_USERS,)):
        document.report((_USERS,), "nobody would be asked for a password; leave it out if that is meant")
    return {name: value.encode() for name, value in found.items()}


def _rate_limit(document: Document) -> RateLimit | None:
    """Read ``rate_limit``."""
    settings = validate(RateLimitConfig, document, (_RATE,), belongs=HOMES)
    if settings.interval is None and not document.is_broken((_RATE, "interval")):
        document.report((_RATE,), "interval is missing")
    if settings.interval and settings.burst is None and not document.is_broken((_RATE, "burst")):
        document.report((_RATE,), "burst is missing")
    if not settings.interval or settings.burst is None:
        return None
    return RateLimit(interval=settings.interval, burst=settings.burst)
