"""A histogram is exposed as prometheus_client writes it, whatever its labels hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.utils import floatToGoString

from exporter.metrics.exposition import Exposition, render_once
from exporter.metrics.family import Family, HistogramFamily, HistogramSample, Row, one
from exporter.metrics.text import Format
from support.exposed import text_of

NAME = "ontap_wait_seconds"
HELP = "How long something took."
BOUNDS = (0.5, 5.0, 3600.0)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
COUNTS = st.lists(st.integers(0, 10**6), min_size=4, max_size=4).map(
    lambda found: tuple(sum(found[: end + 1]) for end in range(len(found)))
)
OBSERVED = st.tuples(COUNTS, st.floats(0, 1e9))


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Counts and sums by the values of the labels ``a`` and ``z``, which stand on either side of ``le``."""

    known: Mapping[tuple[str, str], tuple[tuple[int, ...], float]]

    def samples(self) -> Iterable[HistogramSample]:
        return ((own, counts, total) for own, (counts, total) in self.known.items())


TABLE: tuple[HistogramFamily[Waits], ...] = (
    HistogramFamily(
        name=NAME, help=HELP, source="test", labels=("a", "z"), bounds=BOUNDS, samples=Waits.samples
    ),
)
WAITS = st.builds(Waits, known=st.dictionaries(st.tuples(TEXTS, TEXTS), OBSERVED, max_size=3))
FIXED = (("cluster", 'c"1'), ("site", "ams"))


class Reference:
    """The same samples, for prometheus_client to write."""

    def __init__(self, waits: Waits) -> None:
        self._waits = waits

    def collect(self) -> Iterator[Metric]:
        fixed = dict(FIXED)
        metric = HistogramMetricFamily(NAME, HELP, labels=["a", "z", *fixed], unit="seconds")
        bounds = [floatToGoString(bound) for bound in (*BOUNDS, math.inf)]  # type: ignore[no-untyped-call]
        for own, counts, total in self._waits.samples():
            metric.add_metric([*own, *fixed.values()], list(zip(bounds, counts, strict=True)), total)
        yield metric


def exposed(waits: Waits, form: Format) -> str:
    exposition = Exposition(TABLE)
    exposition.update("c1", waits, fixed=FIXED)
    return text_of(exposition.all(), form=form)


@given(WAITS)
def test_both_formats_equal_the_reference(waits: Waits) -> None:
    registry = CollectorRegistry()
    registry.register(Reference(waits))
    assert exposed(waits, Format.TEXT) == generate_latest(registry).decode()
    openmetrics = generate_openmetrics(registry).decode()  # type: ignore[no-untyped-call]
    assert exposed(waits, Format.OPENMETRICS) + "# EOF\n" == openmetrics


@pytest.mark.parametrize(
    ("name", "is_there"), [(NAME, True), (f"{NAME}_bucket", True), (f"{NAME}_count", True), ("ontap", False)]
)
def test_a_histogram_is_selected_whole_by_its_name_or_a_samples_name(name: str, *, is_there: bool) -> None:
    table: tuple[Row[int], ...] = (
        HistogramFamily(
            name=NAME,
            help=HELP,
            source="test",
            bounds=(1.0,),
            samples=lambda count: (((), (0, count), 2.5),),
        ),
        Family(name="other", help=HELP, source="test", samples=one),
    )
    joined = text_of(render_once(table, 3), names=[name])
    lines = [line for line in joined.splitlines() if not line.startswith("#")]
    whole = [
        f'{NAME}_bucket{{le="1.0"}} 0.0',
        f'{NAME}_bucket{{le="+Inf"}} 3.0',
        f"{NAME}_count 3.0",
        f"{NAME}_sum 2.5",
    ]
    assert lines == (whole if is_there else [])
