"""Each cluster's lines, rendered once per poll and joined at the scrape.

Rendering a cluster happens on the event loop, when its poll ends. Joining takes only immutable values, so
it may happen in a thread while polls go on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from exporter.metrics.families import CLUSTER_FAMILIES, EXPORTER_FAMILIES, ExporterState, Family, S, Value
from exporter.metrics.text import Format, Lines, base_name, header, number
from exporter.polling.board import ClusterStatus

_FAMILIES: tuple[Family[Any], ...] = (*CLUSTER_FAMILIES, *EXPORTER_FAMILIES)
_HEADERS = {form: {family.name: header(family, form) for family in _FAMILIES} for form in Format}
OPENMETRICS_END = b"# EOF\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ages:
    """The lines of a family whose values are ages: each line's beginning and the Unix time it counts from."""

    since: tuple[tuple[str, float], ...]

    def at(self, now: float) -> bytes:
        """Return the lines at a moment (Unix seconds)."""
        return _encoded(f"{start}{number(max(now - since, 0.0))}\n" for start, since in self.since)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedCluster:
    """One cluster's lines, a block for every row of ``CLUSTER_FAMILIES``.

    Attributes:
        fresh_until_timestamp_seconds: when the blocks of its inventory no longer count.
        blocks: in the table's order.
    """

    fresh_until_timestamp_seconds: float
    blocks: tuple[bytes | Ages, ...]


def render_cluster(status: ClusterStatus) -> RenderedCluster:
    """Render everything that is known of one cluster."""
    fixed = (("cluster", status.name), *status.labels)
    return RenderedCluster(
        fresh_until_timestamp_seconds=status.fresh_until_timestamp_seconds,
        blocks=tuple(_block(family, status, fixed) for family in CLUSTER_FAMILIES),
    )


class Exposition:
    """Holds the rendered lines of every cluster."""

    def __init__(self) -> None:
        self._clusters: dict[str, RenderedCluster] = {}

    def update(self, status: ClusterStatus) -> None:
        """Render a cluster anew."""
        self._clusters[status.name] = render_cluster(status)

    def clusters(self) -> tuple[RenderedCluster, ...]:
        """Return what is rendered now."""
        return tuple(self._clusters.values())

    def cluster(self, name: str) -> RenderedCluster:
        """Return what is rendered of one cluster.

        Raises:
            KeyError: there is no such cluster.
        """
        return self._clusters[name]


def join_clusters(
    clusters: Iterable[RenderedCluster], *, now: float, form: Format, wanted: Callable[[str], bool]
) -> bytes:
    """Join the lines of clusters, family by family.

    Args:
        clusters: rendered before.
        now: the moment of the scrape, Unix seconds.
        form: decides on the headers.
        wanted: says of a metric's name whether it is to be in the answer.
    """
    every = tuple(clusters)
    fresh = tuple(cluster for cluster in every if now <= cluster.fresh_until_timestamp_seconds)
    parts: list[bytes] = []
    for index, family in enumerate(CLUSTER_FAMILIES):
        if not is_wanted(family, wanted):
            continue
        parts.append(_HEADERS[form][family.name])
        for cluster in fresh if family.while_fresh else every:
            block = cluster.blocks[index]
            parts.append(block.at(now) if isinstance(block, Ages) else block)
    return b"".join(parts)


def render_exporter(state: ExporterState, *, form: Format, wanted: Callable[[str], bool]) -> bytes:
    """Render what the exporter tells of itself."""
    parts: list[bytes] = []
    for family in EXPORTER_FAMILIES:
        if is_wanted(family, wanted):
            block = _block(family, state, ())
            parts += (_HEADERS[form][family.name], block if isinstance(block, bytes) else b"")
    return b"".join(parts)


def is_wanted(family: Family[S], wanted: Callable[[str], bool]) -> bool:
    """Say whether a family was asked for, by its name in either format."""
    return wanted(family.name) or wanted(base_name(family))


def names_filter(names: Collection[str]) -> Callable[[str], bool]:
    """Return a filter for metrics' names; without names, all are wanted."""
    return frozenset(names).__contains__ if names else lambda _: True


def _block(family: Family[S], value: S, fixed: Iterable[tuple[str, str]]) -> bytes | Ages:
    lines = Lines(family.name, fixed, family.labels)
    samples = ((lines.start(own), sample) for own, sample in family.samples(value))
    if family.value is Value.AGE:
        return Ages(since=tuple(samples))
    return _encoded(f"{start}{number(sample)}\n" for start, sample in samples)


def _encoded(lines: Iterable[str]) -> bytes:
    """Encode lines; a lone surrogate, which UTF-8 cannot carry, becomes a question mark."""
    return "".join(lines).encode("utf-8", "replace")
