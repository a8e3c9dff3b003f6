"""A real Prometheus answers every query of every dashboard about a fleet that has everything to show."""

from __future__ import annotations

from collections.abc import AsyncIterator, ItemsView, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from exporter.simulator import Fault, FaultKind, Simulator
from exporter.simulator.exporter_configuration import exporter_config, write_secret
from exporter.simulator.ready_made_fleets import demo_fleet
from support.daemon_process import program
from support.dashboards.asking import Answer, answers, choices, labels_missing, values
from support.dashboards.boards import DASHBOARDS
from support.prometheus import Prometheus, needs_prometheus, prometheus
from support.rules import quickened_rules

pytestmark = [needs_prometheus, pytest.mark.timeout(240)]

FAILING = "ams-prod-01"
"""The cluster on which deletions fail, and which the dashboard of one cluster shows."""
SINGLE = {"cluster": FAILING}
FAILED_CODE = 1
JOBS = "cluster_policy_outcome:ontap_cleanup_jobs:max"
CLEANUP = """\
cleanup:
  policies:
    - name: retire-old
      clusters: {names: ["ams-*", "fra-*"]}
      every: 1h
      keep_newest: 1
      older_than: 180d
      dry_run: false
      seen_for: 0s
    - name: plan-only
      clusters: {names: ["nyc-*"]}
      every: 1h
      older_than: 1y
"""
SHOWS_EVERYTHING = (
    f'ontap_cleanup_job_errors_total{{cluster="{FAILING}"}} > 0',
    'sum(ontap_cleanup_jobs_total{outcome="success"}) > 0',
    "ontap_cleanup_last_run_success == 0 and on () ontap_cleanup_last_success_timestamp_seconds",
    "histogram_quantile(0.9, sum by (policy, le) (ontap_cleanup_job_duration_seconds_bucket)) > 0",
    'ontap_cleanup_candidates{policy="plan-only"}',
    'sum(increase(ontap_poll_failures_total{reason="connection"}[2h])) > 0',
    "count(rate(ontap_polls_total[10s])) == 12 and count(ontap_software_packages) == 10",
    'sum(rate(ontap_exporter_api_requests_total{code="401"}[30s])) >= 0',
    'sum(sum_over_time(job_policy_outcome:ontap_cleanup_jobs:delta2m{outcome="success"}[5m])) > 0',
    f'sum({JOBS}{{cluster="{FAILING}"}} - min_over_time({JOBS}{{cluster="{FAILING}"}}[2m])) > 0',
    "cluster:ontap_software_package_unused_old:count > 0",
    'ALERTS{alertname="OntapClusterDown", alertstate="firing"}',
)
"""What is waited for before the dashboards are asked."""
WITHOUT_CLEANUP = (
    'sum(increase(ontap_poll_failures_total{reason="connection"}[2h])) > 0',
    "count(rate(ontap_polls_total[10s])) == 12 and count(ontap_software_packages) == 10",
    "cluster:ontap_software_package_unused_old:count > 0",
    'ALERTS{alertname="OntapClusterDown", alertstate="firing"}',
)

EMPTY: Mapping[tuple[str, str], str] = {
    ("cluster", "Why it is down"): "it is up",
    ("cluster", "Failed polls in the time shown"): "none has failed",
    ("cluster", "Policies"): "every deletion fails on this cluster, so no run has ever succeeded there",
    ("cleanup", "Deletions under way"): "none is under way any more",
    ("fleet", "Certificates"): "a cluster that never answered has shown none",
}
"""What may have no data although all is there to be shown: dashboard and panel, and why."""
OF_CLEANUP: Mapping[str, set[str]] = {
    "fleet": {"Cleanup failed", "Kill switch", "Cleanup runs that failed"},
    "cluster": {"Policies", "Deletions in the time shown", "ONTAP's error codes"},
}
"""Panels without data if cleanup is not configured; the dashboard of cleanup has none at all."""


async def asked(server: Prometheus, dashboard: Any) -> list[Answer]:
    """Open a dashboard, and ask all that it asks."""
    options = await choices(server, dashboard, SINGLE)
    return await answers(server, dashboard, values(dashboard, options, SINGLE))


