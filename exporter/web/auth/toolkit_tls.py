"""Reads ``tls_server_config``: its values, the files that it names, and the ``ssl`` context made of them."""

from __future__ import annotations

import platform
import ssl
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from exporter.config.checking.named_files import FileCheck, check_file
from exporter.config.checking.section_checks import check_section
from exporter.config.problems import Diagnostics
from exporter.config.sections import Section
from exporter.files import why_unreadable
from exporter.ontap.cluster_settings import TlsVersion
from exporter.pem import BadKeyError, load_chain, read_pem, trust
from exporter.web.auth.toolkit_schema import CIPHERS, CURVES, ClientAuth, TlsServerConfig

_NO_CHECK_TIME: Final = 0x200000
"""OpenSSL's ``X509_V_FLAG_NO_CHECK_TIME``, for which Python has no name."""
_VERIFY: Final = {
    ClientAuth.NONE: ssl.CERT_NONE,
    ClientAuth.IF_GIVEN: ssl.CERT_OPTIONAL,
    ClientAuth.REQUIRED: ssl.CERT_REQUIRED,
}


def read_tls(
    section: Section[TlsServerConfig], found: Diagnostics
) -> tuple[TlsServerConfig, ssl.SSLContext] | None:
    """Return the settings with the contents of their files, and the context; None if there is a mistake."""
    before = len(found.errors)
    check_section(section, check_file, found)
    for name in ("cert", "key"):
        is_there = section.has(name) or section.has(f"{name}_file")
        if not is_there and not section.is_broken(name, f"{name}_file"):
            found.error(section.location(), f"{name}_file is missing")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _set_clients(context, section, found)
    _set_versions(context, section, found)
    _set_ciphers(context, section, found)
    if section.is_broken(*TlsServerConfig.model_fields) or len(found.errors) > before:
        return None
    try:
        tls = _with_contents(section.model)
        load_chain(context, tls.cert or "", tls.key)
        _check_dates(tls.cert or "", tls.key)
        if tls.client_ca is not None:
            trust(context, tls.client_ca)
    except (OSError, ValueError) as error:
        key = "key" if isinstance(error, BadKeyError) else "cert"
        named = key if section.has(key) else f"{key}_file"
        source = getattr(section.model, named)
        section.add_file_check(found, FileCheck(error=why_unreadable(error)), source, named)
        return None
    return tls, context


def _with_contents(tls: TlsServerConfig) -> TlsServerConfig:
    """Return the settings with the contents of the files in place of their names."""
    update: dict[str, str | None] = {}
    for key in ("cert", "key", "client_ca"):
        path: Path | None = getattr(tls, f"{key}_file")
        if path is not None:
            update |= {key: read_pem(path), f"{key}_file": None}
    return tls.model_copy(update=update)


def _set_clients(context: ssl.SSLContext, section: Section[TlsServerConfig], found: Diagnostics) -> None:
    """Set whether clients need a certificate."""
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
    # As in Go: what the file holds is trusted, whether it is a root or signed by another one.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_mode = _VERIFY[settings.client_auth_type]


def _set_versions(context: ssl.SSLContext, section: Section[TlsServerConfig], found: Diagnostics) -> None:
    lowest, highest = section.model.min_version, section.model.max_version
    is_upside_down = lowest is TlsVersion.TLS13 and highest is TlsVersion.TLS12
    if is_upside_down and not section.is_broken("min_version", "max_version"):
        found.error(section.location("max_version"), "lower than min_version")
    context.minimum_version = lowest.in_ssl
    context.maximum_version = highest.in_ssl


def _set_ciphers(context: ssl.SSLContext, section: Section[TlsServerConfig], found: Diagnostics) -> None:
    """Set the suites of TLS 1.2 and the curve; without them, OpenSSL chooses."""
    settings = section.model
    named = settings.cipher_suites or []
    chosen = [CIPHERS[name] for name in named if name in CIPHERS]
    at = section.location("cipher_suites")
    if len(chosen) < len(named):
        found.warn(at, "suites of TLS 1.3 cannot be chosen: it always offers its own")
    needs_one = settings.min_version is not TlsVersion.TLS13 and not section.is_broken("min_version")
    if named and not chosen and needs_one:
        found.error(at, "no suite of TLS 1.2 is named; set min_version to TLS13 if only TLS 1.3 is meant")
    if chosen:
        try:
            context.set_ciphers(":".join(chosen))
        except ssl.SSLError:
            found.error(at, "this system's OpenSSL has none of these suites")
    if settings.prefer_server_cipher_suites:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    for curve in settings.curve_preferences or ():
        try:
            context.set_ecdh_curve(CURVES[curve])
        except (ssl.SSLError, ValueError):  # some versions of Python accept only NIST curves
            message = f"Python {platform.python_version()} on this system cannot require {curve}; "
            message += "without curve_preferences, OpenSSL chooses, X25519 first"
            found.error(section.location("curve_preferences"), message)


def _check_dates(certificate: str, key: str | None) -> None:
    """Check that a server's certificate is valid now; its dates are read by a handshake in memory.

    They stay unchecked if Python refuses the certificate for a server: then its clients decide.

    Raises:
        ValueError: it has expired, or is not valid yet.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_chain(server, certificate, key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    trust(client, certificate)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = client.wrap_bio(to_client, to_server)
    server_side = server.wrap_bio(to_server, to_client, server_side=True)
    try:
        for side in (client_side, server_side, client_side):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLCertVerificationError:
        return
    dates = client_side.getpeercert() or {}
    now, begin, end = time.time(), str(dates["notBefore"]), str(dates["notAfter"])
    if now > ssl.cert_time_to_seconds(end):
        raise ValueError(f"the certificate has expired, it was valid until {end}")
    if now < ssl.cert_time_to_seconds(begin):
        raise ValueError(f"the certificate is not valid yet, but from {begin} on")
