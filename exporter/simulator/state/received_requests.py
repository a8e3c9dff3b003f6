"""The requests that a simulated cluster received, exactly as they came over the wire."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from exporter.simulator.state.simulated_clock import Broadcast


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedRequest:
    """One request as it came in.

    Attributes:
        number: Counts the requests of this cluster, from 1.
        connection: Counts the connections to this cluster, from 1.
        method: The HTTP method.
        target: The path with the query, exactly as on the wire.
        headers: The headers; names are found in any case.
        body: The body, as sent.
        monotonic_seconds: `time.monotonic()` when the whole request had come in.
        client_name: The common name of the client's certificate, if it sent one.
    """

    number: int
    connection: int
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    monotonic_seconds: float
    client_name: str | None = None

    @property
    def path(self) -> str:
        """The path without the query, exactly as on the wire."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> tuple[tuple[str, str], ...]:
        """The query's parameters in their order, decoded."""
        return tuple(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def segments(self) -> tuple[str, ...]:
        """The path's segments, decoded, with `.` and `..` resolved as ONTAP resolves them."""
        resolved: list[str] = []
        for part in self.path.split("/"):
            segment = unquote(part)
            if segment == "..":
                del resolved[-1:]
            elif segment not in ("", "."):
                resolved.append(segment)
        return tuple(resolved)


class RequestLog:
    """The newest requests of one cluster.

    Args:
        kept: How many requests are kept.
    """

    def __init__(self, kept: int) -> None:
        self._requests: deque[ReceivedRequest] = deque(maxlen=kept)
        self._count = 0
        self._changed = Broadcast()

    @property
    def count(self) -> int:
        """Requests received so far, those no longer kept included."""
        return self._count

    @property
    def requests(self) -> tuple[ReceivedRequest, ...]:
        """The requests kept, oldest first."""
        return tuple(self._requests)

    def next_number(self) -> int:
        """Count one more request and give its number."""
        self._count += 1
        return self._count

    def add(self, request: ReceivedRequest) -> None:
        """Keep a request and wake those who wait for it."""
        self._requests.append(request)
        self._changed.notify_all()

    async def wait(
        self, condition: Callable[[ReceivedRequest], bool], number: int, timeout_seconds: float
    ) -> tuple[ReceivedRequest, ...]:
        """Wait until this many of the requests kept meet the condition, and give them.

        Raises:
            TimeoutError: They did not come within `timeout_seconds`.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                while len(met := tuple(filter(condition, self._requests))) < number:
                    await self._changed.wait()
        except TimeoutError as error:
            raise TimeoutError(f"waited {timeout_seconds} s for {number} requests") from error
        return met
