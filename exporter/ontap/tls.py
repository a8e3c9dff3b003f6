"""TLS contexts, shared between clusters with equal settings."""

from __future__ import annotations

import asyncio
import ssl
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from exporter.ontap.endpoint import Tls, TlsVersion
from exporter.ontap.errors import TlsFailed

_Version = tuple[int, int, int, int]
_Versions = tuple[_Version, ...]
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
    """Builds each context once, and anew when a file that it was built from has changed.

    The name that a certificate must bear is no part of a context, so clusters that differ in nothing else
    share one. Building takes tens of milliseconds where the system's authorities are read: a thread does it.
    """

    def __init__(self) -> None:
        self._built: dict[Tls, _Built] = {}
        self._building: dict[tuple[Tls, _Versions], asyncio.Future[ssl.SSLContext]] = {}

    async def context(self, tls: Tls) -> ssl.SSLContext:
        """Return the context of these settings; who asks for one that is being built waits for that one.

        Raises:
            TlsFailed: a file cannot be read, or holds no certificate or key.
        """
        shared = _shared(tls)
        try:
            versions = tuple(map(_version, shared.files))
            built = self._built.get(shared)
            if built is not None and built.versions == versions:
                return built.context
            return await asyncio.shield(self._build(shared, versions))
        except OSError as exc:
            raise TlsFailed(f"the TLS settings cannot be used: {exc}") from exc

    def keep(self, in_use: Iterable[Tls]) -> None:
        """Drop the contexts of all other settings; who still asks for one has it built anew."""
        wanted = set(map(_shared, in_use))
        self._built = {tls: built for tls, built in self._built.items() if tls in wanted}

    def _build(self, tls: Tls, versions: _Versions) -> asyncio.Future[ssl.SSLContext]:
        building = self._building.get((tls, versions))
        if building is None:

            def note(done: asyncio.Future[ssl.SSLContext]) -> None:
                del self._building[tls, versions]
                if not done.cancelled() and done.exception() is None:
                    self._built[tls] = _Built(context=done.result(), versions=versions)

            building = asyncio.get_running_loop().run_in_executor(None, build_context, tls)
            self._building[tls, versions] = building
            building.add_done_callback(note)
        return building


@dataclass(frozen=True, slots=True, kw_only=True)
class _Built:
    """A context, and of which versions of its files it was built."""

    context: ssl.SSLContext
    versions: _Versions


def _shared(tls: Tls) -> Tls:
    """Return what all settings have in common that lead to the same context."""
    return tls if tls.server_name is None else replace(tls, server_name=None)


def _version(file: Path) -> _Version:
    """Return what differs once the file has been replaced or written to.

    Raises:
        OSError: the file is not there, or is something that could be waited for without end.
    """
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{file}: not a regular file")
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
