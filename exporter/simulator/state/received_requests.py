"""The requests that a simulated cluster received, exactly as they came over the wire."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedRequest:
    """One request as it came in.

    Attributes:
        connection: Counts the connections to this cluster, from 1.
        target: The path with the query, exactly as on the wire.
        headers: Names are found in any case.
        monotonic_seconds: `time.monotonic()` when the whole request had come in.
        client_name: The common name of the client's certificate, if it sent one.
    """

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
