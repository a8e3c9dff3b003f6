"""Lines that are rendered when a value changes and joined at the scrape.

Rendering a value happens on the event loop. Joining takes only immutable values, so it may happen in a thread
meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass
from math import inf
from operator import is_
from typing import Generic

from exporter.metrics.family import Family, S, Value
from exporter.metrics.text import Format, Lines, ages, base_name, header, number

Labels = tuple[tuple[str, str], ...]
OPENMETRICS_END = b"# EOF\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ages:
    """The lines of a family whose values are ages.

    Attributes:
        template: the lines, ``%s`` in the place of each age.
        since_milliseconds: the Unix time that each age counts from.
    """

    template: str
    since_milliseconds: tuple[int, ...]

    def at(self, now: float) -> bytes:
        """Return the lines at a moment (Unix seconds), to the millisecond."""
        return _encoded(self.template % tuple(ages(self.since_milliseconds, round(now * 1000))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered(Generic[S]):
    """The lines of one value, a block for every row of its table.

    Attributes:
        value: what was rendered.
        fixed: the labels that every line carries.
        fresh_until_timestamp_seconds: when the blocks that go away with a stale inventory no longer count.
        blocks: in the table's order.
    """

    value: S
    fixed: Labels
    fresh_until_timestamp_seconds: float
    blocks: tuple[bytes | Ages, ...]


class Exposition(Generic[S]):
    """Holds the rendered lines of many values of one kind, each under a key.

    Args:
        families: the table of their metrics.
    """

    def __init__(self, families: tuple[Family[S], ...]) -> None:
        self._families = families
        self._rendered: dict[Hashable, Rendered[S]] = {}

    def update(self, key: Hashable, value: S, *, fixed: Labels, fresh_until: float = inf) -> None:
        """Render a value anew, as far as it differs from the one before.

        Args:
            key: names it; what was rendered under the key before is dropped.
            value: what the families' samples follow from; it never changes.
            fixed: labels that every one of its lines carries.
            fresh_until: when its inventory grows stale, Unix seconds.
        """
        before = self._rendered.get(key)
        if before is None or before.fixed != fixed:
            blocks = tuple(_block(family, value, fixed) for family in self._families)
        else:
            fixed = before.fixed
            blocks = tuple(
                block if _is_unchanged(family, before.value, value) else _block(family, value, fixed)
                for family, block in zip(self._families, before.blocks, strict=True)
            )
        self._rendered[key] = Rendered(
            value=value, fixed=fixed, fresh_until_timestamp_seconds=fresh_until, blocks=blocks
        )

    def remove(self, key: Hashable) -> None:
        """Drop what is rendered under a key, where there is something."""
        self._rendered.pop(key, None)

    def all(self) -> RenderedTable[S]:
        """Return what is rendered now."""
        return RenderedTable(families=self._families, values=tuple(self._rendered.values()))

    def only(self, keys: Iterable[Hashable]) -> RenderedTable[S]:
        """Return what is rendered now under some keys; a key that is not known has no lines."""
        values = tuple(self._rendered[key] for key in keys if key in self._rendered)
        return RenderedTable(families=self._families, values=values)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedTable(Generic[S]):
    """The lines of many values of one kind at one moment."""

    families: tuple[Family[S], ...]
    values: tuple[Rendered[S], ...]

    def blocks(self, *, now: float, form: Format, wanted: Callable[[str], bool]) -> Iterator[bytes]:
        """Give the lines in blocks, family by family.

        Args:
            now: the moment of the scrape, Unix seconds.
            form: decides on the headers.
            wanted: says of a metric's name whether it is to be in the answer.
        """
        for index, family in enumerate(self.families):
            if not is_wanted(family, wanted):
                continue
            yield header(family, form)
            for value in self.values:
                if family.while_fresh and now > value.fresh_until_timestamp_seconds:
                    continue
                block = value.blocks[index]
                yield block.at(now) if isinstance(block, Ages) else block

    def join(self, *, now: float, form: Format, wanted: Callable[[str], bool]) -> bytes:
        """Return all blocks as one."""
        return b"".join(self.blocks(now=now, form=form, wanted=wanted))


def in_chunks(blocks: Iterable[bytes], *, at_least_bytes: int) -> Iterator[bytes]:
    """Join blocks to chunks that reach a size with their last block; the last chunk may be smaller."""
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


def render_once(
    families: tuple[Family[S], ...], value: S, *, form: Format, wanted: Callable[[str], bool]
) -> bytes:
    """Render a single value without labels of its own, at once."""
    exposition = Exposition(families)
    exposition.update(None, value, fixed=())
    return exposition.all().join(now=0.0, form=form, wanted=wanted)


def is_wanted(family: Family[S], wanted: Callable[[str], bool]) -> bool:
    """Say whether a family was asked for, by its name in either format."""
    return wanted(family.name) or wanted(base_name(family))


def names_filter(names: Collection[str]) -> Callable[[str], bool]:
    """Return a filter for metrics' names; without names, all are wanted."""
    return frozenset(names).__contains__ if names else lambda _: True


def _is_unchanged(family: Family[S], before: S, now: S) -> bool:
    """Say whether a family's samples follow from the very same objects as before."""
    if family.follows_from is None:
        return False
    return all(map(is_, family.follows_from(before), family.follows_from(now)))


def _block(family: Family[S], value: S, fixed: Labels) -> bytes | Ages:
    lines = Lines(family.name, fixed, family.labels)
    if family.value is Value.AGE:
        template = "".join(lines.start(own).replace("%", "%%") + "%s\n" for own, _ in family.samples(value))
        since = tuple(round(since * 1000) for _, since in family.samples(value))
        return Ages(template=template, since_milliseconds=since)
    samples = family.samples(value)
    return _encoded("".join([f"{lines.start(own)}{number(sample)}\n" for own, sample in samples]))


def _encoded(text: str) -> bytes:
    """Encode lines; a lone surrogate, which UTF-8 cannot carry, becomes a question mark."""
    return text.encode("utf-8", "replace")
