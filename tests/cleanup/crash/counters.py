"""Cleanup's counters as Prometheus sees them over many lives of the daemon: they never go back."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

Series = tuple[str, tuple[tuple[str, str], ...]]
"""A sample's name and its labels, ordered by name."""

_COUNTING = frozenset({"counter", "histogram"})


def counters_in(text: str) -> dict[Series, float]:
    """Return every counter of cleanup in an exposition, those of histograms included."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        if family.name.startswith("ontap_cleanup_") and family.type in _COUNTING
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def gauge_in(text: str, name: str, **labels: str) -> float | None:
    """Return the value of the first series of a name with at least these labels; None where there is none."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return None


class Counters:
    """The greatest value that each counter was seen with.

    Skipped runs are left out: they count from the start of the program.
    """

    def __init__(self) -> None:
        self.seen: dict[Series, float] = {}

    def gone_back(self, text: str) -> dict[Series, tuple[float, float | None]]:
        """Return what an exposition shows with less than was seen before, and what it no longer shows."""
        now = counters_in(text)
        return {
            series: (before, now.get(series))
            for series, before in self.seen.items()
            if now.get(series, -1.0) < before
        }

    def note(self, text: str) -> None:
        """Check an exposition, and take it over."""
        back = self.gone_back(text)
        assert not back, f"counters have gone back, or are gone: {back}"
        self.seen.update(
            {series: value for series, value in counters_in(text).items() if "skipped" not in series[0]}
        )

    def total(self, name: str, *by: str) -> Mapping[tuple[str, ...], int]:
        """Return the counters of a name that are above zero, by these labels."""
        found: dict[tuple[str, ...], int] = {}
        for (series, labels), value in self.seen.items():
            if series == name and value:
                key = tuple(dict(labels)[label] for label in by)
                found[key] = found.get(key, 0) + int(value)
        return found

    def values_of(self, name: str, *by: str) -> set[tuple[str, ...]]:
        """Return the values of these labels that the counters of a name have."""
        return {tuple(dict(labels)[label] for label in by) for series, labels in self.seen if series == name}
