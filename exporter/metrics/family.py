"""A row of a table of metrics: what a metric is, and how its samples are made from a value.

A table is a tuple of rows for values of one type, such as the status of a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

S = TypeVar("S")

Sample = tuple[tuple[str, ...], float]
"""The values of the row's own labels, in the row's order, and the sample's value."""
HistogramSample = tuple[tuple[str, ...], Sequence[int], float]
"""The values of the row's own labels; how many observations are at or below each bound and, last, how many
there are in all; the sum of the observations."""


class Kind(StrEnum):
    """The types of metric in use, as Prometheus names them."""

    GAUGE = "gauge"  # a value that goes up and down
    COUNTER = "counter"  # a value that only grows, from 0 at the start of the process
    HISTOGRAM = "histogram"  # how many observations are at or below each of some bounds, and their sum


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(Generic[S]):
    """The common part of all rows.

    Attributes:
        name: the full name, with ``_total`` for a counter.
        help: one sentence.
        source: where the value comes from, for example ONTAP's field; by default, the exporter itself.
        labels: its own labels, in alphabetical order; every line also has the fixed labels of its value.
        while_fresh: whether it is served only while the cluster's inventory is fresh.
        depends_on: gives the part of the value that its samples are made from; by default, all of it. While
            it is equal, the lines are not rendered again.
    """

    name: str
    help: str
    source: str = "the exporter"
    labels: tuple[str, ...] = ()
    while_fresh: bool = False
    depends_on: Callable[[S], object] = lambda value: value


@dataclass(frozen=True, slots=True, kw_only=True)
class Family(Metric[S]):
    """A gauge or a counter.

    Attributes:
        samples: gives its samples for a value.
        is_age: whether a sample's value is a Unix time whose age in seconds is exposed, as it is at the
            scrape; 0 if it is in the future.
    """

    samples: Callable[[S], Iterable[Sample]]
    is_age: bool = False

    @property
    def kind(self) -> Kind:
        """Its type, which the name tells."""
        return Kind.COUNTER if self.name.endswith("_total") else Kind.GAUGE


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramFamily(Metric[S]):
    """A histogram, whose samples are named ``_bucket``, ``_count`` and ``_sum`` after it.

    Attributes:
        bounds: the upper bounds of its buckets, ascending; infinity is added.
        samples: gives its samples for a value.
    """

    bounds: tuple[float, ...]
    samples: Callable[[S], Iterable[HistogramSample]]

    @property
    def kind(self) -> Kind:
        """Its type."""
        return Kind.HISTOGRAM


Row = Family[S] | HistogramFamily[S]


def one(value: float | None) -> Iterable[Sample]:
    """Return the only sample of a metric without labels of its own; no sample for None."""
    return () if value is None else (((), value),)


def sample_names(row: Row[S]) -> tuple[str, ...]:
    """Return the names of the row's samples."""
    if row.kind is Kind.HISTOGRAM:
        return (f"{row.name}_bucket", f"{row.name}_count", f"{row.name}_sum")
    return (row.name,)
