"""The URL of the cleanup's journal: a file of SQLite, or a database of PostgreSQL.

In the configuration, it stands under the key ``state``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote_plus

from exporter.config.reading.values import parse_address

DEFAULT_DATABASE_URL: Final = "sqlite:///state.db"

_SQLITE: Final = "sqlite:///"
_IN_MEMORY: Final = frozenset({"sqlite://", _SQLITE, f"{_SQLITE}:memory:"})
_UNSAFE: Final = re.compile(r"[\s\0-\x1f\x7f-\x9f]|%(?![0-9A-Fa-f]{2})|%00")
_NOT_IN_PATHS: Final = re.compile(r"[?%\0-\x1f\x7f-\x9f]")
_POSTGRESQL: Final = re.compile(
    r"""postgresql://
    (?:(?P<user>[^:/?\#@\[\]]+)(?::(?P<password>[^/?\#@\[\]]+))?@)?
    (?P<hosts>[^/?\#@]*)
    /(?P<database>[^/?\#@]+)
    (?:\?(?P<parameters>[^\#@=&]+=[^\#@&]*(?:&[^\#@=&]+=[^\#@&]*)*))?""",
    re.VERBOSE,
)
# Displayed as they are; what another parameter of a connection holds may be a secret.
_OPEN_PARAMETERS: Final = frozenset(
    {
        *("application_name", "connect_timeout", "database", "dbname", "host", "passfile", "port"),
        *("search_path", "service", "sslcert", "sslcrl", "sslkey", "sslmode", "sslrootcert"),
        *("target_session_attrs", "user"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteUrl:
    """A file of SQLite."""

    path: Path
    """Absolute if the folder given to :func:`parse_database_url` is."""

    @property
    def dsn(self) -> str:
        """The whole URL."""
        return f"{_SQLITE}{self.path}"

    def __str__(self) -> str:
        """Return the file's path."""
        return str(self.path)

    def masked(self, _mask: str) -> str:
        """Return the URL, which holds no secret."""
        return self.dsn


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresqlUrl:
    """A database of PostgreSQL."""

    dsn: str = field(repr=False)
    """The whole URL, which libpq reads; it may hold a password."""

    def __str__(self) -> str:
        """Return the URL without password and parameters."""
        return self._without_parameters(password="")

    def masked(self, mask: str) -> str:
        """Return the URL with ``mask`` in place of what may be secret."""
        match = _matched(self.dsn)
        url = self._without_parameters(password=f":{mask}" if match["password"] else "")
        names = [(one, one.partition("=")[0]) for one in (match["parameters"] or "").split("&") if one]
        shown = [one if unquote_plus(name) in _OPEN_PARAMETERS else f"{name}={mask}" for one, name in names]
        return f"{url}?{'&'.join(shown)}" if shown else url

    @property
    def has_password(self) -> bool:
        """Whether the login has one; a parameter may hold another secret."""
        return _matched(self.dsn)["password"] is not None

    def _without_parameters(self, *, password: str) -> str:
        match = _matched(self.dsn)
        login = f"{match['user']}{password}@" if match["user"] else ""
        return f"postgresql://{login}{match['hosts']}/{match['database']}"


DatabaseUrl = SqliteUrl | PostgresqlUrl


def parse_database_url(text: str, folder: Path) -> DatabaseUrl:
    """Return the database of ``sqlite:///FILE``, relative to ``folder``, or ``postgresql://user@host/database``.

    Raises:
        ValueError: it names none that survives the program; the message holds nothing of ``text``, where a
            password may be.
    """
    if text in _IN_MEMORY:
        raise ValueError("the journal must survive a restart, so it needs a file; write sqlite:///state.db")
    if text.startswith(_SQLITE):
        path = text.removeprefix(_SQLITE)
        if _NOT_IN_PATHS.search(path):
            raise ValueError("the path of the journal must not contain ?, % or a control character")
        if path.rpartition("/")[2] in ("", ".", ".."):
            raise ValueError("a file is expected, not a folder; write sqlite:////folder/state.db")
        return SqliteUrl(path=folder / path)
    if text.startswith("sqlite://"):
        raise ValueError("sqlite has no host; write sqlite:///state.db, or sqlite:////folder/state.db")
    if not text.startswith("postgresql://"):
        raise ValueError("write sqlite:///state.db or postgresql://user@host/database")
    hosts = _matched(text)["hosts"]
    for host in hosts.split(",") if hosts else ():
        try:
            parse_address(host)
        except ValueError:
            raise ValueError(
                "behind postgresql://, host names or IP addresses, each maybe with a port from 1 to 65535"
            ) from None
    return PostgresqlUrl(dsn=text)


def _matched(url: str) -> re.Match[str]:
    match = _POSTGRESQL.fullmatch(url)
    if match is None or _UNSAFE.search(url):
        raise ValueError(
            "write postgresql://user:password@host:port/database; in a password,"
            " %40 for @ and so on for all that is neither a letter nor a digit"
        )
    return match
