"""Where the state is: the address that an operator wrote, read and made fit to be shown (pure)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from exporter.cleanup.journal.journal_errors import JournalError

SQLITE_PREFIX = "sqlite:///"
_HOST = r"(\[[^]@]*\]|[^][:,@]*)(:[0-9]*)?"
_NETLOC = re.compile(rf"([^@]*@)?{_HOST}(,{_HOST})*")


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlitePlace:
    """A file."""

    path: Path

    def __str__(self) -> str:
        """Return the file's path."""
        return str(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresqlPlace:
    """A PostgreSQL database.

    Attributes:
        dsn: a libpq connection URI; it may hold a password.
        shown: the same without password and parameters.
    """

    dsn: str = field(repr=False)
    shown: str

    def __str__(self) -> str:
        """Return the address without its secrets."""
        return self.shown


Place = SqlitePlace | PostgresqlPlace


def place_of(url: str) -> Place:
    """Read ``sqlite:///FILE`` or ``postgresql://...``.

    Raises:
        JournalError: it is neither. The message does not repeat the address, which may hold a password.
    """
    scheme, separator, _ = url.partition("://")
    match scheme + separator:
        case "sqlite://":
            return _sqlite_place(url)
        case "postgresql://" | "postgres://":
            return _postgresql_place(url)
        case _:
            raise JournalError("the state's address begins neither with sqlite:/// nor with postgresql://")


def _sqlite_place(url: str) -> SqlitePlace:
    name = url.removeprefix(SQLITE_PREFIX)
    if name == url or not name or name == ":memory:" or "\0" in name:
        raise JournalError("the state's address names no file: it is sqlite:/// and a path")
    return SqlitePlace(path=Path(name))


def _postgresql_place(url: str) -> PostgresqlPlace:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = None
    # A password with one of these unquoted would end up in the host or the path, and so in messages.
    if parts is None or "#" in url or "@" in parts.path + parts.query or not _NETLOC.fullmatch(parts.netloc):
        raise JournalError(
            "the state's address cannot be read: within a user name or password, write "
            "'#' as %23, '/' as %2F, '?' as %3F, '@' as %40, '[' as %5B and ']' as %5D"
        )
    login, at, hosts = parts.netloc.rpartition("@")
    user = login.partition(":")[0]
    return PostgresqlPlace(dsn=url, shown=f"postgresql://{user}{at}{hosts}{parts.path}")
