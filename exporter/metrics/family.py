"""What a row of a table of metrics says: what a metric is, and how its samples follow from a value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

S = TypeVar("S")

Sample = tuple[tuple[str, ...], float]
"""The values of the family's own labels, in the row's order, and the sample's value."""


class Kind(StrEnum):
    """The types of metric in use, as Prometheus names them."""

    GAUGE = "gauge"  # a value that goes up and down
    COUNTER = "counter"  # a value that only grows, from 0 at the start of the process


class Value(StrEnum):
    """How a sample's value is exposed."""

    AS_IT_IS = "as it is"  # the value itself
    AGE = "age"  # the seconds from the value, a Unix time, to the scrape; 0 where that lies in the future


@dataclass(frozen=True, slots=True, kw_only=True)
class Family(Generic[S]):
    """One metric.

    Attributes:
        name: the full name, with ``_total`` for a counter.
        kind: its type.
        help: one sentence.
        source: where the value comes from: ONTAP's field, or the exporter itself.
        labels: its own labels beside those of the cluster, in alphabetical order.
        samples: gives its samples for a value.
        value: how a sample's value is exposed.
        while_fresh: whether it goes away when the cluster's inventory grows stale.
        follows_from: gives the objects that its samples follow from, all of them immutable: where they are
            the very same ones as before, its lines are not rendered again. None: they always are.
    """

    name: str
    kind: Kind = Kind.GAUGE
    help: str
    source: str
    labels: tuple[str, ...] = ()
    samples: Callable[[S], Iterable[Sample]]
    value: Value = Value.AS_IT_IS
    while_fresh: bool = False
    follows_from: Callable[[S], tuple[object, ...]] | None = None


def one(value: float | None) -> Iterable[Sample]:
    """Give the one sample of a metric without labels of its own; none for None."""
    return () if value is None else (((), value),)
