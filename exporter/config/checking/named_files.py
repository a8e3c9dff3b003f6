"""The files that a configuration names, one by one or by a pattern: which there are, what is wrong."""

from __future__ import annotations

import errno
import os
import re
import ssl
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path
from typing import Final

from exporter.config.plan_file import load_plan
from exporter.config.problems import Problem, SourceLocation
from exporter.files import why_unreadable
from exporter.ontap import cluster_settings
from exporter.ontap.cluster_settings import read_secret_file
from exporter.pem import BadKeyError, load_chain, read_pem, trust

_WILDCARDS: Final = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCheck:
    """What is wrong with a file, and what is worth a warning. It does not name the file."""

    error: str | None = None
    warning: str | None = None
    is_about_key: bool = False
    """Whether the error is about a private key, not about its certificate."""


CheckFile = Callable[..., FileCheck]
""":func:`check_file`, or that in a cache, so that a file which many clusters name is checked once."""


def check_file(look: Callable[..., str | None], *content: Path | str | None) -> FileCheck:
    """Return what one of the functions ``check_*`` says of its files."""
    try:
        return FileCheck(warning=look(*content))
    except (OSError, ValueError) as error:
        return FileCheck(error=why_unreadable(error), is_about_key=isinstance(error, BadKeyError))


# Each of these checks returns a warning, if there is one, and raises OSError or ValueError, which says why
# the file cannot be used, without its content.


def check_secret(path: Path, check: Callable[[str], str] = str) -> str | None:
    """Check a file with a secret in it; ``check`` raises ValueError for a secret that cannot be used."""
    check(read_secret_file(path))
    return secret_for_everyone(permissions(path))


def check_username(path: Path) -> None:
    """Check a file with a user name in it, which is no secret."""
    cluster_settings.check_username(read_secret_file(path))


def check_authority(pem: Path | str) -> None:
    """Check authorities to trust, in PEM form."""
    trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), _text(pem))


def check_readable(path: Path) -> None:
    """Check that a certificate's file can be read."""
    read_pem(path)


def check_private_key(path: Path) -> str | None:
    """Check that a private key can be read, and that it is not for everyone to read or write."""
    read_pem(path)
    return secret_for_everyone(permissions(path))


def check_chain(certificate: Path | str, key: Path | str | None) -> None:
    """Check that a certificate and its key can be shown to a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    load_chain(context, _text(certificate), None if key is None else _text(key))


def check_saved_plan(path: Path) -> str | None:
    """Warn if there is no saved plan; no error, since the first one has yet to be saved."""
    try:
        load_plan(path)
    except ValueError as error:
        return f"{error}, so nothing is deleted until a plan is saved there"
    return None


def check_database(path: Path) -> str | None:
    """Check that a file of SQLite is there, or that there is a folder for it.

    A folder that is missing or cannot be searched is only a warning: its volume may not be mounted yet.
    """
    if any(character in str(path) for character in "?%"):  # the folder's path may have one
        raise ValueError("the path of the journal must not contain ? or %")
    try:
        if not path.parent.exists():
            return "its folder does not exist, so nothing is deleted until it does"
        if not path.parent.is_dir():
            raise ValueError("its folder is no directory")
        if path.exists() and not path.is_file():
            raise ValueError("not a regular file")
    except OSError as exc:
        if exc.errno == errno.ENAMETOOLONG:
            raise
        return f"its folder cannot be searched ({exc.strerror}), so nothing is deleted until it can"
    return None


def permissions(path: Path) -> int:
    """Return the permission bits of a file; 0 for anything but a regular file."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return 0
    return stat.S_IMODE(mode) if stat.S_ISREG(mode) else 0


def secret_for_everyone(mode: int) -> str | None:
    """Return a warning of permission bits that let everyone read or write a secret; None: they do not."""
    may = {"read": mode & stat.S_IROTH, "write": mode & stat.S_IWOTH}
    verbs = " and ".join(verb for verb, is_allowed in may.items() if is_allowed)
    return f"every user of this machine can {verbs} the secret (mode {mode:04o})" if verbs else None


