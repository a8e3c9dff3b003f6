"""``docs/metrics.md`` and the tables in the code say the same of every metric, and name the same reasons."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.cleanup.outcomes import RunFailure
from exporter.metrics.cleanup_metrics import CLEANUP_FAMILIES, CLEANUP_STATE_FAMILIES, LEASE_FAMILIES
from exporter.metrics.cluster_metrics import CLUSTER_FAMILIES
from exporter.metrics.exporter_metrics import EXPORTER_FAMILIES
from exporter.metrics.family import Row
from exporter.ontap.errors import Reason
from support.markdown import ROOT, code, rows

PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
ROWS = rows(PAGE, "metric")
BY_NAME = {code(row["metric"]): row for row in ROWS}
FAMILIES: tuple[Row[Any], ...] = (
    *CLUSTER_FAMILIES,
    *CLEANUP_FAMILIES,
    *CLEANUP_STATE_FAMILIES,
    *LEASE_FAMILIES,
    *EXPORTER_FAMILIES,
)


def fixed_labels(family: Row[Any]) -> tuple[str, ...]:
    """Return the labels that the code adds to every sample of a family."""
    if family in CLEANUP_FAMILIES:
        return ("cluster", "policy")
    return ("cluster",) if family in (*CLUSTER_FAMILIES, *LEASE_FAMILIES) else ()


def labels_of(row: dict[str, str]) -> list[str]:
    cell = row["labels"]
    return [] if cell == "none" else [code(label.strip()) for label in cell.split(",")]


def test_the_page_describes_every_metric_once_and_no_other() -> None:
    assert [code(row["metric"]) for row in ROWS] == [family.name for family in FAMILIES]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_metric_has_the_type_and_labels_that_the_page_says(family: Row[Any]) -> None:
    row = BY_NAME[family.name]
    assert row["type"] == str(family.kind)
    assert labels_of(row) == sorted((*fixed_labels(family), *family.labels))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_metric_comes_from_where_the_page_says(family: Row[Any]) -> None:
    assert BY_NAME[family.name]["source"].replace("`", "") == family.source


@pytest.mark.parametrize("name", BY_NAME)
def test_a_row_is_complete(name: str) -> None:
    row = BY_NAME[name]
    assert all(row[column] for column in ("unit", "meaning", "absent"))
    assert (row["unit"] == "seconds") == name.endswith("_seconds")


@pytest.mark.parametrize("family", CLUSTER_FAMILIES, ids=lambda family: family.name)
def test_what_goes_away_with_the_listing_says_so(family: Row[Any]) -> None:
    assert BY_NAME[family.name]["absent"].startswith("when not fresh") == family.while_fresh


def test_the_page_explains_every_reason_of_a_failed_run_and_no_other() -> None:
    explained = rows(PAGE, "run failed with")
    assert [code(row["run failed with"]) for row in explained] == [str(failure) for failure in RunFailure]
    assert all(row["what happened"] for row in explained)


def test_the_page_explains_every_reason_and_no_other() -> None:
    explained = rows(PAGE, "reason")
    assert [code(row["reason"]) for row in explained] == [str(reason) for reason in Reason]
    assert all(row["what happened"] and row["what to do"] for row in explained)
