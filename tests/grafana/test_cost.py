"""What a fleet costs Prometheus: the queries of the dashboard Fleet, and the evaluation of all rules.

Prometheus counts the samples that an expression reads: they depend on the fleet, and not on the machine.
``make bench-prometheus`` sets COST_CLUSTERS to 10,000, limits the CPU time as well, and prints all figures.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from support.dashboards.boards import DASHBOARDS, chosen, substituted
from support.prometheus import Prometheus, needs_prometheus, prometheus
from support.rules import PROMETHEUS, ROOT, quickened_rules, rules
from support.servers import running
from support.waiting import eventually

LARGE = "COST_CLUSTERS" in os.environ
CLUSTERS = int(os.environ.get("COST_CLUSTERS", "100"))
PACKAGES = 20
MARKS = 240
"""At how many times an annotation is evaluated, about."""
STEP_SECONDS = 0.1
"""Between the points of a graph; what a point costs hardly depends on it, and history is short."""
REPEATED = 3 if LARGE else 1
MOST_SAMPLES_OF_FLEET = 300
"""Samples that what is open of Fleet reads for each cluster, graphs and annotations included."""
MOST_SAMPLES_OF_RULES = 13
"""Samples that one evaluation of the rules without ranges reads for each package."""
MOST_SECONDS_OF_FLEET = 10.0
MOST_OF_THE_INTERVAL = 0.1
WAIT_SECONDS = 1500.0 if LARGE else 120.0
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")

pytestmark = [needs_prometheus, pytest.mark.timeout(3000 if LARGE else 240)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What an expression cost: the CPU time of Prometheus, and the samples that it read."""

    cpu_seconds: float
    samples: int


@asynccontextmanager
async def recorded(directory: Path) -> AsyncIterator[tuple[Prometheus, float]]:
    """Scrape a made-up fleet until the rules have recorded all, then let Prometheus do nothing but answer.

    Gives the last moment of which all is known, too.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    exporter = (
        *("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "benchmarks.served_metrics"),
        *(f"--port={port}", f"--clusters={CLUSTERS}", f"--packages={PACKAGES}"),
    )
    target = {"targets": [f"127.0.0.1:{port}"]}
    job = {"job_name": "ontap-packages", "honor_labels": True, "static_configs": [target]}
    files = str(PROMETHEUS / "rules" / "*.yaml") if LARGE else quickened_rules(directory / "rules")
    every = {
        **dict.fromkeys(("scrape_interval", "scrape_timeout"), "120s" if LARGE else "1s"),
        "evaluation_interval": "60s" if LARGE else "1s",
    }
    async with prometheus(directory, [job], rule_files=[files], **{"global": every}) as server:
        async with running(*exporter, log=directory / "exporter.log"):
            await eventually(
                lambda: server.query(f"count(ontap_up) == {CLUSTERS}"), seconds=WAIT_SECONDS, what="a scrape"
            )
            known = time.time()

            async def evaluated() -> bool:
                last = [datetime.fromisoformat(group["lastEvaluation"]) for group in await groups(server)]
                return all(moment.timestamp() > known for moment in last)

            await eventually(evaluated, seconds=WAIT_SECONDS, what="an evaluation of all records")
            moment = time.time()
            (directory / "prometheus.yml").write_text("{}")
            os.kill(server.pid, signal.SIGHUP)

            async def idle() -> bool:
                return not await groups(server)

            await eventually(idle, seconds=WAIT_SECONDS, what="the end of all rules")
        yield server, moment


async def groups(server: Prometheus) -> list[dict[str, Any]]:
    """Return the groups that record series, with their last evaluations."""
    async with server.session.get(f"{server.url}/api/v1/rules", params={"type": "record"}) as response:
        found = (await response.json())["data"]["groups"]
    return [group for group in found if group["rules"]]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND


async def cost(server: Prometheus, moment: float, expression: str, *, points: int = 1) -> Cost:
    """Evaluate an expression for this many points of a graph, which end at a moment.

    The short form evaluates one point: there is no history yet. The other one evaluates all of them, several
    times, and takes the least CPU time: Prometheus does other things now and then.
    """
    asked = {"query": expression, "stats": "all", "time": str(moment)}
    path, counted = "query", points
    if LARGE and points > 1:
        span = {"start": str(moment - (points - 1) * STEP_SECONDS), "end": str(moment)}
        asked, path, counted = {**asked, **span, "step": str(STEP_SECONDS)}, "query_range", 1
    costs = []
    for _ in range(REPEATED):
        before = cpu_seconds(server.pid)
        async with server.session.get(f"{server.url}/api/v1/{path}", params=asked) as response:
            answer = await response.json()
        assert answer["status"] == "success", answer
        taken = cpu_seconds(server.pid) - before
        samples = answer["data"]["stats"]["samples"]["totalQueryableSamples"]
        costs.append(Cost(cpu_seconds=counted * taken, samples=counted * samples))
    return min(costs, key=attrgetter("cpu_seconds"))


def fleet() -> list[tuple[str, str, int]]:
    """Return what Fleet asks when it is opened: title, expression and for how many points."""
    dashboard = DASHBOARDS["fleet"]
    values = {**chosen(dashboard), "job": "ontap-packages", "__interval": "6m", "__range": "1d"}
    found = [
        (panel["title"], target["expr"], 1 if target.get("instant") else panel["maxDataPoints"])
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]
    marks = dashboard["annotations"]["list"]
    found += [(mark["name"], mark["expr"], MARKS) for mark in marks if mark.get("expr")]
    return [(title, substituted(expression, values), points) for title, expression, points in found]


async def test_fleet_and_the_rules_cost_little(tmp_path: Path) -> None:
    evaluated = rules()
    async with recorded(tmp_path) as (server, moment):
        asked = [
            (title, await cost(server, moment, query, points=points)) for title, query, points in fleet()
        ]
        ran = [(rule, await cost(server, moment, rule.expression)) for rule in evaluated]
    of_groups: dict[str, float] = defaultdict(float)
    for rule, found in ran:
        of_groups[rule.group] += found.cpu_seconds / rule.interval_seconds
    seconds = sum(found.cpu_seconds for _, found in asked)
    of_fleet = sum(found.samples for _, found in asked) / CLUSTERS
    at_once = [found.samples for rule, found in ran if "[" not in rule.expression]
    of_rules = sum(at_once) / (CLUSTERS * PACKAGES)
    named = [*asked, *((str(rule.alert or rule.record), found) for rule, found in ran)]
    figures = [f"{found.cpu_seconds:8.3f} s {found.samples:12,}  {what}" for what, found in named]
    figures += [f"{share:8.3f} of the interval: {name}" for name, share in of_groups.items()]
    figures += [f"Fleet: {len(asked)} queries, {seconds:.2f} s, {of_fleet:.0f} samples a cluster"]
    figures += [f"rules: {of_rules:.1f} samples a package"]
    print("", *figures, sep="\n")  # noqa: T201 - the figures of docs/performance.md
    assert of_fleet <= MOST_SAMPLES_OF_FLEET
    assert of_rules <= MOST_SAMPLES_OF_RULES
    if LARGE:
        assert seconds <= MOST_SECONDS_OF_FLEET
        assert max(of_groups.values()) <= MOST_OF_THE_INTERVAL
