"""A PostgreSQL of the tests' own: in a temporary folder, behind a socket there, gone with them."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from support.programs import UNPACKED

PASSWORD = "p@ss/w#rd:?"
QUOTED_PASSWORD = "p%40ss%2Fw%23rd%3A%3F"


def database_of(url: str) -> str:
    """Return the name of the database that an address leads to."""
    return url.partition("?")[0].rpartition("/")[2]


def postgresql_programs() -> Path | None:
    """Return the folder with initdb and pg_ctl, or None where there is no PostgreSQL."""
    folders = [
        folder
        for root in (UNPACKED, Path("/"))
        for folder in sorted(root.glob("usr/lib/postgresql/*/bin"), key=lambda path: int(path.parent.name))
    ]
    on_path = shutil.which("initdb")
    if on_path is not None:
        folders.append(Path(on_path).resolve().parent)
    found = [folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()]
    return found[-1] if found else None


def _another_user() -> pwd.struct_passwd | None:
    """Return the user to run a server as, which must not be root; None: ourselves."""
    if os.geteuid() != 0:
        return None
    names = {user.pw_name: user for user in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def _readable_copy(programs: Path, folder: Path) -> Path:
    """Copy unpacked programs to where another user than root can read them."""
    for part in ("lib", "usr/lib", "usr/share/postgresql"):
        if (UNPACKED / part).exists():
            shutil.copytree(UNPACKED / part, folder / part, symlinks=True)
    return folder / programs.relative_to(UNPACKED)


@dataclass(slots=True, kw_only=True)
class PostgresqlServer:
    """A running server.

    Attributes:
        folder: holds its socket, and everything else of it.
        restart: kills all its processes and starts it again; blocks until it answers.
        run: runs one of its programs, such as pg_dump, with arguments; fails if that fails.
        has_dump: whether pg_dump and pg_restore are among its programs.
    """

    folder: Path
    restart: Callable[[], None]
    run: Callable[..., None]
    has_dump: bool
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _taken: list[tuple[str, str]] = field(default_factory=list)
    _free: list[tuple[str, str]] = field(default_factory=list)

    def url(self, database: str, *, password: str = QUOTED_PASSWORD) -> str:
        """Return a database's address, as an operator writes it."""
        return f"postgresql://ontap:{password}@/{database}?host={self.folder}"

    async def new_database(self, *, encoding: str = "UTF8") -> str:
        """Make an empty database, or empty one that is free, and return its address."""
        if free := next((one for one in self._free if one[0] == encoding), None):
            self._free.remove(free)
            self._taken.append(free)
            url = self.url(free[1])
            await self.end_sessions(url)
            await self.ask(url, "DROP SCHEMA public CASCADE")
            await self.ask(url, "CREATE SCHEMA public")
            return url
        name = f"journal{next(self._numbers)}"
        self._taken.append((encoding, name))
        options = f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        await self.ask(self.url("postgres"), f"CREATE DATABASE {name} {options}")
        return self.url(name)

    def free_databases(self) -> None:
        """Let further tests have the databases: making one takes far longer than emptying it."""
        self._free += self._taken
        self._taken = []

    async def ask(self, url: str, query: str, *values: object) -> list[Sequence[Any]]:
        """Send a query in a session of its own, and return the rows."""
        async with self.session(url) as session:
            return list(await session.fetch(query, *values))

    @asynccontextmanager
    async def session(self, url: str) -> AsyncIterator[asyncpg.Connection]:
        """Open a session of one's own."""
        session = await asyncpg.connect(url)
        try:
            yield session
        finally:
            await session.close()

    @asynccontextmanager
    async def restored(self, url: str) -> AsyncIterator[None]:
        """Keep a copy of a database, and restore it in the end, as docs/high-availability.md has it."""
        name, archive = database_of(url), str(self.folder / "journal.dump")
        if self.has_dump:
            self.run("pg_dump", "--format=custom", f"--file={archive}", f"--dbname={url}")
            yield
            options = ("--clean", "--if-exists", "--single-transaction")
            self.run("pg_restore", *options, f"--dbname={url}", archive)
            return
        maintenance = self.url("postgres")
        await self.end_sessions(url)
        await self.ask(maintenance, f"CREATE DATABASE {name}_copy TEMPLATE {name}")
        yield
        await self.end_sessions(url)
        await self.ask(maintenance, f"DROP DATABASE {name}")
        await self.ask(maintenance, f"ALTER DATABASE {name}_copy RENAME TO {name}")

    async def end_sessions(self, url: str) -> None:
        """Disconnect everybody from a database."""
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"
        await self.ask(self.url("postgres"), query, database_of(url))

    async def backends(self, url: str) -> list[int]:
        """Return the processes of the server that serve a database."""
        query = "SELECT pid FROM pg_stat_activity WHERE datname = $1"
        return [row[0] for row in await self.ask(self.url("postgres"), query, database_of(url))]


@contextmanager
def running_postgresql(programs: Path) -> Iterator[PostgresqlServer]:
    """Run a server until the block is left."""
    user = _another_user()
    as_user = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()}
    with tempfile.TemporaryDirectory(prefix="journal-postgresql-") as name:
        folder = Path(name)
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        environ = dict(os.environ)
        if programs.is_relative_to(UNPACKED):
            if user is not None:
                programs = _readable_copy(programs, folder / "programs")
            root = programs.parents[4]  # of usr/lib/postgresql/15/bin
            libraries = [*root.glob("lib/*-linux-gnu*"), *root.glob("usr/lib/*-linux-gnu*")]
            environ["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, libraries))
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)

        def run(program: str, *arguments: str) -> None:
            with (folder / "output.txt").open("a+b") as output:
                done = subprocess.run(
                    [programs / program, *arguments],
                    cwd=folder,
                    env=environ,
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
            f"-c listen_addresses='' -c unix_socket_directories='{folder}' "
            "-c fsync=off -c shared_buffers=8MB -c jit=off"
        )
        started = ("start", f"--pgdata={data}", "--wait", f"--log={folder / 'log'}", f"--options={options}")
        run("pg_ctl", *started)

        def restart() -> None:
            run("pg_ctl", "stop", f"--pgdata={data}", "--wait", "--mode=immediate")
            run("pg_ctl", *started)

        try:
            has_dump = (programs / "pg_dump").exists() and (programs / "pg_restore").exists()
            yield PostgresqlServer(folder=folder, restart=restart, run=run, has_dump=has_dump)
        finally:
            run("pg_ctl", "stop", f"--pgdata={data}", "--wait", "--mode=immediate")
