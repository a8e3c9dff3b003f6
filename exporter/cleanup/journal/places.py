"""Where the journal is: the URL of the configuration, read by the parser of the configuration."""

from __future__ import annotations

from pathlib import Path

from exporter.cleanup.journal.journal_errors import JournalError
from exporter.config import DatabaseUrl, PostgresqlUrl, SqliteUrl, parse_database_url

SqlitePlace = SqliteUrl
PostgresqlPlace = PostgresqlUrl
Place = DatabaseUrl


def place_of(url: str) -> Place:
    """Read ``sqlite:///FILE`` or ``postgresql://...``.

    Raises:
        JournalError: it is neither. The message does not repeat the URL, which may hold a password.
    """
    try:
        return parse_database_url(url, Path())
    except ValueError as exc:
        raise JournalError(f"the journal's URL: {exc}") from None
