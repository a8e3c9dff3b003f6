"""Every test of what the journal does runs on SQLite and on a PostgreSQL of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cleanup.journal.server import PostgresqlServer, postgresql_programs, running_postgresql

from exporter.cleanup.journal import Journal, open_journal

NewState = Callable[[], Coroutine[Any, Any, str]]
"""Makes an empty state and returns its address."""


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    programs = postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL's initdb and pg_ctl are not installed")
    with running_postgresql(programs) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def new_state(request: pytest.FixtureRequest, tmp_path: Path) -> NewState:
    if request.param == "postgresql":
        server: PostgresqlServer = request.getfixturevalue("postgresql")
        return server.new_database
    numbers = count(1)

    async def new_file() -> str:
        return f"sqlite:///{tmp_path}/state{next(numbers)}.db"

    return new_file


@pytest.fixture
async def state(new_state: NewState) -> str:
    return await new_state()


@pytest.fixture
async def journal(state: str) -> AsyncIterator[Journal]:
    async with open_journal(state) as journal:
        yield journal


@pytest.fixture
def sqlite_state(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/state.db"


@pytest.fixture
async def postgresql_state(postgresql: PostgresqlServer) -> str:
    return await postgresql.new_database()
