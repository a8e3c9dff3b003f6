"""TLS contexts, shared between clusters with equal settings."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from exporter.ontap.endpoint import Tls, TlsVersion
from exporter.ontap.errors import TlsFailed

_Version = tuple[int, int, int, int]
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
    """Builds each context once, and anew when a file that it was built from has changed."""

    def __init__(self) -> None:
        self._built: dict[Tls, _Built] = {}

    def context(self, tls: Tls) -> ssl.SSLContext:
        """Return the context of these settings.

        Raises:
            TlsFailed: a file cannot be read, or holds no certificate or key.
        """
        built = self._built.get(tls)
        try:
            versions = tuple(map(_version, tls.files))
            if built is None or built.versions != versions:
                built = self._built[tls] = _Built(context=build_context(tls), versions=versions)
        except OSError as exc:
            raise TlsFailed(f"the TLS settings cannot be used: {exc}") from exc
        return built.context


@dataclass(frozen=True, slots=True, kw_only=True)
class _Built:
    """A context, and of which versions of its files it was built."""

    context: ssl.SSLContext
    versions: tuple[_Version, ...]


def _version(file: Path) -> _Version:
    """Return what differs once the file has been replaced or written to.

    Raises:
        OSError: the file is not there.
    """
    status = file.stat()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
