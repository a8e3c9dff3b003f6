"""TLS contexts, shared between clusters with equal settings.

Threads check the files and build the contexts: a disk that does not answer must delay no other cluster.
"""

from __future__ import annotations

import ssl
import stat
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from exporter.background import REFRESH_TIMEOUT_SECONDS, Refreshed
from exporter.ontap.cluster_settings import Tls
from exporter.ontap.errors import TlsFailed
from exporter.pem import BadKeyError, load_chain, read_pem, trust

CHECK_SECONDS = 1.0
"""How long a context is used before its files are checked again."""

_FileVersion = tuple[int, int, int, int]


def build_context(tls: Tls) -> ssl.SSLContext:
    """Build a client context; may block.

    A certificate in ``ca_file`` is trusted whether it belongs to an authority or to a cluster. The stricter
    checks of Python 3.13 are off. Both are necessary because ONTAP's own certificates are self-signed.

    Raises:
        OSError: a file cannot be read.
        ValueError: it holds no certificate or key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if (authorities := _text(tls.ca, tls.ca_file)) is None:
        context.load_default_certs()
    else:
        trust(context, authorities)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.minimum_version = tls.min_version.in_ssl
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if (certificate := _text(tls.cert, tls.cert_file)) is not None:
        key = _text(None if tls.key is None else tls.key.value, tls.key_file)
        try:
            load_chain(context, certificate, key)
        except ValueError as exc:
            named = tls.key_file if isinstance(exc, BadKeyError) and key is not None else tls.cert_file
            raise ValueError(f"{named}: {exc}" if named else str(exc)) from None
    return context


def _text(text: str | None, file: Path | None) -> str | None:
    """Return a text in PEM form, or that of its file; None if there is neither."""
    if file is None:
        return text
    try:
        return read_pem(file)
    except ValueError as exc:
        raise ValueError(f"{file}: {exc}") from None


class _Builder:
    """Builds the context of some settings, and again only if one of their files has changed."""

    def __init__(self, build: Callable[[Tls], ssl.SSLContext], tls: Tls) -> None:
        self._build = build
        self._tls = tls
        self._built: tuple[tuple[_FileVersion, ...], ssl.SSLContext] | None = None

    def context(self) -> ssl.SSLContext:
        files = tuple(map(_version, self._tls.files))
        if self._built is None or self._built[0] != files:
            self._built = files, self._build(self._tls)
        return self._built[1]


class TlsContexts:
    """Builds each context once, and again when one of its files has changed.

    The name that a certificate must have is not part of a context. Clusters that differ only in this name
    share a context.

    Args:
        build: builds a context, in a thread.
        check_seconds: how long a context is used before its files are checked again.
    """

    def __init__(
        self,
        *,
        build: Callable[[Tls], ssl.SSLContext] = build_context,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        self._build = build
        self._check_seconds = check_seconds
        self._contexts: dict[Tls, Refreshed[ssl.SSLContext]] = {}

    async def context(self, tls: Tls) -> ssl.SSLContext:
        """Return the context for these settings; callers that wait for it at the same time share it.

        Raises:
            TlsFailed: a file cannot be read, or holds no certificate or key.
        """
        shared = _shared(tls)
        if (context := self._contexts.get(shared)) is None:
            context = self._contexts[shared] = Refreshed(
                _Builder(self._build, shared).context,
                name="TLS files",
                max_age_seconds=self._check_seconds if shared.files else float("inf"),
                refresh_timeout_seconds=REFRESH_TIMEOUT_SECONDS,
            )
        try:
            return await context.get()
        except (OSError, ValueError) as exc:
            raise TlsFailed(f"the TLS settings cannot be used: {exc}") from exc

    def recheck(self, tls: Tls) -> None:
        """Check the files before their context is used the next time."""
        if (context := self._contexts.get(_shared(tls))) is not None:
            context.expire()

    def keep(self, in_use: Iterable[Tls]) -> None:
        """Drop the contexts of all other settings."""
        wanted = set(map(_shared, in_use))
        self._contexts = {tls: context for tls, context in self._contexts.items() if tls in wanted}


def _shared(tls: Tls) -> Tls:
    """Return the settings that decide about the context: all but the server's name."""
    return tls if tls.server_name is None else replace(tls, server_name=None)


def _version(file: Path) -> _FileVersion:
    """Return values that change when the file is replaced or written to."""
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{file}: not a regular file")
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