def file_for_everyone(mode: int) -> str | None:
    """Return a warning of permission bits that let everyone write a file without a secret, likewise."""
    return f"every user of this machine can write the file (mode {mode:04o})" if mode & stat.S_IWOTH else None


def _text(pem: Path | str) -> str:
    return read_pem(pem) if isinstance(pem, Path) else pem


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One entry of ``cluster_files``."""

    pattern: str
    location: SourceLocation
    written: str | None
    """The text in the file, where the pattern holds environment variables: messages quote this instead."""

    def displayed(self, path: Path) -> str:
        """Return a path that this pattern has led to, for messages."""
        return str(path) if self.written is None else self.written

    @property
    def has_wildcard(self) -> bool:
        """Whether the pattern can match several files, or none."""
        return _WILDCARDS.search(self.pattern) is not None


@dataclass(slots=True, kw_only=True)
class Matched:
    """The cluster files that the patterns match at one moment."""

    files: dict[Path, Pattern] = field(default_factory=dict)
    """Each once, with the first pattern, however many patterns and links lead to it."""
    unlisted: dict[Path, Problem] = field(default_factory=dict)
    """Folders that could not be listed: whether their files are still there is not known."""
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def why_unknown(self, path: Path) -> Problem | None:
        """Return why a file is neither matched nor known to be gone; None: it is gone."""
        return next((why for folder, why in self.unlisted.items() if folder in path.parents), None)


def match_patterns(patterns: Iterable[Pattern], main: Path) -> Matched:
    """Return the files that the patterns of the configuration file ``main`` match.

    A relative pattern begins in the folder of ``main``. One without a wildcard matches its file whether or
    not it is there. A wildcard matches neither folders nor hidden files, and nothing across ``/``.
    """
    matched = Matched()
    own, known = os.path.realpath(main), set[str]()
    for pattern in patterns:
        for path in _match(pattern, main.parent, matched):
            real = os.path.realpath(path)
            if not str(path).isprintable():
                message = f"a file's name is not printable: {pattern.displayed(path)!a}"
                matched.errors.append(pattern.location.problem(message))
            elif real == own:
                message = f"matches the configuration file itself: {pattern.displayed(path)}"
                matched.errors.append(pattern.location.problem(message))
            elif real not in known:
                matched.files[path] = pattern
                known.add(real)
    return matched


def _match(pattern: Pattern, folder: Path, matched: Matched) -> list[Path]:
    base, parts = folder, Path(pattern.pattern).parts
    while parts and not _WILDCARDS.search(parts[0]):
        base, parts = base / parts[0], parts[1:]
    if not parts:
        return [base]
    failures: dict[Path, OSError] = {}
    files = list(_expand(base, parts, failures))
    for unlisted, error in failures.items():
        shown = pattern.displayed(unlisted)
        problem = pattern.location.problem(f"cannot be read: {error.strerror}: {shown}")
        if not isinstance(error, FileNotFoundError):
            matched.unlisted[unlisted] = problem
            matched.errors.append(problem)
        elif unlisted == base:
            matched.unlisted[unlisted] = problem
            message = f"matches no file; there is no folder {shown}"
            matched.warnings.append(pattern.location.problem(message))
        # Any other folder has just been listed: it has gone since, and its files with it.
    if not files and not failures:
        matched.warnings.append(pattern.location.problem("matches no file"))
    return files


def _expand(folder: Path, parts: tuple[str, ...], failures: dict[Path, OSError]) -> Iterator[Path]:
    part, rest = parts[0], parts[1:]
    is_match = re.compile(translate(part)).match
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        failures[folder] = error
        return
    for entry in entries:
        is_hidden = entry.name.startswith(".") and not part.startswith(".")
        if is_match(entry.name) is None or is_hidden or _is_folder(entry) is not bool(rest):
            continue
        path = folder / entry.name
        yield from _expand(path, rest, failures) if rest else [path]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
