"""Lines that are rendered when a value changes and joined at the scrape.

Rendering a value happens on the event loop. Joining takes only immutable values, so it may happen in a thread
meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass
from math import inf
from typing import Generic

from exporter.metrics.family import Family, S, Value
from exporter.metrics.text import Format, Lines, base_name, header, number

Labels = tuple[tuple[str, str], ...]
OPENMETRICS_END = b"# EOF\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ages:
    """The lines of a family whose values are ages: each line's beginning and the Unix time it counts from."""

    since: tuple[tuple[str, float], ...]

    def at(self, now: float) -> bytes:
        """Return the lines at a moment (Unix seconds)."""
        return _encoded(f"{start}{number(max(now - since, 0.0))}\n" for start, since in self.since)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """The lines of one value, a block for every row of its table.

    Attributes:
        fresh_until_timestamp_seconds: when the blocks that go away with a stale inventory no longer count.
        blocks: in the table's order.
    """

    fresh_until_timestamp_seconds: float
    blocks: tuple[bytes | Ages, ...]


class Exposition(Generic[S]):
    """Holds the rendered lines of many values of one kind, each under a key.

    Args:
        families: the table of their metrics.
    """

    def __init__(self, families: tuple[Family[S], ...]) -> None:
        self._families = families
        self._rendered: dict[Hashable, Rendered] = {}

    def update(self, key: Hashable, value: S, *, fixed: Labels, fresh_until: float = inf) -> None:
        """Render a value anew.

        Args:
            key: names it; what was rendered under the key before is dropped.
            value: what the families' samples follow from.
            fixed: labels that every one of its lines carries.
            fresh_until: when its inventory grows stale, Unix seconds.
        """
        blocks = tuple(_block(family, value, fixed) for family in self._families)
        self._rendered[key] = Rendered(fresh_until_timestamp_seconds=fresh_until, blocks=blocks)

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
    values: tuple[Rendered, ...]

    def join(self, *, now: float, form: Format, wanted: Callable[[str], bool]) -> bytes:
        """Join the lines, family by family.

        Args:
            now: the moment of the scrape, Unix seconds.
            form: decides on the headers.
            wanted: says of a metric's name whether it is to be in the answer.
        """
        fresh = tuple(value for value in self.values if now <= value.fresh_until_timestamp_seconds)
        parts: list[bytes] = []
        for index, family in enumerate(self.families):
            if not is_wanted(family, wanted):
                continue
            parts.append(header(family, form))
            for value in fresh if family.while_fresh else self.values:
                block = value.blocks[index]
                parts.append(block.at(now) if isinstance(block, Ages) else block)
        return b"".join(parts)


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


def _block(family: Family[S], value: S, fixed: Labels) -> bytes | Ages:
    lines = Lines(family.name, fixed, family.labels)
    samples = ((lines.start(own), sample) for own, sample in family.samples(value))
    if family.value is Value.AGE:
        return Ages(since=tuple(samples))
    return _encoded(f"{start}{number(sample)}\n" for start, sample in samples)


def _encoded(lines: Iterable[str]) -> bytes:
    """Encode lines; a lone surrogate, which UTF-8 cannot carry, becomes a question mark."""
    return "".join(lines).encode("utf-8", "replace")
