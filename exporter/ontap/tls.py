"""TLS contexts, shared between clusters with equal settings."""

from __future__ import annotations

import ssl

from exporter.ontap.endpoint import Tls, TlsVersion
from exporter.ontap.errors import TlsFailed

_VERSIONS = {TlsVersion.TLS12: ssl.TLSVersion.TLSv1_2, TlsVersion.TLS13: ssl.TLSVersion.TLSv1_3}


def build_context(tls: Tls) -> ssl.SSLContext:
    """Build a client context.

    A certificate in ``ca_file`` is trusted whether it is an authority's or a cluster's own, and the
    checks that Python 3.13 adds for an authority's extensions are off: ONTAP signs its own certificates.

    Raises:
        OSError: a file cannot be read (:class:`ssl.SSLError`: or holds no certificate or key).
    """
    context = ssl.create_default_context(cafile=tls.ca_file)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.minimum_version = _VERSIONS[tls.min_version]
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context


class TlsContexts:
    """Builds each context once."""

    def __init__(self) -> None:
        self._contexts: dict[Tls, ssl.SSLContext] = {}

    def context(self, tls: Tls) -> ssl.SSLContext:
        """Return the context of these settings.

        Raises:
            TlsFailed: a file cannot be read, or holds no certificate or key.
        """
        context = self._contexts.get(tls)
        if context is None:
            try:
                context = build_context(tls)
            except OSError as exc:
                raise TlsFailed(f"the TLS settings cannot be used: {exc}") from exc
            self._contexts[tls] = context
        return context
