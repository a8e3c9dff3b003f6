"""The tables are made once, brought up to date, and never touched where a newer program made them."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from cleanup.journal.steps import deletion_in
from sqlalchemy import Connection, inspect, text

from exporter.cleanup.journal import JournalError, open_journal
from exporter.cleanup.journal.tables import METADATA, VERSION_TABLE
from exporter.cleanup.records import Phase


def difference(connection: Connection) -> list[object]:
    options = {"compare_type": True, "version_table": VERSION_TABLE}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), METADATA))


def constraints(connection: Connection) -> dict[str, object]:
    """Return what the comparison leaves out."""
    found = inspect(connection)
    return {
        table: (
            found.get_pk_constraint(table)["constrained_columns"],
            sorted(str(check["name"]) for check in found.get_check_constraints(table)),
            sorted(
                (str(index["name"]), [str(value) for value in index.get("dialect_options", {}).values()])
                for index in found.get_indexes(table)
            ),
        )
        for table in METADATA.tables
    }


async def test_the_migrations_make_the_tables_that_the_journal_uses(state: str) -> None:
    async with open_journal(state) as journal:
        connection = journal._database._connection
        assert await connection.run_sync(difference) == []
        migrated = await connection.run_sync(constraints)
        await connection.run_sync(METADATA.drop_all)
        await connection.run_sync(METADATA.create_all)
        assert await connection.run_sync(constraints) == migrated
        await connection.rollback()


async def test_opening_again_changes_nothing(state: str) -> None:
    async with open_journal(state) as journal:
        deletion = await deletion_in(journal, Phase.FOLLOWED)
    for _ in range(2):
        async with open_journal(state) as journal:
            assert await journal.unended() == (deletion,)
            revisions = await journal._database._connection.execute(
                text("SELECT * FROM cleanup_schema_version")
            )
            assert revisions.all() == [("0002",)]
            await journal._database._connection.rollback()


async def test_tables_of_a_newer_program_are_refused_and_left_as_they_are(state: str) -> None:
    async with open_journal(state) as journal:
        await journal._database._connection.execute(
            text("UPDATE cleanup_schema_version SET version_num = '9999'")
        )
        await journal._database._connection.commit()
    for _ in range(2):
        with pytest.raises(
            JournalError,
            match="cannot bring its tables up to date: "
            "they are of revision 9999, which a newer version of this program made",
        ):
            async with open_journal(state):
                pass


async def test_a_migration_that_fails_leaves_nothing_half_done(state: str) -> None:
    async with open_journal(state) as journal:
        connection = journal._database._connection
        await connection.run_sync(METADATA.drop_all)
        await connection.execute(text("DELETE FROM cleanup_schema_version"))
        await connection.execute(text("CREATE TABLE cleanup_durations (mine INTEGER)"))
        await connection.commit()
    for _ in range(2):
        with pytest.raises(JournalError, match=r"cleanup_durations.* already exists"):
            async with open_journal(state):
                pass
