"""What an operator may write as the state, and what is said where it does not work."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import ssl
import stat
import subprocess
import sys
from contextlib import aclosing, suppress
from pathlib import Path

import pytest
import trustme
from cleanup.journal.conftest import NewUrl
from sqlalchemy import Connection

from exporter.cleanup.journal import Journal, JournalError
from exporter.cleanup.journal.database import Database
from exporter.cleanup.journal.sqlite import SqliteConnector
from exporter.cleanup.records import Deletion, Lease, Phase
from exporter.ontap.requests.listing import Package
from support.journal.journal_steps import (
    AMS,
    deletion_in,
    end,
    intend,
    lease_of,
    new_run,
    opened,
    reading,
    totals_of,
    unfinished_on,
)
from support.postgresql_server import PASSWORD, QUOTED_PASSWORD, PostgresqlServer


async def refusal(state: str) -> str:
    """Return what is said when the state is opened."""
    with pytest.raises(JournalError) as caught:
        async with opened(state):
            pass
    return str(caught.value)


async def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    async with opened(f"sqlite:///{tmp_path}/state.db") as journal:
        await new_run(journal, await lease_of(journal))
        modes = {path.name: stat.filemode(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("state.db", "state.db-shm", "state.db-wal", "state.db.lock"), "-rw-------")


async def test_a_file_is_set_up_for_power_cuts(tmp_path: Path) -> None:
    async with opened(f"sqlite:///{tmp_path}/state.db") as journal:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        found = [(await pragma(journal, name)) for name in names]
    assert found == ["wal", 2, 1, 2000]


async def test_a_path_may_hold_characters_that_are_rare(tmp_path: Path) -> None:
    name = "state #1 ä.db"
    async with opened(f"sqlite:///{tmp_path}/{name}") as journal:
        await new_run(journal, await lease_of(journal))
    assert name in {path.name for path in tmp_path.iterdir()}


async def test_a_missing_folder_is_not_made(tmp_path: Path) -> None:
    folder = tmp_path / "missing"
    assert (
        await refusal(f"sqlite:///{folder}/state.db")
        == f"{folder}/state.db: cannot open it: there is no folder {folder}"
    )
    assert not folder.exists()


async def test_a_folder_is_no_state(tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()
    said = await refusal(f"sqlite:///{tmp_path}/state.db")
    assert said.startswith(f"{tmp_path}/state.db: cannot open it: ")
    assert "Is a directory" in said


async def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_text("clusters:\n" * 1000)
    assert await refusal(f"sqlite:///{path}") == f"{path}: cannot open it: file is not a database"
    assert path.read_text() == "clusters:\n" * 1000


async def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with opened(f"sqlite:///{path}") as journal:
        lease = await lease_of(journal)
        await pragma(journal, "query_only = ON")
        with pytest.raises(JournalError, match="cannot begin a run: attempt to write a readonly database"):
            await new_run(journal, lease)
    async with opened(f"sqlite:///{path}") as journal:
        assert await journal.runs.recent(1) == ()
    path.chmod(0o400)
    if os.geteuid() != 0:  # whom nothing stops
        assert await refusal(f"sqlite:///{path}") == f"{path}: cannot open it: Permission denied"


async def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    async with opened(f"sqlite:///{tmp_path}/state.db") as journal:
        lease = await lease_of(journal)
        deletion = await deletion_in(journal, lease, Phase.FOLLOWED)
        await pragma(journal, f"max_page_count = {await pragma(journal, 'page_count')}")
        with pytest.raises(JournalError, match="cannot begin a run: database or disk is full"):
            await journal.runs.begin(
                lease, cluster="ams", policy="old", dry_run=True, plan="x" * 10**6, candidates=1, now=1.0
            )
        assert await unfinished_on(journal, AMS) == (deletion,)
        assert len(await journal.runs.recent(9)) == 1


async def test_a_disk_that_is_full_at_the_last_step_of_opening_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "state.db"

    def fill_disk(_: Connection) -> None:
        links = {link.name: link.resolve() for link in Path("/proc/self/fd").iterdir()}
        (lock,) = (int(number) for number, file in links.items() if file == Path(f"{path}.lock"))
        full = os.open("/dev/full", os.O_RDWR)
        os.dup2(full, lock)
        os.close(full)

    async with aclosing(Database(SqliteConnector(path), name=path)) as database:
        with pytest.raises(JournalError, match="cannot open it: No space left on device"):
            await database.transact("open it", fill_disk)


async def pragma(journal: Journal, words: str) -> object:
    """Ask the database itself, on the journal's connection."""

    def work(connection: Connection) -> object:
        found = connection.exec_driver_sql(f"PRAGMA {words}")
        return found.scalar() if found.returns_rows else None

    return await journal.runs.database.transact("ask", work)


