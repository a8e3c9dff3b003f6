"""The files that a configuration names, one by one or by a pattern: which there are, what is wrong."""

from __future__ import annotations

import os
import re
import ssl
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path
from typing import Any, Final

from exporter.config.values import check_credentials, check_password
from exporter.files import read_file, read_text, why_unreadable
from exporter.ontap.endpoint import MAX_SECRET_BYTES

MAX_PEM_BYTES: Final = 16 * 1024 * 1024
_WILDCARDS: Final = re.compile(r"[*?\[]")
_MOST_NAMES: Final = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is wrong with a file, and what is worth a warning. It does not name the file."""

    error: str | None = None
    warning: str | None = None


class NamedFiles:
    """Checks files and remembers the verdicts; made anew for every loading."""

    def __init__(self) -> None:
        self._verdicts: dict[tuple[Any, ...], Verdict] = {}

    def check(self, look: Callable[..., str | None], *paths: Path | None) -> Verdict:
        """Return the verdict of one of the functions ``check_*`` on its files."""
        question = (look, *paths)
        if question not in self._verdicts:
            self._verdicts[question] = _verdict(look, *paths)
        return self._verdicts[question]


def check_password_file(path: Path) -> str | None:
    """Check a file with a password in it; white space around that is left out.

    Returns:
        A warning, as all of these checks do.

    Raises:
        OSError: the file cannot be read.
        ValueError: its content cannot be used; says why, without any of it.
    """
    return _check_secret(path, check_password)


def check_credentials_file(path: Path) -> str | None:
    """Check a file with credentials in it, likewise."""
    return _check_secret(path, check_credentials)


def check_authority(path: Path) -> None:
    """Check a PEM file of authorities to trust."""
    check_readable(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ValueError("no certificate in PEM form that can be trusted") from None


def check_readable(path: Path) -> None:
    """Check that a certificate's file can be read."""
    read_file(path, max_bytes=MAX_PEM_BYTES)


def check_private_key(path: Path) -> str | None:
    """Check that a private key can be read, and that it is not for everyone to read or write."""
    check_readable(path)
    return secret_for_everyone(permissions(path))


def check_chain(certificate: Path, key: Path | None) -> None:
    """Check that a certificate and its key can be shown to a server."""
    load_chain(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate, key)


def check_database(path: Path) -> None:
    """Check that a file of SQLite is there, or that there is a folder for it."""
    if any(character in str(path) for character in "?%"):
        raise ValueError("the path of a state holds neither ? nor %")
    if not path.parent.is_dir():
        is_there = path.parent.exists()
        raise ValueError("its folder is no directory" if is_there else "its folder does not exist")
    if path.exists() and not path.is_file():
        raise ValueError("not a regular file")


def permissions(path: Path) -> int:
    """Return the permission bits of a file; 0 for anything but a regular file."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return 0
    return stat.S_IMODE(mode) if stat.S_ISREG(mode) else 0


def secret_for_everyone(mode: int) -> str | None:
    """Return a warning of permission bits that let everyone read or write a secret; ``None``: they do not."""
    may = {"read": mode & stat.S_IROTH, "write": mode & stat.S_IWOTH}
    verbs = " and ".join(verb for verb, is_allowed in may.items() if is_allowed)
    return f"every user of this machine can {verbs} the secret (mode {mode:04o})" if verbs else None


def file_for_everyone(mode: int) -> str | None:
    """Return a warning of permission bits that let everyone write a file without a secret, likewise."""
    return f"every user of this machine can write the file (mode {mode:04o})" if mode & stat.S_IWOTH else None


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


def _verdict(look: Callable[..., str | None], *paths: Path | None) -> Verdict:
    try:
        return Verdict(warning=look(*paths))
    except (OSError, ValueError) as error:
        return Verdict(error=why_unreadable(error))


def _check_secret(path: Path, check: Callable[[str], str]) -> str | None:
    text = read_text(path, max_bytes=MAX_SECRET_BYTES).strip()
    if not text:
        raise ValueError("the file is empty")
    check(text)
    return secret_for_everyone(permissions(path))


@dataclass(slots=True, kw_only=True)
class Matches:
    """What one pattern matches now."""

    base: Path
    """The folder in front of the first wildcard."""
    files: list[Path] = field(default_factory=list)
    failures: dict[Path, OSError] = field(default_factory=dict)
    """Folders that could not be listed, so that what they hold is not known."""
    names: int = 0
    """How many names were looked at."""


def has_wildcard(pattern: str) -> bool:
    """Whether a pattern can match several files, or none."""
    return _WILDCARDS.search(pattern) is not None


def match_files(pattern: str, folder: Path) -> Matches:
    """Return the files that ``pattern`` matches, from ``folder`` where it is relative.

    A pattern without a wildcard matches its file whether or not it is there. A wildcard matches neither
    folders nor hidden files, and nothing across ``/``.
    """
    base, parts = folder, Path(pattern).parts
    while parts and not has_wildcard(parts[0]):
        base, parts = base / parts[0], parts[1:]
    matches = Matches(base=base)
    if parts:
        matches.files.extend(_expand(base, parts, matches))
        if matches.names > _MOST_NAMES:
            matches.files.clear()
    else:
        matches.files.append(base)
    return matches


def _expand(folder: Path, parts: tuple[str, ...], matches: Matches) -> Iterator[Path]:
    part, rest = parts[0], parts[1:]
    is_match = re.compile(translate(part)).match
    is_hidden_meant = part.startswith(".")
    for entry in _list(folder, matches):
        if is_match(entry.name) is None or (entry.name.startswith(".") and not is_hidden_meant):
            continue
        if _is_folder(entry) is bool(rest):
            path = folder / entry.name
            yield from _expand(path, rest, matches) if rest else [path]


def _list(folder: Path, matches: Matches) -> list[os.DirEntry[str]]:
    if matches.names > _MOST_NAMES:
        return []
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        matches.failures[folder] = error
        return []
    matches.names += len(entries)
    if matches.names > _MOST_NAMES:
        matches.failures[matches.base] = OSError(0, f"more than {_MOST_NAMES} names to look at")
        return []
    return entries


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
