"""Builds Python's ``ssl`` context from the configured TLS, and reads the names in a client's certificate."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Final

from exporter.pem import load_chain, trust
from exporter.web.auth.toolkit_schema import CIPHERS, CURVES, ClientAuth, TlsServerConfig

_NO_CHECK_TIME: Final = 0x200000
"""OpenSSL's ``X509_V_FLAG_NO_CHECK_TIME``, for which Python has no name."""
_VERIFY: Final = {
    ClientAuth.NONE: ssl.CERT_NONE,
    ClientAuth.IF_GIVEN: ssl.CERT_OPTIONAL,
    ClientAuth.REQUIRED: ssl.CERT_REQUIRED,
}


def build_context(tls: TlsServerConfig) -> ssl.SSLContext:
    """Build a server's context from settings that hold the contents of the files.

    Raises:
        BadKeyError: the key cannot be used; the message says why.
        ValueError: certificate or authorities cannot be used, or the certificate is not valid now; says why.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = tls.cert or ""
    load_chain(context, certificate, tls.key)
    _check_dates(context, certificate)
    context.minimum_version = tls.min_version.in_ssl
    context.maximum_version = tls.max_version.in_ssl
    set_ciphers(context, tls.cipher_suites or ())
    if tls.curve_preferences:
        context.set_ecdh_curve(CURVES[tls.curve_preferences[0]])
    if tls.prefer_server_cipher_suites:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if tls.client_auth_type is not ClientAuth.NONE:
        trust_authorities(context, tls.client_ca or "")
    context.verify_mode = _VERIFY[tls.client_auth_type]
    return context


def set_ciphers(context: ssl.SSLContext, suites: Sequence[str]) -> None:
    """Offer those of these suites, by Go's names, that are for TLS 1.2; without one, OpenSSL's own choice.

    Raises:
        ValueError: this system has none of them.
    """
    chosen = [CIPHERS[name] for name in suites if name in CIPHERS]
    if not chosen:
        return
    try:
        context.set_ciphers(":".join(chosen))
    except ssl.SSLError:
        raise ValueError("this system's OpenSSL has none of these suites") from None


def trust_authorities(context: ssl.SSLContext, authorities: str) -> None:
    """Trust clients' certificates of these authorities.

    Raises:
        ValueError: there is none.
    """
    trust(context, authorities)
    # As in Go: what the file holds is trusted, whether it is a root or signed by another one.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def subject_alternative_names(certificate: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield the names, addresses and URIs of a client's certificate, as ``ssl`` gives it."""
    for kind, value in (certificate or {}).get("subjectAltName", ()):
        match kind:
            case "DNS" | "email" | "URI":
                yield value
            case "IP Address":
                with suppress(ValueError):
                    yield str(ip_address(value.strip()))
            case _:
                pass  # no other kind can be allowed


def _check_dates(context: ssl.SSLContext, certificate_pem: str) -> None:
    """Check that a server's certificate is valid now; its dates are read by a handshake in memory.

    They stay unchecked if Python refuses the certificate for a server: then its clients decide.

    Raises:
        ValueError: it has expired, or is not valid yet.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    trust(client, certificate_pem)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = client.wrap_bio(to_client, to_server)
    server_side = context.wrap_bio(to_server, to_client, server_side=True)
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
