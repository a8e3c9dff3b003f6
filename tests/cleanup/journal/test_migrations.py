"""The tables are made once, brought up to date, and never touched where a newer program made them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from cleanup.journal.conftest import NewUrl
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from exporter.cleanup.journal import JournalError, read_journal
from exporter.cleanup.journal.tables import METADATA, VERSION_TABLE
from exporter.cleanup.records import Phase
from support.journal.steps import AMS, deletion_in, lease_of, opened


@asynccontextmanager
async def raw_connection(url: str) -> AsyncIterator[AsyncConnection]:
    """Look into a journal that nobody has open, with a tool of one's own."""
    scheme = "sqlite+aiosqlite" if url.startswith("sqlite") else "postgresql+asyncpg"
    engine = create_async_engine(url.replace(url.partition(":")[0], scheme, 1))
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()


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


async def test_the_migrations_make_the_tables_that_the_journal_uses(url: str) -> None:
    async with opened(url):
        pass
    async with raw_connection(url) as connection:
        assert await connection.run_sync(difference) == []
        migrated = await connection.run_sync(constraints)
        await connection.run_sync(METADATA.drop_all)
        await connection.run_sync(METADATA.create_all)
        assert await connection.run_sync(constraints) == migrated
        await connection.rollback()


async def test_opening_again_changes_nothing(url: str) -> None:
    async with opened(url) as journal:
        deletion = await deletion_in(journal, await lease_of(journal), Phase.FOLLOWED)
    for _ in range(2):
        async with opened(url) as journal:
            assert await journal.deletions.unended(AMS) == (deletion,)
    async with raw_connection(url) as connection:
        revisions = await connection.execute(text("SELECT * FROM cleanup_schema_version"))
        assert revisions.all() == [("0001",)]


async def test_processes_that_start_together_make_the_tables_once(postgresql_url: str) -> None:
    async def start() -> None:
        async with opened(postgresql_url) as journal:
            await journal.leases.heartbeat()

    await asyncio.gather(*(start() for _ in range(4)))


async def test_tables_of_a_newer_program_are_refused_and_left_as_they_are(url: str) -> None:
    async with opened(url):
        pass
    async with raw_connection(url) as connection:
        await connection.execute(text("UPDATE cleanup_schema_version SET version_num = '9999'"))
    for _ in range(2):
        with pytest.raises(
            JournalError,
            match="the journal's tables are of revision 9999, which a newer version of this program made",
        ):
            async with opened(url):
                pass
    with pytest.raises(JournalError, match="those of another version of this program"):
        async with read_journal(url):
            pass


async def test_a_migration_that_fails_leaves_nothing_half_done(new_url: NewUrl) -> None:
    url = await new_url()
    async with raw_connection(url) as connection:
        await connection.execute(text("CREATE TABLE cleanup_durations (mine INTEGER)"))
    for _ in range(2):
        with pytest.raises(JournalError, match=r"cleanup_durations.* already exists"):
            async with opened(url):
                pass
    async with raw_connection(url) as connection:
        tables = await connection.run_sync(lambda one: inspect(one).get_table_names())
        assert tables == ["cleanup_durations"]
