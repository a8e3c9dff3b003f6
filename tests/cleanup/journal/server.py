"""A PostgreSQL of the tests' own: in a temporary folder, behind a socket there, gone with them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]

PASSWORD = "p@ss/w#rd:?"
QUOTED_PASSWORD = "p%40ss%2Fw%23rd%3A%3F"


def postgresql_programs() -> Path | None:
    """Return the folder with initdb and pg_ctl, or None where PostgreSQL is not installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    on_path = shutil.which("initdb")
    if on_path is not None:
        folders.append(Path(on_path).parent)
    found = [folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()]
    return found[-1] if found else None


@dataclass(slots=True, kw_only=True)
class PostgresqlServer:
    """A running server."""

    folder: Path
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def url(self, database: str, *, password: str = QUOTED_PASSWORD) -> str:
        """Return a database's address, as an operator writes it."""
        return f"postgresql://ontap:{password}@/{database}?host={self.folder}"

    async def new_database(self) -> str:
        """Make an empty database, and return its address."""
        name = f"journal{next(self._numbers)}"
        await self.ask(self.url("postgres"), f"CREATE DATABASE {name}")
        return self.url(name)

    async def ask(self, url: str, query: str) -> list[Sequence[Any]]:
        """Send a query in a session of its own, and return the rows."""
        session = await asyncpg.connect(url)
        try:
            return list(await session.fetch(query))
        finally:
            await session.close()


@contextmanager
def running_postgresql(programs: Path) -> Iterator[PostgresqlServer]:
    """Run a server until the block is left."""
    as_user = {"user": "postgres", "group": "postgres", "extra_groups": ()} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="journal-postgresql-") as name:
        folder = Path(name)
        if as_user:
            shutil.chown(folder, "postgres", "postgres")
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)

        def run(program: str, *arguments: str) -> None:
            with (folder / "output.txt").open("a+b") as output:
                done = subprocess.run(
                    [programs / program, *arguments],
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    check=False,
                    **as_user,  # type: ignore[call-overload]
                )
                output.seek(0)
                assert done.returncode == 0, output.read().decode()

        data = str(folder / "data")
        login = ("--username=ontap", f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8")
        run("initdb", f"--pgdata={data}", "--no-sync", "--locale=C.UTF-8", *login)
        options = (
            f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off -c shared_buffers=8MB"
        )
        run(
            "pg_ctl", "start", f"--pgdata={data}", "--wait", f"--log={folder / 'log'}", f"--options={options}"
        )
        try:
            yield PostgresqlServer(folder=folder)
        finally:
            run("pg_ctl", "stop", f"--pgdata={data}", "--wait", "--mode=immediate")
