"""Builds the tables, and brings those of an older version up to date, with Alembic.

There is neither an ``alembic.ini`` nor an ``env.py``, and no revision uses Alembic's global ``op``: each gets
its operations as an argument, so that two journals may be opened at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from sqlalchemy import Connection

from exporter.cleanup.journal.journal_errors import Refused
from exporter.cleanup.journal.tables import VERSION_TABLE


def migrate(connection: Connection) -> None:
    """Bring the tables to the newest revision, within the transaction that is under way.

    Raises:
        Refused: they are of a revision that this version does not know.
    """
    scripts = ScriptDirectory(str(Path(__file__).parent))

    def steps(current: Any, _: MigrationContext) -> Iterable[MigrationStep]:  # noqa: ANN401 - as Alembic has it
        missing = list(scripts.iterate_revisions("heads", current or "base"))
        return [
            MigrationStep.upgrade_from_script(scripts.revision_map, script) for script in reversed(missing)
        ]

    context = MigrationContext.configure(
        connection, opts={"fn": steps, "transactional_ddl": True, "version_table": VERSION_TABLE}
    )
    for revision in context.get_current_heads():
        if not _is_known(scripts, revision):
            raise Refused(f"they are of revision {revision}, which a newer version of this program made")
    context.run_migrations(op=Operations(context))


def _is_known(scripts: ScriptDirectory, revision: str) -> bool:
    try:
        return scripts.revision_map.get_revision(revision) is not None
    except ResolutionError:
        return False
