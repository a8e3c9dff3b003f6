"""The journal in PostgreSQL: a few connections, replaced when they break, and no wait without an end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakSet

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from exporter.cleanup.journal.leases import APPLICATION_NAME, SESSION_SECONDS

T = TypeVar("T")

_MARGIN_SECONDS = 0.5
"""How much earlier than a transaction's time is up, the server ends a statement."""

DURABLE = """
    SELECT set_config(name, 'on', false) FROM pg_settings
    WHERE name = 'synchronous_commit' AND setting = 'off'
"""
"""What is committed must be on disk; what the server has set beyond that stays."""


class PostgresqlConnector:
    """At most so many connections to a server, each with a bound on every wait.

    ``timeout_seconds`` is how long a transaction may take, connecting included.
    """

    def __init__(
        self, dsn: str, *, connections: int, timeout_seconds: float, read_only: bool = False
    ) -> None:
        self._dsn = dsn
        self._timeout_seconds = timeout_seconds
        self._settings = server_settings(timeout_seconds, read_only=read_only)
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
        """Do the work in a transaction, within its time, connecting included."""
        seconds = timeout_seconds or self._timeout_seconds
        async with asyncio.timeout(seconds), self._engine.begin() as connection:
            return await connection.run_sync(work)

    async def disconnect(self) -> None:
        """End all connections, without waiting for the server."""
        await self._engine.dispose(close=False)
        for session in list(self._sessions):
            session.terminate()

    async def _connect(self, *_: object, **__: object) -> asyncpg.Connection:
        session = await asyncpg.connect(
            self._dsn, timeout=self._timeout_seconds - _MARGIN_SECONDS, server_settings=self._settings
        )
        self._sessions.add(session)
        await session.execute(DURABLE)
        if session.get_settings().server_encoding != "UTF8":
            for name in ("text", "varchar"):
                await session.set_type_codec(
                    name, schema="pg_catalog", encoder=_escape, decoder=_unescape, format="text"
                )
        return session


def server_settings(timeout_seconds: float, *, read_only: bool = False) -> dict[str, str]:
    """Return what the server is told of a connection whose transactions may take this long."""
    return {
        "application_name": APPLICATION_NAME,
        # The server ends what waits before we do: then the connection stays, and the reason is known.
        "lock_timeout": f"{timeout_seconds / 2 * 1000:.0f}",
        "statement_timeout": f"{(timeout_seconds - _MARGIN_SECONDS) * 1000:.0f}",
        # What a process that has hung, or has vanished, keeps locked is free after this long.
        "idle_in_transaction_session_timeout": f"{(timeout_seconds + SESSION_SECONDS) * 1000:.0f}",
        "tcp_keepalives_idle": "30",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "3",
        "default_transaction_isolation": "read committed",
        "default_transaction_read_only": "on" if read_only else "off",
    }


def _escape(text: str) -> str:
    r"""Return a text in ASCII, with ``\u03a9`` for what a database of another encoding might not hold."""
    return text.encode("unicode_escape").decode("ascii")


def _unescape(text: str) -> str:
    return text.encode("ascii").decode("unicode_escape")
