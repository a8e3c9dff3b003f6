"""Every metric that a dashboard asks for is one that the exporter or Prometheus itself has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector

from exporter.metrics.cleanup_metrics import CLEANUP_FAMILIES, CLEANUP_STATE_FAMILIES, LEASE_FAMILIES
from exporter.metrics.cluster_metrics import CLUSTER_FAMILIES
from exporter.metrics.exporter_metrics import EXPORTER_FAMILIES
from exporter.metrics.family import Row, sample_names
from support.dashboards.boards import DASHBOARDS, targets, variables
from support.dashboards.queries import readable, selectors
from support.rules import recorded

FAMILIES: tuple[Row[Any], ...] = (
    *CLUSTER_FAMILIES,
    *CLEANUP_FAMILIES,
    *CLEANUP_STATE_FAMILIES,
    *LEASE_FAMILIES,
    *EXPORTER_FAMILIES,
)
PROMETHEUS_OWN = {"up", "ALERTS", "scrape_duration_seconds", "scrape_samples_scraped"}
"""What Prometheus says of every target."""


def exported() -> Iterator[str]:
    """Give the names of all samples that the exporter can serve."""
    for family in FAMILIES:
        yield from sample_names(family)
    for metric in ProcessCollector(registry=CollectorRegistry()).collect():
        yield from (sample.name for sample in metric.samples)


KNOWN = {*exported(), *PROMETHEUS_OWN, *recorded()}
ONLY_IN_RECORDS = {"ontap_cleanup_jobs_total": "its differences are counted by series that the rules record"}


def asked(dashboard: Any) -> set[str]:
    """Give the names of the metrics that the queries and variables of a dashboard ask for."""
    expressions = [target["expr"] for _, target in targets(dashboard)]
    expressions += [
        variable["query"].removeprefix("label_values(").rpartition(",")[0]
        for variable in variables(dashboard, "query").values()
    ]
    return {
        name
        for expression in expressions
        for selector in selectors(readable(dashboard, expression))
        for name in selector.names
    }


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_asks_for_metrics_that_are_there(name: str) -> None:
    assert asked(DASHBOARDS[name]) - KNOWN == set()


def test_the_dashboards_together_show_nearly_every_metric() -> None:
    shown = {metric for dashboard in DASHBOARDS.values() for metric in asked(dashboard)}
    not_shown = {family.name for family in FAMILIES if shown.isdisjoint(sample_names(family))}
    assert not_shown == set(ONLY_IN_RECORDS)


def test_a_metric_that_is_not_there_is_found() -> None:
    assert selectors('sum(ontap_package{job=~"$job"})')[0].metric not in KNOWN
