"""The files that a configuration names: each is looked at once, however many clusters name it."""

from __future__ import annotations

import ssl
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

_LARGEST_SECRET_BYTES: Final = 64 * 1024
_LARGEST_PEM_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is wrong with a file, and what may be; ``None`` where nothing is. It does not name the file."""

    error: str | None = None
    warning: str | None = None


class FileChecks:
    """Looks at files and remembers what it saw; made anew for every loading."""

    def __init__(self) -> None:
        self._verdicts: dict[tuple[str, Path, Path | None], Verdict] = {}

    def secret(self, path: Path, *, check: Callable[[str], str]) -> Verdict:
        """Check a file whose content, white space around it left out, must please ``check``."""
        return self._once(check.__name__, path, None, partial(_check_secret, path, check))

    def certificate_authority(self, path: Path) -> Verdict:
        """Check a PEM file of authorities to trust."""
        return self._once("ca", path, None, partial(_check_authority, path))

    def readable(self, path: Path) -> Verdict:
        """Check that a certificate's file can be read."""
        return self._once("readable", path, None, partial(_check_readable, path))

    def private_key(self, path: Path) -> Verdict:
        """Check that a private key can be read, and that it is not for everyone to read or write."""
        return self._once("key", path, None, partial(_check_private_key, path))

    def certificate_chain(self, certificate: Path, key: Path | None) -> Verdict:
        """Check that a certificate and its key can be shown to a server."""
        return self._once("chain", certificate, key, partial(_check_chain, certificate, key))

    def private(self, path: Path) -> Verdict:
        """Check that a file with secrets in it is not for everyone to read or write."""
        return self._once("private", path, None, partial(_check_private, path))

    def database(self, path: Path) -> Verdict:
        """Check that a file of SQLite is there, or that there is a folder for it."""
        return self._once("database", path, None, partial(_check_database, path))

    def _once(self, kind: str, path: Path, other: Path | None, look: Callable[[], str | None]) -> Verdict:
        question = (kind, path, other)
        if question not in self._verdicts:
            try:
                self._verdicts[question] = Verdict(warning=look())
            except OSError as error:
                # An ssl.SSLError is an OSError too, and has been translated by the one who looked.
                self._verdicts[question] = Verdict(error=f"cannot be read: {error.strerror}")
            except ValueError as error:
                self._verdicts[question] = Verdict(error=str(error))
        return self._verdicts[question]


def _read(path: Path, *, largest_bytes: int) -> tuple[bytes, int]:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file")
    with path.open("rb") as stream:
        content = stream.read(largest_bytes + 1)
    if len(content) > largest_bytes:
        raise ValueError(f"larger than {largest_bytes // 1024} KiB")
    return content, stat.S_IMODE(status.st_mode)


def openness(mode: int) -> str | None:
    """Return what a mode lets everyone do with a secret; ``None``: nothing."""
    may = {"read": mode & stat.S_IROTH, "write": mode & stat.S_IWOTH}
    if not any(may.values()):
        return None
    verbs = " and ".join(verb for verb, is_allowed in may.items() if is_allowed)
    return f"every user of this machine can {verbs} the secret (mode {mode:04o})"


def _check_secret(path: Path, check: Callable[[str], str]) -> str | None:
    content, mode = _read(path, largest_bytes=_LARGEST_SECRET_BYTES)
    try:
        text = content.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    if not text:
        raise ValueError("the file is empty")
    check(text)
    return openness(mode)


def _check_readable(path: Path) -> None:
    _read(path, largest_bytes=_LARGEST_PEM_BYTES)


def _check_private_key(path: Path) -> str | None:
    _, mode = _read(path, largest_bytes=_LARGEST_PEM_BYTES)
    return openness(mode)


def _check_private(path: Path) -> str | None:
    return openness(stat.S_IMODE(path.stat().st_mode))


def _check_database(path: Path) -> None:
    if any(character in str(path) for character in "?%"):
        raise ValueError("the path of a state holds neither ? nor %")
    if not path.parent.is_dir():
        is_there = path.parent.exists()
        raise ValueError("its folder is no directory" if is_there else "its folder does not exist")
    if path.exists() and not path.is_file():
        raise ValueError("not a regular file")


def _check_authority(path: Path) -> None:
    _check_readable(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ValueError("no certificate in PEM form that can be trusted") from None


def _check_chain(certificate: Path, key: Path | None) -> None:
    load_chain(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate, key)


def load_chain(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    """Put a certificate and its key into a context.

    Raises:
        OSError: a file cannot be read.
        ValueError: they cannot be used; says why, without a path.
    """
    passphrases = 0

    def passphrase() -> str:
        # Without this, OpenSSL asks whoever sits at the terminal.
        nonlocal passphrases
        passphrases += 1
        return ""

    try:
        context.load_cert_chain(certificate, key, password=passphrase)
    except ssl.SSLError as error:
        if passphrases:
            raise ValueError("the private key is encrypted; one without a passphrase is expected") from None
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError("the private key does not belong to the certificate") from None
        what = "certificate and private key" if key is None else "certificate, or no private key in key_file,"
        raise ValueError(f"no {what} in PEM form") from None