async def test_a_closed_journal_does_nothing(url: str) -> None:
    async with opened(url) as journal:
        lease = await lease_of(journal)
    with pytest.raises(JournalError, match="cannot begin a run: the journal is closed"):
        await new_run(journal, lease)
    with pytest.raises(JournalError, match="cannot read the totals: the journal is closed"):
        await totals_of(journal)


async def test_a_journal_is_read_while_another_process_uses_it_and_never_changed(url: str) -> None:
    async with opened(url) as journal:
        lease = await lease_of(journal)
        deletion = await deletion_in(journal, lease, Phase.FOLLOWED)
        await journal.seen.note({lease: [Package(version="9.9.1", create_timestamp_seconds=1.0)]}, now=5.0)
        async with reading(url) as reader:
            assert await reader.seen.since(AMS, now=6.0) == {"9.9.1": 5.0}
            assert set((await reader.stops.read()).unfinished) == {AMS}
            assert await unfinished_on(reader, AMS) == (deletion,)
            for writing in (reader.stops.set_kill_switch(engaged=True), reader.leases.acquire([AMS, "new"])):
                with pytest.raises(JournalError, match=r"read-?only"):
                    await writing
            await journal.deletions.follow(
                lease, await end_and_intend(journal, lease, deletion), job_uuid=None
            )
            assert len(await unfinished_on(reader, AMS)) == 1
        assert not (await journal.stops.read()).kill_switch
    async with reading(url) as reader:
        assert len(await reader.runs.recent(5)) == 1


async def end_and_intend(journal: Journal, lease: Lease, deletion: Deletion) -> Deletion:
    await end(journal, lease, deletion)
    return await intend(journal, lease, deletion.run_id)


async def test_what_is_not_there_is_not_read_and_not_made(new_url: NewUrl, tmp_path: Path) -> None:
    url = await new_url()
    with pytest.raises(JournalError):
        async with reading(url):
            pass
    assert list(tmp_path.iterdir()) == []


async def test_what_the_block_raises_passes_unchanged(url: str) -> None:
    with pytest.raises(OSError, match="of the block"):
        async with opened(url):
            raise OSError("of the block")
    async with opened(url) as journal:
        assert await totals_of(journal) == {}


async def test_a_wrong_password_is_not_repeated(postgresql: PostgresqlServer) -> None:
    said = await refusal(postgresql.url("postgres", password="wr0ng"))
    assert said == (
        'postgresql://ontap@/postgres: cannot open it: password authentication failed for user "ontap"'
    )


async def test_a_missing_database_is_an_error(postgresql: PostgresqlServer) -> None:
    said = await refusal(postgresql.url("missing"))
    assert said == 'postgresql://ontap@/missing: cannot open it: database "missing" does not exist'
    assert PASSWORD not in said
    assert QUOTED_PASSWORD not in said


async def test_a_server_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    said = await refusal(f"postgresql://ontap:secret@/db?host={tmp_path}")
    assert said.startswith("postgresql://ontap@/db: cannot open it: ")
    assert "secret" not in said


async def test_parameters_are_those_of_libpq(postgresql_url: str) -> None:
    said = await refusal(f"{postgresql_url}&sslmode=perhaps")
    assert "cannot open it" in said
    assert "sslmode" in said
    async with opened(f"{postgresql_url}&sslmode=disable") as journal:
        await new_run(journal, await lease_of(journal))


@pytest.mark.parametrize("offer", [b"N", b"S"], ids=["no encryption", "a certificate of somebody else"])
async def test_with_verify_full_a_server_that_cannot_prove_itself_learns_nothing(
    offer: bytes, tmp_path: Path
) -> None:
    trusted, other = trustme.CA(), trustme.CA()
    trusted.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    other.issue_cert("127.0.0.1").configure_cert(context)
    learned: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)  # asks for encryption
        writer.write(offer)
        with suppress(OSError):
            if offer == b"S":
                await writer.start_tls(context)
            learned.append(await reader.read(100))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        verified = f"sslmode=verify-full&sslrootcert={tmp_path}/ca.pem"
        said = await refusal(f"postgresql://ontap:secret@{host}/db?{verified}")
    assert ("certificate verify failed" if offer == b"S" else "rejected SSL upgrade") in said
    assert b"".join(learned) == b""


def test_postgresql_without_its_driver_names_the_extra() -> None:
    code = """
import asyncio, sys
sys.modules["asyncpg"] = None
from exporter.cleanup.journal import open_journal
from exporter.config import PostgresqlUrl
async def main():
    url = PostgresqlUrl(dsn="postgresql://ontap:secret@host/db")
    async with open_journal(url, owner="a", takeover_after_seconds=1.0):
        pass
asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1].endswith(
        "postgresql://ontap@host/db: cannot open it: the library asyncpg is not installed:"
        " pip install asyncpg"
    )


def test_sqlite_knows_returning() -> None:
    assert sqlite3.sqlite_version_info >= (3, 35)


async def test_every_transaction_is_an_answer_of_the_database(journal: Journal) -> None:
    before = journal.answered_at
    await journal.stops.read()
    assert journal.answered_at > before
