"""Reads ``tls_server_config``: its values, the files that it names, and whether OpenSSL accepts them."""

from __future__ import annotations

import ssl
from pathlib import Path

from exporter.config.checking.named_files import check_private_key
from exporter.config.problems import Diagnostics
from exporter.config.sections import Section
from exporter.files import why_unreadable
from exporter.ontap.endpoint import TlsVersion
from exporter.pem import BadKeyError, read_pem
from exporter.web.auth.tls_context import build_context, set_ciphers, trust_authorities
from exporter.web.auth.toolkit_schema import CIPHERS, ClientAuth, TlsServerConfig


def read_tls(
    section: Section[TlsServerConfig], found: Diagnostics
) -> tuple[TlsServerConfig, ssl.SSLContext] | None:
    """Check the settings, read their files, and build the context, so that nothing can be wrong later.

    Returns:
        The settings with the contents of the files, and the context; ``None`` if there is a mistake.
    """
    settings, before = section.model, len(found.errors)
    contents = {name: _content(section, name, found) for name in ("cert", "key", "client_ca")}
    for name in ("cert", "key"):
        is_there = section.has(name) or section.has(f"{name}_file")
        if not is_there and not section.is_broken(name, f"{name}_file"):
            found.error(section.location(), f"{name}_file is missing")
    _check_clients(section, contents["client_ca"], found)
    _check_versions_and_ciphers(section, found)
    if section.is_broken(*TlsServerConfig.model_fields) or len(found.errors) > before:
        return None
    tls = settings.model_copy(update=contents | {f"{name}_file": None for name in contents})
    try:
        return tls, build_context(tls)
    except BadKeyError as error:
        _report(section, "key", error, found)
    except ValueError as error:
        _report(section, "cert", error, found)
    except OSError as error:
        found.error(section.location(), f"cannot be used: {error.strerror or error}")
    return None


def _content(section: Section[TlsServerConfig], key: str, found: Diagnostics) -> str | None:
    """Return the content of a key or of its file; ``None`` if there is neither, or a mistake."""
    key_of_file = f"{key}_file"
    text: str | None = getattr(section.model, key)
    path: Path | None = getattr(section.model, key_of_file)
    if section.is_broken(key, key_of_file):
        return None
    if path is None:
        return text
    if text is not None:
        found.error(section.location(key), f"{key} and {key_of_file} exclude each other")
        return None
    shown = section.written(path, key_of_file)
    try:
        warning = check_private_key(path) if key == "key" else None
        content = read_pem(path)
    except (OSError, ValueError) as error:
        found.error(section.location(key_of_file), f"{why_unreadable(error)}: {shown}")
        return None
    if warning is not None:
        found.warn(section.location(key_of_file), f"{warning}: {shown}")
    return content


def _check_clients(section: Section[TlsServerConfig], authorities: str | None, found: Diagnostics) -> None:
    """Check the settings for clients' certificates together."""
    if section.is_broken("client_auth_type", "client_ca", "client_ca_file"):
        return
    settings = section.model
    is_asked = settings.client_auth_type is not ClientAuth.NONE
    is_named = bool(settings.client_ca or settings.client_ca_file)
    if is_named and not is_asked:
        named = "client_ca" if settings.client_ca is not None else "client_ca_file"
        message = f"no client is asked for a certificate; set client_auth_type to {ClientAuth.REQUIRED}"
        found.error(section.location(named), message)
    if is_asked and not is_named:
        found.error(section.location(), "client_ca_file is missing: nobody's certificates would be trusted")
    names = settings.client_allowed_sans
    if names is not None and settings.client_auth_type is not ClientAuth.REQUIRED:
        message = f"needs client_auth_type: {ClientAuth.REQUIRED}"
        found.error(section.location("client_allowed_sans"), message)
    if names == []:
        found.error(section.location("client_allowed_sans"), "an empty list would let nobody in")
    if authorities is not None:
        try:
            trust_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), authorities)
        except ValueError as error:
            _report(section, "client_ca", error, found)


def _check_versions_and_ciphers(section: Section[TlsServerConfig], found: Diagnostics) -> None:
    settings = section.model
    is_upside_down = settings.min_version is TlsVersion.TLS13 and settings.max_version is TlsVersion.TLS12
    if is_upside_down and not section.is_broken("min_version", "max_version"):
        found.error(section.location("max_version"), "lower than min_version")
    named = settings.cipher_suites or []
    chosen = CIPHERS.keys() & named
    at = section.location("cipher_suites")
    if not chosen.issuperset(named):
        found.warn(at, "suites of TLS 1.3 cannot be chosen: it always offers its own")
    needs_one = settings.min_version is not TlsVersion.TLS13 and not section.is_broken("min_version")
    if named and not chosen and needs_one:
        found.error(at, "no suite of TLS 1.2 is named; set min_version to TLS13 if only TLS 1.3 is meant")
    try:
        set_ciphers(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), named)
    except ValueError as error:
        found.error(at, str(error))


def _report(section: Section[TlsServerConfig], key: str, error: ValueError, found: Diagnostics) -> None:
    """Add what is wrong with a content, at the key that holds it or names its file."""
    path: Path | None = getattr(section.model, f"{key}_file")
    if path is None:
        found.error(section.location(key), str(error))
    else:
        found.error(section.location(f"{key}_file"), f"{error}: {section.written(path, f'{key}_file')}")
