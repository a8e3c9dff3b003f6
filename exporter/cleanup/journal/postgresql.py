"""The journal in PostgreSQL, held by one process through an advisory lock of the session that writes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from exporter.cleanup.journal.database import finished
from exporter.cleanup.journal.journal_errors import JournalInUseError, translated
from exporter.cleanup.journal.places import PostgresqlPlace

CONNECT_TIMEOUT_SECONDS = 5.0
TRANSACTION_TIMEOUT_SECONDS = 5.0
"""Far more than any transaction takes, and short enough for the daemon to stop in time."""

LOCK_KEY = int.from_bytes(b"ontappkg")
"""Of the advisory lock: one journal in each database."""

SERVER_SETTINGS = {
    "application_name": "ontap-packages-exporter",
    # The server lets go of the lock of a host that vanished after about a minute.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
SAFE_SETTINGS = (
    # The session, and with it the lock, may be idle for a week; what is committed must be on disk.
    "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'",
    """
    SELECT set_config(name, 'on', false) FROM pg_settings
    WHERE name = 'synchronous_commit' AND setting = 'off'
    """,
)


@asynccontextmanager
async def postgresql_connection(
    place: PostgresqlPlace, *, lost: asyncio.Event
) -> AsyncIterator[AsyncConnection]:
    """Connect to the database and hold it.

    Args:
        place: the database.
        lost: set when the connection breaks, and with it the lock is gone.

    Raises:
        JournalInUseError: it is held already.
        JournalError: it cannot be reached.
    """
    with translated(place, "connect to it", asyncpg.PostgresError, asyncpg.InterfaceError, ValueError):
        session = await asyncpg.connect(
            place.dsn, timeout=CONNECT_TIMEOUT_SECONDS, server_settings=SERVER_SETTINGS
        )

    def note_loss(_: object) -> None:
        lost.set()

    async def only_session(*_: object, **__: object) -> asyncpg.Connection:
        return session

    session.add_termination_listener(note_loss)
    connection = create_async_engine(
        "postgresql+asyncpg://", async_creator=only_session, poolclass=NullPool, hide_parameters=True
    ).connect()
    try:
        with translated(place, "lock it", asyncpg.PostgresError, asyncpg.InterfaceError):
            async with asyncio.timeout(TRANSACTION_TIMEOUT_SECONDS):
                await _hold(session, place)
        with translated(place, "open it"):
            await finished(connection.start())
        yield connection
    finally:
        session.remove_termination_listener(note_loss)
        await finished(_close(connection, session))


async def _hold(session: asyncpg.Connection, place: PostgresqlPlace) -> None:
    for statement in SAFE_SETTINGS:
        await session.execute(statement)
    if not await session.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
        raise JournalInUseError(f"{place}: another process holds it")


async def _close(connection: AsyncConnection, session: asyncpg.Connection) -> None:
    if connection.sync_connection is not None and not connection.closed:
        await connection.invalidate()  # closes the session, for 2 s at most
    if not session.is_closed():
        session.terminate()
