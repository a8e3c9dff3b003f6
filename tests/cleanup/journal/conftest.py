"""Every test of what the journal does runs on SQLite and on a PostgreSQL of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from exporter.cleanup.journal import Journal
from exporter.cleanup.records import Lease
from support.journal.journal_steps import AMS, lease_of, opened
from support.postgresql_server import PostgresqlServer, postgresql_programs, running_postgresql

NewUrl = Callable[[], Coroutine[Any, Any, str]]
"""Makes room for an empty journal and returns its URL."""


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    programs = postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL's initdb and pg_ctl are not installed")
    with running_postgresql(programs) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewUrl]:
    if request.param == "postgresql":
        server: PostgresqlServer = request.getfixturevalue("postgresql")
        yield server.new_database
        server.free_databases()
        return
    numbers = count(1)

    async def new_file() -> str:
        return f"sqlite:///{tmp_path}/state{next(numbers)}.db"

    yield new_file


@pytest.fixture
async def url(new_url: NewUrl) -> str:
    return await new_url()


@pytest.fixture
async def journal(url: str) -> AsyncIterator[Journal]:
    async with opened(url) as journal:
        yield journal


@pytest.fixture
async def ams(journal: Journal) -> Lease:
    return await lease_of(journal, AMS)


@pytest.fixture
async def postgresql_url(postgresql: PostgresqlServer) -> AsyncIterator[str]:
    yield await postgresql.new_database()
    postgresql.free_databases()
