"""Pages of a collection: which records a page holds, how long ONTAP collects them, where the next one begins.

Source: https://docs.netapp.com/us-en/ontap-automation/rest/basic_operational_characteristics.html
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from exporter.simulator.api.request_queries import START_PREFIX
from exporter.simulator.state.package_repository import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a collection.

    Attributes:
        entries: What it holds.
        marker: Where the next page begins; None after the last.
        elapsed_seconds: Whole seconds already spent on that first entry of the next page.
        seconds: How long the page was collected.
    """

    entries: tuple[Entry, ...]
    marker: Entry | None = None
    elapsed_seconds: int = 0
    seconds: float = 0.0


def collected(
    entries: Sequence[Entry],
    *,
    matches: Callable[[Entry], bool],
    max_records: int,
    return_timeout: int,
    record_seconds: float,
    elapsed_seconds: int = 0,
) -> Page:
    """Collect a page: until all records, `max_records`, or `return_timeout` is up, whichever comes first.

    Args:
        entries: What is left of the collection, in order.
        matches: The filter.
        max_records: The most records of the page.
        return_timeout: In seconds.
        record_seconds: How long one record takes, whether it matches or not.
        elapsed_seconds: How long earlier pages have already worked on the first entry.
    """
    found: list[Entry] = []
    for index, entry in enumerate(entries):
        spent = index * record_seconds
        if len(found) == max_records:
            return Page(entries=tuple(found), marker=entry, seconds=max(0.0, spent - elapsed_seconds))
        if record_seconds > 0 and spent + record_seconds > elapsed_seconds + return_timeout:
            progress = elapsed_seconds + max(1, return_timeout) if index == 0 else 0
            return Page(
                entries=tuple(found), marker=entry, elapsed_seconds=progress, seconds=float(return_timeout)
            )
        if matches(entry):
            found.append(entry)
    return Page(entries=tuple(found), seconds=max(0.0, len(entries) * record_seconds - elapsed_seconds))


def ordered(entries: Iterable[Entry], order_by: Iterable[tuple[str, bool]]) -> list[Entry]:
    """The entries in the order asked for; by arrival where none is, or where it leaves the order open."""
    result = sorted(entries, key=lambda entry: entry.sequence)
    for field, descending in reversed(tuple(order_by)):
        result.sort(
            key=lambda entry: (entry.value(field) is None, str(entry.value(field))), reverse=descending
        )
    return result


def rest(entries: Iterable[Entry], marker: Entry | None, order_by: Iterable[tuple[str, bool]]) -> list[Entry]:
    """What is left from the marker on, in order, though the marker itself may be gone by now."""
    present = {entry.sequence: entry for entry in entries}
    if marker is None:
        return ordered(present.values(), order_by)
    everything = ordered({marker.sequence: marker, **present}.values(), order_by)
    first = next(index for index, entry in enumerate(everything) if entry.sequence == marker.sequence)
    return [entry for entry in everything[first:] if entry.sequence in present]


def next_link(path: str, pairs: Iterable[tuple[str, str]], start: Iterable[tuple[str, str]]) -> str:
    """A next link as ONTAP writes it: a path without a host, with the original parameters percent-encoded."""
    original = [(name, value) for name, value in pairs if not name.startswith(START_PREFIX)]
    parameters = [*((START_PREFIX + name, value) for name, value in start), *original]
    return f"{path}?" + "&".join(
        f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in parameters
    )