@asynccontextmanager
async def scraped(directory: Path, cleanup: str, *, until: tuple[str, ...]) -> AsyncIterator[Prometheus]:
    """Poll and scrape the demo fleet, deletions failing on one cluster, until all is there to be shown.

    No deletion ends before Prometheus has recorded that none has: only from then on is it an increase.
    Prometheus scrapes another program too, which is down: the dashboards must not show it.
    """
    clusters = demo_fleet(datetime.now(UTC))
    for cluster in clusters:
        cluster.job_seconds = 1.0
        cluster.jobs.hold()
        if cluster.name == FAILING:
            cluster.faults.add(Fault(FaultKind.JOB_FAILURE, code=FAILED_CODE, message="The job failed."))
    async with Simulator(clusters, directory=directory) as simulator:
        config = directory / "config.yaml"
        text = exporter_config(simulator, poll_interval="2s", poll_timeout="20s", extra=cleanup)
        write_secret(config, text.replace("tls_config:", "stale_after: 60s\n  tls_config:", 1))
        async with program("run", f"--config.file={config}", "--web.listen-address=127.0.0.1:0") as daemon:
            target = daemon.url.removeprefix("http://")
            jobs: list[dict[str, Any]] = [
                {"job_name": "ontap", "static_configs": [{"targets": [target]}], "honor_labels": True},
                {"job_name": "another-program", "static_configs": [{"targets": ["127.0.0.1:1"]}]},
            ]
            rules = quickened_rules(directory / "rules")
            async with prometheus(directory, jobs, rule_files=[rules]) as server:
                if cleanup:
                    await server.until(f'sum({JOBS}) == 0 and on () sum({JOBS}{{cluster="{FAILING}"}}) == 0')
                for cluster in clusters:
                    cluster.jobs.release()
                for expression in until:
                    await server.until(expression)
                yield server


async def test_every_query_has_something_to_show(tmp_path: Path) -> None:
    async with scraped(tmp_path, CLEANUP, until=SHOWS_EVERYTHING) as server:
        found = {name: await asked(server, dashboard) for name, dashboard in DASHBOARDS.items()}
        options = {name: await choices(server, board, SINGLE) for name, board in DASHBOARDS.items()}
    assert [(name, answer) for name, all_ in found.items() for answer in all_ if answer.error] == []
    assert [name for name, variables in options.items() if not all(variables.values())] == []
    empty = {(name, one.panel) for name, all_ in found.items() for one in all_ if one.empty}
    assert empty - set(EMPTY) == set()
    missing = {
        (name, panel): labels
        for name, board in DASHBOARDS.items()
        for panel, labels in labels_missing(board, found[name])
        if (name, panel) not in EMPTY
    }
    assert missing == {}


async def test_without_cleanup_only_its_own_panels_are_empty(tmp_path: Path) -> None:
    async with scraped(tmp_path, "", until=WITHOUT_CLEANUP) as server:
        found = {name: await asked(server, dashboard) for name, dashboard in DASHBOARDS.items()}
    assert [(name, answer) for name, all_ in found.items() for answer in all_ if answer.error] == []
    assert [answer.panel for answer in found["cleanup"] if not answer.empty] == []
    for name in set(found) - {"cleanup"}:
        empty = {answer.panel for answer in found[name] if answer.empty}
        assert empty - {panel for board, panel in EMPTY if board == name} <= OF_CLEANUP.get(name, set())
        assert OF_CLEANUP.get(name, set()) - {"Policies"} <= empty
    assert numbers(found["exporter"]) >= {"Exporters up": 1, "Exporters down": 0, "Clusters": 12}.items()
    assert numbers(found["fleet"]) >= {"Exporters down": 0, "Clusters": 12, "Clusters down": 2}.items()


def numbers(all_: list[Answer]) -> ItemsView[str, float]:
    """Give the large numbers of a dashboard, by their titles."""
    return {
        answer.panel: float(answer.result[0]["value"][1])
        for answer in all_
        if len(answer.result) == 1 and "value" in answer.result[0]
    }.items()


async def test_a_query_that_is_wrong_is_reported(tmp_path: Path) -> None:
    target = {"expr": "sum(", "refId": "A", "instant": True}
    dashboard = {
        "panels": [{"type": "stat", "title": "One", "targets": [target]}],
        "templating": {"list": []},
    }
    async with prometheus(tmp_path, []) as server:
        (answer,) = await answers(server, dashboard, {})
    assert "parse error" in answer.error
