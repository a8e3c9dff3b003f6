"""The journal in PostgreSQL: a few connections, replaced when they break, and no wait without an end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakSet

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from exporter.cleanup.journal.leases import APPLICATION_NAME

T = TypeVar("T")

TRANSACTION_TIMEOUT_SECONDS = 3.0
"""Far more than any transaction takes. With the time to end a connection that hangs, it is below 5 s."""
CONNECT_TIMEOUT_SECONDS = 2.5

SERVER_SETTINGS = {
    "application_name": APPLICATION_NAME,
    # The server ends what waits before we do: then the connection stays, and the reason is known.
    "lock_timeout": "1500",
    "statement_timeout": "2500",
    # What a process that has hung, or has vanished, keeps locked is free after this long.
    "idle_in_transaction_session_timeout": "5000",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "default_transaction_isolation": "read committed",
}
DURABLE = """
    SELECT set_config(name, 'on', false) FROM pg_settings
    WHERE name = 'synchronous_commit' AND setting = 'off'
"""
"""What is committed must be on disk."""


class PostgresqlConnector:
    """A few connections to a server, each with a bound on every wait.

    Args:
        dsn: a libpq connection URI.
        connections: this many at most.
        read_only: whether every change is refused.
    """

    def __init__(self, dsn: str, *, connections: int, read_only: bool = False) -> None:
        self._dsn = dsn
        self._settings = SERVER_SETTINGS | ({"default_transaction_read_only": "on"} if read_only else {})
        self._sessions: WeakSet[asyncpg.Connection] = WeakSet()
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            pool_size=connections,
            max_overflow=0,
            pool_pre_ping=True,
            hide_parameters=True,
        )

    async def run(self, work: Callable[[Connection], T], *, timeout_seconds: float | None) -> T:
        """Do the work in a transaction, which takes some seconds at most, connecting included."""
        seconds = timeout_seconds or TRANSACTION_TIMEOUT_SECONDS
        async with asyncio.timeout(seconds), self._engine.begin() as connection:
            return await connection.run_sync(work)

    async def disconnect(self) -> None:
        """End all connections, without waiting for the server."""
        await self._engine.dispose(close=False)
        for session in list(self._sessions):
            session.terminate()

    async def _connect(self, *_: object, **__: object) -> asyncpg.Connection:
        session = await asyncpg.connect(
            self._dsn, timeout=CONNECT_TIMEOUT_SECONDS, server_settings=self._settings
        )
        self._sessions.add(session)
        await session.execute(DURABLE)
        if session.get_settings().server_encoding != "UTF8":
            for name in ("text", "varchar"):
                await session.set_type_codec(
                    name, schema="pg_catalog", encoder=_escape, decoder=_unescape, format="text"
                )
        return session


def _escape(text: str) -> str:
    r"""Return a text in ASCII, with ``\u03a9`` for what a database of another encoding might not hold."""
    return text.encode("unicode_escape").decode("ascii")


def _unescape(text: str) -> str:
    return text.encode("ascii").decode("unicode_escape")
