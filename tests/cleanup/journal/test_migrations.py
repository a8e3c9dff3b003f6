"""The tables are made once, brought up to date, and never touched where a newer program made them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from cleanup.journal.conftest import NewUrl
from sqlalchemy import Connection, create_engine, inspect, make_url, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from exporter.cleanup.journal import JournalError
from exporter.cleanup.journal.journal_errors import SchemaChangedError
from exporter.cleanup.journal.migrations import REVISION
from exporter.cleanup.journal.tables import METADATA
from exporter.cleanup.records import Phase
from support.journal.journal_steps import AMS, deletion_in, lease_of, opened, reading, unfinished_on

T = TypeVar("T")


async def with_a_tool(url: str, work: Callable[[Connection], T]) -> T:
    """Look into a journal that nobody has open, with a tool of one's own."""
    if url.startswith("postgresql"):
        engine = create_async_engine(url.replace("postgresql", "postgresql+asyncpg", 1))
        async with engine.begin() as connection:
            found = await connection.run_sync(work)
        await engine.dispose()
        return found
    tool = create_engine(url)
    with tool.begin() as opened_file:
        found = work(opened_file)
    tool.dispose()
    return found


def execute(statement: str) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        connection.execute(text(statement))

    return work


@pytest.mark.parametrize("database", ["postgresql", "sqlite"])
def test_the_tables_are_those_of_the_newest_revision(database: str) -> None:
    """A change of a table needs a migration, and the statements of its revision beside the earlier ones."""
    statements: list[ExecutableDDLElement] = []
    for table in METADATA.sorted_tables:
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        statements += [CreateTable(table), *map(CreateIndex, indexes)]
    dialect = make_url(f"{database}://").get_dialect()()
    lines = "".join(f"{str(one.compile(dialect=dialect)).strip()};\n" for one in statements).splitlines()
    stored = Path(__file__).parent / "revisions" / f"{REVISION}.{database}.sql"
    assert [line.rstrip() for line in lines] == stored.read_text().splitlines()


async def test_opening_again_changes_nothing(url: str) -> None:
    async with opened(url) as journal:
        deletion = await deletion_in(journal, await lease_of(journal), Phase.FOLLOWED)
    for _ in range(2):
        async with opened(url) as journal:
            assert await unfinished_on(journal, AMS) == (deletion,)
    revision = select(text("version_num")).select_from(text("cleanup_schema_version"))
    assert await with_a_tool(url, lambda connection: connection.execute(revision).all()) == [("0001",)]


async def test_processes_that_start_together_make_the_tables_once(postgresql_url: str) -> None:
    async def start() -> None:
        async with opened(postgresql_url) as journal:
            await journal.leases.heartbeat()

    await asyncio.gather(*(start() for _ in range(4)))


async def test_tables_of_a_newer_program_are_refused_and_left_as_they_are(url: str) -> None:
    async with opened(url):
        pass
    await with_a_tool(url, execute("UPDATE cleanup_schema_version SET version_num = '9999'"))
    for _ in range(2):
        with pytest.raises(
            JournalError,
            match="the journal's tables are of revision 9999, which a newer version of this program made",
        ):
            async with opened(url):
                pass
    with pytest.raises(JournalError, match="those of another version of this program"):
        async with reading(url):
            pass


async def test_a_heartbeat_notices_tables_of_another_revision_and_renews_nothing(url: str) -> None:
    async with opened(url) as journal:
        await lease_of(journal)
        await with_a_tool(url, execute("UPDATE cleanup_schema_version SET version_num = '9999'"))
        expires = select(text("expires_seconds")).select_from(text("cleanup_leases"))
        before = await with_a_tool(url, lambda connection: connection.execute(expires).all())
        with pytest.raises(
            SchemaChangedError, match="has changed the journal's tables \\(now revision 9999\\)"
        ):
            await journal.leases.heartbeat()
        assert await with_a_tool(url, lambda connection: connection.execute(expires).all()) == before
        await with_a_tool(url, execute("UPDATE cleanup_schema_version SET version_num = '0001'"))
        assert set((await journal.leases.heartbeat()).leases) == {AMS}


async def test_a_migration_that_fails_leaves_nothing_half_done(new_url: NewUrl) -> None:
    url = await new_url()
    await with_a_tool(url, execute("CREATE TABLE cleanup_durations (mine INTEGER)"))
    for _ in range(2):
        with pytest.raises(JournalError, match=r"cleanup_durations.* already exists"):
            async with opened(url):
                pass
    tables = await with_a_tool(url, lambda connection: inspect(connection).get_table_names())
    assert tables == ["cleanup_durations"]
