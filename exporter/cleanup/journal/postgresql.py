"""The journal in PostgreSQL: a few connections, replaced when they break, and no wait without an end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from weakref import WeakSet

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from exporter.cleanup.journal.leases import APPLICATION_NAME

TRANSACTION_TIMEOUT_SECONDS = 3.0
"""Far more than any transaction takes. Together with what ends a connection that hangs, it is below 5 s."""
CONNECT_TIMEOUT_SECONDS = 2.5

SERVER_SETTINGS = {
    "application_name": APPLICATION_NAME,
    # The server ends what waits before we do: then the connection stays, and the reason is known.
    "lock_timeout": "1500",
    "statement_timeout": "2500",
    # What a process that has hung, or has vanished, keeps locked is free after so long.
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


def postgresql_engine(
    dsn: str, *, connections: int, read_only: bool = False
) -> tuple[AsyncEngine, Callable[[], Awaitable[None]]]:
    """Return what connects to a database, and what ends all its connections without waiting for the server.

    Args:
        dsn: a libpq connection URI.
        connections: so many at most.
        read_only: whether every change is refused.
    """
    sessions: WeakSet[asyncpg.Connection] = WeakSet()
    settings = SERVER_SETTINGS | ({"default_transaction_read_only": "on"} if read_only else {})

    async def connect(*_: object, **__: object) -> asyncpg.Connection:
        session = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_SECONDS, server_settings=settings)
        sessions.add(session)
        await session.execute(DURABLE)
        if session.get_settings().server_encoding != "UTF8":
            for name in ("text", "varchar"):
                await session.set_type_codec(
                    name, schema="pg_catalog", encoder=_escape, decoder=_unescape, format="text"
                )
        return session

    async def disconnect() -> None:
        await engine.dispose(close=False)
        for session in list(sessions):
            session.terminate()

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=True,
        hide_parameters=True,
    )
    return engine, disconnect


def _escape(text: str) -> str:
    r"""Return a text in ASCII, with ``\u03a9`` for what a database of another encoding might not hold."""
    return text.encode("unicode_escape").decode("ascii")


def _unescape(text: str) -> str:
    return text.encode("ascii").decode("unicode_escape")
