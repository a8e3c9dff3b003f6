"""``docs/metrics.md`` and the tables in the code name the same metrics, types, labels and reasons."""

from __future__ import annotations

from typing import Any

import pytest
from docs.markdown import ROOT, code, rows
from prometheus_client.core import Metric

from exporter.cleanup.records import DURATION_BUCKETS_SECONDS, Durations
from exporter.metrics.cleanup import CLEANUP_FAMILIES, CleanupCollector, CleanupState
from exporter.metrics.clusters import CLUSTER_FAMILIES
from exporter.metrics.exporter import EXPORTER_FAMILIES
from exporter.metrics.family import Family
from exporter.ontap.errors import Reason

PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
ROWS = rows(PAGE, "metric")
BY_NAME = {code(row["metric"]): row for row in ROWS}
FAMILIES: tuple[Family[Any], ...] = (*CLUSTER_FAMILIES, *CLEANUP_FAMILIES, *EXPORTER_FAMILIES)
COLLECTED = tuple(
    CleanupCollector(
        lambda: CleanupState(
            durations={
                "retire-old": Durations(buckets=(1,) * (len(DURATION_BUCKETS_SECONDS) + 1), sum_seconds=0.5)
            },
            halted=False,
            journal_open=True,
        )
    ).collect()
)


def fixed_labels(family: Family[Any]) -> tuple[str, ...]:
    """Return the labels that the code adds to every sample of a family."""
    if family in CLEANUP_FAMILIES:
        return ("cluster", "policy")
    return ("cluster",) if family in CLUSTER_FAMILIES else ()


def labels_of(row: dict[str, str]) -> list[str]:
    cell = row["labels"]
    return [] if cell == "none" else [code(label.strip()) for label in cell.split(",")]


def test_the_page_describes_every_metric_once_and_no_other() -> None:
    per_cluster = [family.name for family in FAMILIES if fixed_labels(family)]
    collected = [metric.name for metric in COLLECTED]
    of_exporter = [family.name for family in EXPORTER_FAMILIES]
    assert [code(row["metric"]) for row in ROWS] == [*per_cluster, *collected, *of_exporter]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_metric_has_the_type_and_labels_that_the_page_says(family: Family[Any]) -> None:
    row = BY_NAME[family.name]
    assert row["type"] == str(family.kind)
    assert labels_of(row) == sorted((*fixed_labels(family), *family.labels))


@pytest.mark.parametrize("metric", COLLECTED, ids=lambda metric: metric.name)
def test_a_collected_metric_has_the_type_and_labels_that_the_page_says(metric: Metric) -> None:
    row = BY_NAME[metric.name]
    assert row["type"] == metric.type
    assert set(labels_of(row)) == {name for sample in metric.samples for name in sample.labels} - {"le"}


@pytest.mark.parametrize("name", BY_NAME)
def test_a_row_is_complete(name: str) -> None:
    row = BY_NAME[name]
    assert all(row[column] for column in ("unit", "meaning", "source", "absent"))
    assert (row["unit"] == "seconds") == name.endswith("_seconds")


@pytest.mark.parametrize("family", CLUSTER_FAMILIES, ids=lambda family: family.name)
def test_what_goes_away_with_the_listing_says_so(family: Family[Any]) -> None:
    assert BY_NAME[family.name]["absent"].startswith("when not fresh") == family.while_fresh


def test_the_page_explains_every_reason_and_no_other() -> None:
    explained = rows(PAGE, "reason")
    assert [code(row["reason"]) for row in explained] == [str(reason) for reason in Reason]
    assert all(row["what happened"] and row["what to do"] for row in explained)
