"""A real Prometheus answers every query of every dashboard about a fleet that has everything to show."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from grafana.boards import DASHBOARDS, chosen, panels, substituted, targets, variables
from grafana.pending import PENDING
from grafana.queries import selected

from exporter.simulator import Fault, FaultKind, Simulator
from exporter.simulator.configuration import exporter_config, write_secret
from exporter.simulator.fleet import demo_fleet
from support.daemon import program
from support.prometheus import Prometheus, needs_prometheus, prometheus

pytestmark = [needs_prometheus, pytest.mark.timeout(240)]

FAILING = "ams-prod-01"
"""The cluster on which deletions fail, and which the dashboard of one cluster shows."""
FAILED_CODE = 1
CLEANUP = """\
cleanup:
  policies:
    - name: retire-old
      clusters: {names: ["ams-*", "fra-*"]}
      every: 1h
      keep_newest: 1
      older_than: 180d
      dry_run: false
    - name: plan-only
      clusters: {names: ["nyc-*"]}
      every: 1h
      older_than: 1y
"""
_LEGEND = re.compile(r"\{\{(\w+)\}\}")
SHOWS_EVERYTHING = (
    f'ontap_cleanup_job_errors_total{{cluster="{FAILING}"}} > 0',
    'sum(ontap_cleanup_jobs_total{outcome="success"}) > 0',
    "ontap_cleanup_last_run_success == 0 and on () ontap_cleanup_last_success_timestamp_seconds",
    "histogram_quantile(0.9, sum by (policy, le) (ontap_cleanup_job_duration_seconds_bucket)) > 0",
    'ontap_cleanup_candidates{policy="plan-only"}',
    'sum(increase(ontap_poll_failures_total{reason="connection"}[2h])) > 0',
    "count(rate(ontap_polls_total[10s])) == 12 and count(ontap_software_packages) == 10",
    'sum(rate(ontap_exporter_api_requests_total{code="401"}[30s])) >= 0',
)
"""What is waited for before the dashboards are asked."""
WITHOUT_CLEANUP = (
    'sum(increase(ontap_poll_failures_total{reason="connection"}[2h])) > 0',
    "count(rate(ontap_polls_total[10s])) == 12 and count(ontap_software_packages) == 10",
)

EMPTY: Mapping[tuple[str, str, str], str] = {
    ("cluster", "Policies", "F"): "every deletion fails on this cluster, so no run has ever succeeded there",
}
"""What has no data although all is there to be shown: dashboard, panel and query, and why."""
OF_CLEANUP: Mapping[str, set[str]] = {
    "fleet": {"Cleanup failed", "Deleting halted", "Cleanup runs that failed"},
    "cluster": {"Policies", "Deletions in the time shown", "ONTAP's error codes"},
}
"""Panels without data where cleanup is not configured; the dashboard of cleanup has none at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What Prometheus answered to a query.

    Attributes:
        panel: the title of the panel.
        reference: of the query within it.
        error: what was wrong with it.
        empty: whether there was nothing to show.
        labels: those that every series has.
    """

    panel: str
    reference: str
    error: str
    empty: bool
    labels: frozenset[str]


async def ask(server: Prometheus, path: str, params: Mapping[str, str]) -> Any:
    async with server.session.get(f"{server.url}/api/v1/{path}", params=params) as response:
        return await response.json()


def values_of(dashboard: Any) -> dict[str, str]:
    """Give what Grafana puts in place of the variables; of a single choice, the cluster to look at."""
    globals_ = {"__rate_interval": "10s", "__interval": "5s", "__range": "2m"}
    return {"cluster": FAILING, **chosen(dashboard), **globals_}


def pending(dashboard: Any, target: Any) -> bool:
    """Say whether a query asks only for what the exporter does not have yet."""
    return {selector.metric for selector in selected(dashboard, target)} <= set(PENDING)


async def answers(server: Prometheus, dashboard: Any) -> list[Answer]:
    """Ask every query of a dashboard, as Grafana does."""
    now = time.time()
    found = []
    for panel, target in targets(dashboard):
        query = {"query": substituted(target["expr"], values_of(dashboard))}
        if target.get("instant"):
            answer = await ask(server, "query", {**query, "time": str(now)})
        else:
            span = {"start": str(now - 120), "end": str(now), "step": "5"}
            answer = await ask(server, "query_range", {**query, **span})
        result = answer.get("data", {}).get("result") or ()
        found.append(
            Answer(
                panel=panel["title"],
                reference=target["refId"],
                error=answer.get("error", ""),
                empty=not result and not pending(dashboard, target),
                labels=frozenset.intersection(*(frozenset(series["metric"]) for series in result))
                if result
                else frozenset(),
            )
        )
    return found


def labels_shown(panel: Any) -> set[str]:
    """Give the labels that a panel shows as columns or in its legend."""
    shown = {
        name for target in panel["targets"] for name in _LEGEND.findall(target.get("legendFormat") or "")
    }
    for transformation in panel.get("transformations") or ():
        renamed = transformation["options"].get("renameByName", {})
        shown |= {name for name in renamed if not name.startswith("Value")}
    return shown


def labels_missing(dashboard: Any, asked: list[Answer]) -> list[tuple[str, set[str]]]:
    """Give the panels that show labels which none of their answers has."""
    found = []
    for panel in panels(dashboard):
        answered = {label for answer in asked if answer.panel == panel["title"] for label in answer.labels}
        if panel["type"] != "text" and labels_shown(panel) - answered:
            found.append((panel["title"], labels_shown(panel) - answered))
    return found


async def options(server: Prometheus, dashboard: Any) -> dict[str, list[str]]:
    """Ask what can be chosen for every variable of a dashboard."""
    found = {}
    for name, variable in variables(dashboard, "query").items():
        query = substituted(variable["query"], values_of(dashboard))
        selector, _, label = query.removeprefix("label_values(").removesuffix(")").rpartition(",")
        answer = await ask(server, f"label/{label.strip()}/values", {"match[]": selector})
        assert answer["status"] == "success", answer
        found[name] = answer["data"]
    return found


@asynccontextmanager
async def scraped(directory: Path, cleanup: str, *, until: tuple[str, ...]) -> AsyncIterator[Prometheus]:
    """Poll and scrape the demo fleet, deletions failing on one cluster, until all is there to be shown."""
    clusters = demo_fleet(datetime.now(UTC))
    for cluster in clusters:
        cluster.job_seconds = 1.0
        if cluster.name == FAILING:
            cluster.faults.add(Fault(FaultKind.JOB_FAILURE, code=FAILED_CODE, message="The job failed."))
    async with Simulator(clusters, directory=directory) as simulator:
        config = directory / "config.yaml"
        text = exporter_config(simulator, poll_interval="2s", poll_timeout="20s", extra=cleanup)
        write_secret(config, text.replace("tls_config:", "stale_after: 60s\n  tls_config:", 1))
        async with program("run", f"--config.file={config}", "--web.listen-address=127.0.0.1:0") as daemon:
            target = daemon.url.removeprefix("http://")
            scrape = {"job_name": "ontap", "static_configs": [{"targets": [target]}], "honor_labels": True}
            async with prometheus(directory, [scrape]) as server:
                for expression in until:
                    await server.until(expression)
                yield server


async def test_every_query_has_something_to_show(tmp_path: Path) -> None:
    async with scraped(tmp_path, CLEANUP, until=SHOWS_EVERYTHING) as server:
        wrong, without_data, useless, unlabelled = [], set(), [], []
        for name, dashboard in DASHBOARDS.items():
            choices = await options(server, dashboard)
            useless += [(name, variable) for variable, values in choices.items() if not values]
            asked = await answers(server, dashboard)
            unlabelled += [(name, *panel) for panel in labels_missing(dashboard, asked)]
            for answer in asked:
                if answer.error:
                    wrong.append((name, answer))
                elif answer.empty:
                    without_data.add((name, answer.panel, answer.reference))
    assert (wrong, useless, unlabelled) == ([], [], [])
    assert without_data == set(EMPTY)


async def test_without_cleanup_only_its_own_panels_are_empty(tmp_path: Path) -> None:
    async with scraped(tmp_path, "", until=WITHOUT_CLEANUP) as server:
        found = {name: await answers(server, dashboard) for name, dashboard in DASHBOARDS.items()}
    assert [(name, answer) for name, all_ in found.items() for answer in all_ if answer.error] == []
    assert all(answer.empty for answer in found.pop("cleanup"))
    for name, asked in found.items():
        assert {answer.panel for answer in asked if answer.empty} == OF_CLEANUP.get(name, set())


async def test_a_query_that_is_wrong_is_told(tmp_path: Path) -> None:
    dashboard = {"templating": {"list": []}, "panels": [{"type": "stat", "title": "One", "targets": []}]}
    dashboard["panels"][0]["targets"] = [{"expr": "sum(", "refId": "A", "instant": True}]  # type: ignore[index]
    async with prometheus(tmp_path, []) as server:
        (answer,) = await answers(server, dashboard)
    assert "parse error" in answer.error
