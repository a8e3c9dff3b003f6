"""Builds Python's ``ssl`` context from the configured TLS, and reads the names in a client's certificate."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any, Final

from exporter.pem import load_chain, trust
from exporter.web.auth.web_config import ClientAuth, ServerTls

_KEY_EXCHANGES: Final = ("ECDSA", "RSA")
CIPHERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        f"TLS_ECDHE_{signature}_WITH_{name}": f"ECDHE-{signature}-{openssl}"
        for signature in _KEY_EXCHANGES
        for name, openssl in (
            ("AES_128_CBC_SHA", "AES128-SHA"),
            ("AES_256_CBC_SHA", "AES256-SHA"),
            ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
            ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
            ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
        )
    }
)
"""OpenSSL's names of the suites that Go's ``tls.CipherSuites`` has for TLS 1.2."""
TLS13_CIPHERS: Final = frozenset(
    {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
)
"""The suites that TLS 1.3 always offers, in Go and in Python."""
CURVES: Final[Mapping[str, str]] = MappingProxyType(
    {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}
)
"""OpenSSL's names of the curves that exporter-toolkit knows."""
_NO_CHECK_TIME: Final = 0x200000
"""OpenSSL's ``X509_V_FLAG_NO_CHECK_TIME``, for which Python has no name."""
_VERIFY: Final = {
    ClientAuth.NONE: ssl.CERT_NONE,
    ClientAuth.IF_GIVEN: ssl.CERT_OPTIONAL,
    ClientAuth.REQUIRED: ssl.CERT_REQUIRED,
}


def build_context(tls: ServerTls) -> ssl.SSLContext:
    """Build a server's context.

    Raises:
        BadKeyError: the key cannot be used; the message says why.
        ValueError: certificate or authorities cannot be used, or the certificate is not valid now; says why.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_chain(context, tls.certificate_pem, tls.key_pem)
    _check_dates(context, tls.certificate_pem)
    context.minimum_version = tls.min_version.in_ssl
    context.maximum_version = tls.max_version.in_ssl
    if tls.ciphers:
        set_ciphers(context, tls.ciphers)
    if tls.curve is not None:
        context.set_ecdh_curve(tls.curve)
    if tls.prefer_server_ciphers:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if tls.client_auth is not ClientAuth.NONE:
        trust_authorities(context, tls.client_ca_pem)
    context.verify_mode = _VERIFY[tls.client_auth]
    return context


def set_ciphers(context: ssl.SSLContext, ciphers: tuple[str, ...]) -> None:
    """Offer these suites for TLS 1.2, by OpenSSL's names.

    Raises:
        ValueError: this system has none of them.
    """
    try:
        context.set_ciphers(":".join(ciphers))
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


def takes_curve(openssl_name: str) -> bool:
    """Say whether this Python can require a curve: some versions accept only NIST curves."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ecdh_curve(openssl_name)
    except (ssl.SSLError, ValueError):
        return False
    return True


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
    """Check that a server's certificate is valid now; a handshake in memory tells its dates.

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
    for side in (client_side, server_side, client_side):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    dates = client_side.getpeercert() or {}
    now, begin, end = time.time(), str(dates["notBefore"]), str(dates["notAfter"])
    if now > ssl.cert_time_to_seconds(end):
        raise ValueError(f"the certificate has expired, it was valid until {end}")
    if now < ssl.cert_time_to_seconds(begin):
        raise ValueError(f"the certificate is not valid yet, but from {begin} on")
