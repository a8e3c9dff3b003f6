"""Makes the tables of a new journal, and refuses tables of another revision.

A change of the tables counts ``REVISION`` up, and updates those of the revision before in :func:`migrate`.
"""

from __future__ import annotations

from sqlalchemy import Connection, insert, inspect, select

from exporter.cleanup.journal.journal_errors import JournalError, SchemaChangedError
from exporter.cleanup.journal.tables import CONTROL, METADATA, SCHEMA_VERSION

REVISION = "0001"
LOCK_KEY = int.from_bytes(b"ontappkg")
"""Key of the lock that one process at a time holds while it migrates a PostgreSQL database."""


def migrate(connection: Connection) -> None:
    """Make the tables if there are none, within the transaction that is under way.

    Raises:
        JournalError: they are of a revision that this version does not know.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql("SET LOCAL application_name = 'ontap-packages-exporter upgrade'")
        connection.exec_driver_sql("SET LOCAL lock_timeout = 10000")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK_KEY})")
    revision = _revision(connection)
    if revision is None:
        METADATA.create_all(connection, checkfirst=False)  # a table that is there already is not ours
        connection.execute(insert(CONTROL).values(id=1, kill_switch=False))
        connection.execute(insert(SCHEMA_VERSION).values(version_num=REVISION))
    elif revision != REVISION:
        raise JournalError(
            f"the journal's tables are of revision {revision}, which a newer version of this program made"
        )


def check_newest(connection: Connection) -> None:
    """Check that the tables are of this revision, and change nothing.

    Raises:
        JournalError: they are of another, or there are none.
    """
    if _revision(connection) != REVISION:
        raise JournalError("the journal has no tables yet, or those of another version of this program")


def check_still_newest(connection: Connection) -> None:
    """Check, with one statement, that the tables of an open journal are still of this revision.

    Raises:
        SchemaChangedError: they are not.
    """
    found = connection.execute(select(SCHEMA_VERSION.c.version_num)).scalar_one_or_none()
    if found != REVISION:
        raise SchemaChangedError(
            "another version of this program has changed the journal's tables (now revision "
            f"{found or 'none'}): run that version here too, or stop this process"
        )


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(SCHEMA_VERSION.name):
        return None
    return connection.execute(select(SCHEMA_VERSION.c.version_num)).scalar_one_or_none()
