"""Makes the tables of a new journal, and brings those of an older version up to date, with Alembic.

A new journal gets the tables of :mod:`exporter.cleanup.journal.tables` and the newest revision at once. There
is neither an ``alembic.ini`` nor an ``env.py``, and no revision uses Alembic's global ``op``: each gets its
operations as an argument, so that two journals may be opened at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from sqlalchemy import Connection, String, column, insert, select, table

from exporter.cleanup.journal.journal_errors import JournalError, SchemaChangedError
from exporter.cleanup.journal.tables import CONTROL, METADATA, VERSION_TABLE

LOCK_KEY = int.from_bytes(b"ontappkg")
"""Of the lock under which one process at a time migrates a PostgreSQL database, until its commit."""
_REVISIONS = select(column("version_num", String)).select_from(table(VERSION_TABLE))


def migrate(connection: Connection) -> None:
    """Bring the tables to the newest revision, within the transaction that is under way.

    Raises:
        JournalError: they are of a revision that this version does not know.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql("SET LOCAL application_name = 'ontap-packages-exporter upgrade'")
        connection.exec_driver_sql("SET LOCAL lock_timeout = 10000")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK_KEY})")
    scripts = ScriptDirectory(str(Path(__file__).parent))

    def steps(current: Any, _: MigrationContext) -> Iterable[MigrationStep]:  # noqa: ANN401 - as Alembic has it
        missing = list(scripts.iterate_revisions("heads", current or "base"))
        return [
            MigrationStep.upgrade_from_script(scripts.revision_map, script) for script in reversed(missing)
        ]

    context = MigrationContext.configure(
        connection, opts={"fn": steps, "transactional_ddl": True, "version_table": VERSION_TABLE}
    )
    revisions = context.get_current_heads()
    for revision in revisions:
        if not _is_known(scripts, revision):
            raise JournalError(
                f"the journal's tables are of revision {revision}, which a newer version of this program made"
            )
    if revisions:
        context.run_migrations(op=Operations(context))
    else:
        METADATA.create_all(connection, checkfirst=False)  # a table that is there already is not ours
        connection.execute(insert(CONTROL).values(id=1, kill_switch=False))
        context.stamp(scripts, "heads")


def check_newest(connection: Connection) -> None:
    """See that the tables are of the newest revision, and change nothing.

    Raises:
        JournalError: they are of another, or there are none.
    """
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    if context.get_current_heads() != (newest_revision(),):
        raise JournalError("the journal has no tables yet, or those of another version of this program")


def check_still_newest(connection: Connection) -> None:
    """See, with one statement, that the tables of an open journal are still of the newest revision.

    Raises:
        SchemaChangedError: they are not.
    """
    found = list(connection.execute(_REVISIONS).scalars())
    if found != [newest_revision()]:
        raise SchemaChangedError(
            "another version of this program has changed the journal's tables (now revision "
            f"{', '.join(found) or 'none'}): run that version here too, or stop this process"
        )


@cache
def newest_revision() -> str | None:
    """Return the newest revision that this version knows; it never changes, and is read from files."""
    return ScriptDirectory(str(Path(__file__).parent)).get_current_head()


def _is_known(scripts: ScriptDirectory, revision: str) -> bool:
    try:
        return scripts.revision_map.get_revision(revision) is not None
    except ResolutionError:
        return False
