"""Limits the connections of clients, and ends one if there are too many."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import structlog

_SHARE_OF_FILES: Final = 4
"""Clients may use one in this many of the files that the process may open; polls need the rest."""
_SHARE_OF_ONE_CLIENT: Final = 4
_LEAST_OF_ONE_CLIENT: Final = 8
_LOG_SECONDS: Final = 60.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits for clients.

    Attributes:
        connections: the connections of all clients together, if the process may open enough files.
        first_request_seconds: the time from the start of a connection to the head of its first request.
        idle_seconds: the time between two requests; longer than the usual minute between scrapes.
        answer_seconds: the time to receive one answer; the longest ``scrape_timeout`` in use.
        request_bytes: how many bytes are read for one request.
    """

    connections: int = 512
    first_request_seconds: float = 15.0
    idle_seconds: float = 75.0
    answer_seconds: float = 60.0
    request_bytes: int = 32 * 1024

    def most_connections(self) -> int:
        """Return how many connections there may be; fewer if this process may open few files."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files == resource.RLIM_INFINITY:
            return self.connections
        return max(1, min(self.connections, files // _SHARE_OF_FILES))


LIMITS: Final = Limits()


class Admitted(Protocol):
    """What is needed of a connection to count it."""

    client: str
    """The client: an IPv4 address, or an IPv6 network."""
    has_asked: bool
    """Whether handling a request has begun."""

    @property
    def is_busy(self) -> bool:
        """Whether an answer is being made or sent."""

    @property
    def has_begun_request(self) -> bool:
        """Whether a part of a request has come, or a whole one that is not handled yet."""

    def abort(self) -> None:
        """End at once."""


AdmittedT = TypeVar("AdmittedT", bound=Admitted)


class Admission(Generic[AdmittedT]):
    """Counts connections, in all and of each client.

    Args:
        limits: what clients may take.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._open: dict[AdmittedT, None] = {}
        self._silent_until = 0.0

    def admit(self, connection: AdmittedT) -> bool:
        """Count a new connection; return False if it must end at once."""
        most = self.limits.most_connections()
        of_client = [one for one in self._open if one.client == connection.client]
        if len(of_client) >= max(_LEAST_OF_ONE_CLIENT, most // _SHARE_OF_ONE_CLIENT):
            has_room = self._make_room("of one client", of_client, most=most)
        elif len(self._open) >= most:
            has_room = self._make_room("of all clients", self._open, most=most)
        else:
            has_room = True
        if has_room:
            self._open[connection] = None
        return has_room

    def forget(self, connection: AdmittedT) -> None:
        """Remove a connection from the count."""
        self._open.pop(connection, None)

    def connections(self) -> tuple[AdmittedT, ...]:
        """Return the connections that are counted now, the oldest first."""
        return tuple(self._open)

    def _make_room(self, whose: str, connections: Iterable[AdmittedT], *, most: int) -> bool:
        """End an idle connection, first one without a request, the oldest; return False if all are busy."""
        if (now := asyncio.get_running_loop().time()) >= self._silent_until:
            self._silent_until = now + _LOG_SECONDS
            log.warning("too many connections of clients", whose=whose, most=most)
        idle = [one for one in connections if not one.is_busy]
        if idle:
            min(idle, key=lambda one: (one.has_begun_request, one.has_asked)).abort()
        return bool(idle)
