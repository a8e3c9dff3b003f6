"""Certificates and private keys in PEM form, from a file or from the configuration, put into TLS contexts."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from exporter.files import check_encoding, read_file

MAX_PEM_BYTES: Final = 16 * 1024 * 1024
_NO_KEY: Final = "no private key in PEM form"
_ENCRYPTED_KEY: Final = re.compile(
    r"^(-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED)", re.MULTILINE
)
_ENCRYPTED: Final = "the private key is encrypted; one without a passphrase is expected"


class BadKeyError(ValueError):
    """The private key cannot be used, whatever the certificate is."""


def read_pem(path: Path) -> str:
    """Return the text of a PEM file; comments between the certificates may be in any language.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a regular file, too large, or UTF-16. The message does not repeat the path.
    """
    content = read_file(path, max_bytes=MAX_PEM_BYTES)
    check_encoding(content)
    return content.decode("ascii", "ignore")  # a byte order mark goes too


def trust(context: ssl.SSLContext, authorities: str) -> None:
    """Trust the certificates in a text, and what they have signed; raise ValueError if there is none."""
    try:
        context.load_verify_locations(cadata=authorities.encode("ascii", "ignore").decode())
    except (ssl.SSLError, ValueError):
        raise ValueError("no certificate in PEM form that can be trusted") from None


def load_chain(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    """Put a certificate and its key into a context; without ``key``, both are in ``certificate``.

    Raises:
        BadKeyError: the key cannot be used; says why.
        ValueError: the certificate cannot be used, or is not the key's; says why.
    """
    no_passphrase = str  # without it, OpenSSL asks whoever sits at the terminal
    try:
        with _as_file(certificate) as certificate_file, _as_file(key or certificate) as key_file:
            context.load_cert_chain(certificate_file, key_file, password=no_passphrase)
    except ssl.SSLError as error:
        if _ENCRYPTED_KEY.search(key or certificate):
            raise BadKeyError(_ENCRYPTED) from None
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError("the private key does not belong to the certificate") from None
        if not _has_certificate(certificate):
            what = "certificate" if key is not None else "certificate and private key"
            raise ValueError(f"no {what} in PEM form") from None
        raise BadKeyError(_NO_KEY) from None


def _has_certificate(text: str) -> bool:
    try:
        trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), text)
    except ValueError:
        return False
    return True


@contextmanager
def _as_file(text: str) -> Iterator[Path]:
    """Yield a file in memory: OpenSSL reads certificates only from files, and a key must not be on a disk."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as stream:
            stream.write(text.encode())
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
