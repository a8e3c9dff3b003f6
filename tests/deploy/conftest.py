"""A PostgreSQL for the pods and for compose."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.postgresql_server import PostgresqlServer, postgresql_programs, running_postgresql


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    programs = postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL's initdb and pg_ctl are not installed")
    with running_postgresql(programs) as server:
        yield server
