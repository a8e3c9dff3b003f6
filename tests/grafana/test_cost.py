"""What a fleet costs Prometheus: the queries of the dashboard Fleet, and the evaluation of all rules.

Prometheus counts the samples that an expression reads: they depend on the fleet, and not on the machine.
``make bench-prometheus`` sets COST_CLUSTERS to 10,000, limits the seconds as well, and prints all figures.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from grafana.boards import DASHBOARDS, chosen, substituted

from support.prometheus import Prometheus, needs_prometheus, prometheus
from support.rules import PROMETHEUS, ROOT, quickened_rules, rules
from support.servers import running
from support.waiting import eventually

LARGE = "COST_CLUSTERS" in os.environ
CLUSTERS = int(os.environ.get("COST_CLUSTERS", "100"))
PACKAGES = 20
POINTS = 240
"""Points of a graph."""
MOST_SAMPLES_OF_FLEET = 3000
"""Samples that what is open of Fleet reads for each cluster, graphs and annotations included."""
MOST_SAMPLES_OF_RULES = 30
"""Samples that one evaluation of all rules reads for each package."""
MOST_SECONDS_OF_FLEET = 10.0
MOST_OF_THE_INTERVAL = 0.1
WAIT_SECONDS = 1500.0 if LARGE else 120.0

pytestmark = [needs_prometheus, pytest.mark.timeout(3000 if LARGE else 240)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What an expression cost: the time within Prometheus, and the samples that were read."""

    seconds: float
    samples: int


@asynccontextmanager
async def scraped(directory: Path) -> AsyncIterator[Prometheus]:
    """Scrape the metrics of a made-up fleet until every rule has been evaluated with them."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    exporter = (
        *("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "benchmarks.served_metrics"),
        *(f"--port={port}", f"--clusters={CLUSTERS}", f"--packages={PACKAGES}"),
    )
    target = {"targets": [f"127.0.0.1:{port}"]}
    job = {"job_name": "ontap-packages", "honor_labels": True, "static_configs": [target]}
    files = str(PROMETHEUS / "rules" / "*.yaml") if LARGE else quickened_rules(directory / "rules")
    every = dict.fromkeys(
        ("scrape_interval", "scrape_timeout", "evaluation_interval"), "60s" if LARGE else "1s"
    )
    async with (
        running(*exporter, log=directory / "exporter.log"),
        prometheus(directory, [job], rule_files=[files], **{"global": every}) as server,
    ):
        await eventually(
            lambda: server.query(f"count(ontap_up) == {CLUSTERS}"), seconds=WAIT_SECONDS, what="a scrape"
        )
        known = time.time()

        async def evaluated() -> bool:
            last = [datetime.fromisoformat(group["lastEvaluation"]) for group in await groups(server)]
            return all(moment.timestamp() > known for moment in last)

        await eventually(evaluated, seconds=WAIT_SECONDS, what="an evaluation of all rules")
        yield server


async def groups(server: Prometheus) -> list[dict[str, Any]]:
    """Return the groups of rules with their last evaluations."""
    async with server.session.get(f"{server.url}/api/v1/rules") as response:
        return list((await response.json())["data"]["groups"])


async def cost(server: Prometheus, expression: str, *, points: int = 1) -> Cost:
    """Evaluate an expression for so many points of a graph: the last seconds, which are known in full.

    In the short form, there are not as many seconds yet: one point counts so many times.
    """
    now, path = int(time.time()), "query"
    times = {"time": str(now)}
    if LARGE and points > 1:
        path, times = "query_range", {"start": str(now - points + 1), "end": str(now), "step": "1"}
    asked = {"query": expression, "stats": "all", **times}
    async with server.session.get(f"{server.url}/api/v1/{path}", params=asked) as response:
        answer = await response.json()
    assert answer["status"] == "success", answer
    stats = answer["data"]["stats"]
    times_counted = 1 if path == "query_range" else points
    return Cost(
        seconds=stats["timings"]["evalTotalTime"],
        samples=stats["samples"]["totalQueryableSamples"] * times_counted,
    )


def fleet() -> list[tuple[str, str, int]]:
    """Return what Fleet asks when it is opened: title, expression and at how many times."""
    dashboard = DASHBOARDS["fleet"]
    values = {**chosen(dashboard), "job": "ontap-packages", "__interval": "6m", "__range": "1d"}
    found = [
        (panel["title"], target["expr"], 1 if target.get("instant") else POINTS)
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]
    marks = dashboard["annotations"]["list"]
    found += [(mark["name"], mark["expr"], POINTS) for mark in marks if mark.get("expr")]
    return [(title, substituted(expression, values), points) for title, expression, points in found]


async def test_fleet_and_the_rules_cost_little(tmp_path: Path) -> None:
    async with scraped(tmp_path) as server:
        asked = [(title, await cost(server, query, points=points)) for title, query, points in fleet()]
        evaluated = [(str(rule.text), await cost(server, rule.expression)) for rule in rules()]
        ran = {group["name"]: group["evaluationTime"] / group["interval"] for group in await groups(server)}
    seconds = sum(found.seconds for _, found in asked)
    of_fleet = sum(found.samples for _, found in asked) / CLUSTERS
    of_rules = sum(found.samples for _, found in evaluated) / (CLUSTERS * PACKAGES)
    figures = [
        f"{found.seconds:8.3f} s {found.samples:12,}  {what[:60]}" for what, found in asked + evaluated
    ]
    figures += [f"{share:8.3f} of the interval: {name}" for name, share in ran.items()]
    figures += [f"Fleet: {len(asked)} queries, {seconds:.2f} s, {of_fleet:.0f} samples a cluster"]
    figures += [f"rules: {of_rules:.1f} samples a package"]
    print("", *figures, sep="\n")  # noqa: T201 - the figures of docs/performance.md
    assert of_fleet <= MOST_SAMPLES_OF_FLEET
    assert of_rules <= MOST_SAMPLES_OF_RULES
    if LARGE:
        assert seconds <= MOST_SECONDS_OF_FLEET
        assert max(ran.values()) <= MOST_OF_THE_INTERVAL
