"""Lines that are rendered when a value changes and joined at the scrape.

Values are rendered on the event loop. Joining reads only immutable values, so it may run in a thread.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Generic

from exporter.metrics.family import HistogramFamily, Row, S, sample_names
from exporter.metrics.text import Format, ages, base_name, escaped, header, line_template, number

Labels = tuple[tuple[str, str], ...]
OPENMETRICS_END = b"# EOF\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ages:
    """The lines of a row whose values are ages.

    Attributes:
        template: the lines, with ``%s`` for each age.
        since_milliseconds: the Unix time that each age counts from.
    """

    template: str
    since_milliseconds: tuple[int, ...]

    def at(self, now: float) -> bytes:
        """Return the lines at a moment (Unix seconds), to the millisecond."""
        return _encoded(self.template % tuple(ages(self.since_milliseconds, round(now * 1000))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered(Generic[S]):
    """The lines of one value.

    Attributes:
        fixed: the labels that every line has.
        fresh_until_timestamp_seconds: until when the rows with ``while_fresh`` are served.
        blocks: a block of lines for each row of the table, in the table's order.
    """

    value: S
    fixed: Labels
    fresh_until_timestamp_seconds: float
    blocks: tuple[bytes | Ages, ...]


class Exposition(Generic[S]):
    """Holds the rendered lines of many values of one type, each under a key."""

    def __init__(self, table: tuple[Row[S], ...]) -> None:
        self._table = table
        self._rendered: dict[Hashable, Rendered[S]] = {}

    def update(self, key: Hashable, value: S, *, fixed: Labels = (), fresh_until: float = inf) -> None:
        """Replace the value under a key; render only the rows whose samples have changed.

        Each line has the fixed labels. After ``fresh_until`` (Unix seconds), its inventory is stale.
        """
        before = self._rendered.get(key)
        if before is None or before.fixed != fixed:
            blocks = tuple(_block(row, value, fixed) for row in self._table)
        else:
            fixed = before.fixed
            blocks = tuple(
                block if row.depends_on(before.value) == row.depends_on(value) else _block(row, value, fixed)
                for row, block in zip(self._table, before.blocks, strict=True)
            )
        self._rendered[key] = Rendered(
            value=value, fixed=fixed, fresh_until_timestamp_seconds=fresh_until, blocks=blocks
        )

    def remove(self, key: Hashable) -> None:
        """Remove the lines under a key, if there are any."""
        self._rendered.pop(key, None)

    def all(self) -> RenderedTable[S]:
        """Return the lines of all values."""
        return RenderedTable(table=self._table, values=tuple(self._rendered.values()))

    def only(self, keys: Iterable[Hashable]) -> RenderedTable[S]:
        """Return the lines under some keys; an unknown key has no lines."""
        values = tuple(self._rendered[key] for key in keys if key in self._rendered)
        return RenderedTable(table=self._table, values=values)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedTable(Generic[S]):
    """The lines of many values of one type at one moment."""

    table: tuple[Row[S], ...]
    values: tuple[Rendered[S], ...]

    def blocks(self, *, now: float, form: Format, names: Collection[str] = ()) -> Iterator[bytes]:
        """Yield the lines at a moment (Unix seconds) in blocks, row by row.

        With ``names``, only these metrics, each by its name in either format or by a sample's name.
        """
        for index, row in enumerate(self.table):
            if names and not {row.name, base_name(row), *sample_names(row)}.intersection(names):
                continue
            yield header(row, form)
            for value in self.values:
                if row.while_fresh and now > value.fresh_until_timestamp_seconds:
                    continue
                block = value.blocks[index]
                yield block.at(now) if isinstance(block, Ages) else block


def render_once(table: tuple[Row[S], ...], value: S) -> RenderedTable[S]:
    """Render a single value without labels of its own."""
    exposition = Exposition(table)
    exposition.update(None, value)
    return exposition.all()


def in_chunks(blocks: Iterable[bytes], *, at_least_bytes: int) -> Iterator[bytes]:
    """Join blocks to chunks of at least a size; only the last chunk may be smaller."""
    gathered: list[bytes] = []
    size = 0
    for block in blocks:
        gathered.append(block)
        size += len(block)
        if size >= at_least_bytes:
            yield b"".join(gathered)
            gathered.clear()
            size = 0
    if gathered:
        yield b"".join(gathered)


def _block(row: Row[S], value: S, fixed: Labels) -> bytes | Ages:
    if isinstance(row, HistogramFamily):
        return _encoded("".join(_histogram_lines(row, value, fixed)))
    samples = [(tuple(map(escaped, own)), sample) for own, sample in row.samples(value)]
    line = line_template(row.name, fixed, row.labels)
    if row.is_age:
        return Ages(
            template="".join((line % own).replace("%", "%%") + "%s\n" for own, _ in samples),
            since_milliseconds=tuple(round(since * 1000) for _, since in samples),
        )
    return _encoded("".join(f"{line % own}{number(sample)}\n" for own, sample in samples))


def _histogram_lines(row: HistogramFamily[S], value: S, fixed: Labels) -> Iterator[str]:
    buckets = [
        line_template(f"{row.name}_bucket", (*fixed, ("le", number(bound))), row.labels)
        for bound in (*row.bounds, inf)
    ]
    count = line_template(f"{row.name}_count", fixed, row.labels)
    total = line_template(f"{row.name}_sum", fixed, row.labels)
    for own_labels, counts, observed in row.samples(value):
        own = tuple(map(escaped, own_labels))
        for bucket, reached in zip(buckets, counts, strict=True):
            yield f"{bucket % own}{number(reached)}\n"
        yield f"{count % own}{number(counts[-1])}\n"
        yield f"{total % own}{number(observed)}\n"


def _encoded(text: str) -> bytes:
    """Encode lines; a lone surrogate, which UTF-8 cannot carry, becomes a question mark."""
    return text.encode("utf-8", "replace")
