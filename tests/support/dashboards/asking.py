"""Asks a real Prometheus what Grafana would ask it for a dashboard."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from support.dashboards.boards import chosen, panels, substituted, targets, variables
from support.prometheus import Prometheus

SPAN_SECONDS = 120
"""The time shown."""
_GLOBALS = {"__rate_interval": "10s", "__interval": "5s", "__range": f"{SPAN_SECONDS}s"}
_LEGEND = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What Prometheus answered to a query.

    Attributes:
        panel: the title of the panel.
        reference: of the query within it.
        error: what was wrong with it.
        result: the series.
    """

    panel: str
    reference: str
    error: str
    result: tuple[Any, ...]

    @property
    def empty(self) -> bool:
        return not self.result

    @property
    def labels(self) -> set[str]:
        """The labels that every series has."""
        return set.intersection(*(set(series["metric"]) for series in self.result)) if self.result else set()


async def _ask(server: Prometheus, path: str, params: Mapping[str, str]) -> Any:
    async with server.session.get(f"{server.url}/api/v1/{path}", params=params) as response:
        return await response.json()


async def choices(server: Prometheus, dashboard: Any, single: Mapping[str, str]) -> dict[str, list[str]]:
    """Ask what can be chosen for every variable, each with the choice of those before it in place."""
    found: dict[str, list[str]] = {}
    for name, variable in variables(dashboard, "query").items():
        query = substituted(variable["query"], values(dashboard, found, single))
        selector, _, label = query.removeprefix("label_values(").removesuffix(")").rpartition(",")
        answer = await _ask(server, f"label/{label.strip()}/values", {"match[]": selector})
        assert answer["status"] == "success", answer
        found[name] = answer["data"]
    return found


def values(dashboard: Any, options: Mapping[str, list[str]], single: Mapping[str, str]) -> dict[str, str]:
    """Return the values of the variables when Grafana has opened the dashboard.

    Args:
        dashboard: the dashboard.
        options: what can be chosen. All of it is, if All has no value of its own.
        single: the choice if only one value can be chosen.
    """
    every = {name: f"({'|'.join(map(re.escape, found))})" for name, found in options.items()}
    return {**every, **single, **chosen(dashboard), **_GLOBALS}


async def answers(server: Prometheus, dashboard: Any, substitutes: Mapping[str, str]) -> list[Answer]:
    """Ask every query of a dashboard."""
    now = time.time()
    found = []
    for panel, target in targets(dashboard):
        query = {"query": substituted(target["expr"], substitutes)}
        if target.get("instant"):
            answer = await _ask(server, "query", {**query, "time": str(now)})
        else:
            span = {"start": str(now - SPAN_SECONDS), "end": str(now), "step": "5"}
            answer = await _ask(server, "query_range", {**query, **span})
        found.append(
            Answer(
                panel=panel["title"],
                reference=target["refId"],
                error=answer.get("error", ""),
                result=tuple(answer.get("data", {}).get("result") or ()),
            )
        )
    return found


def labels_shown(panel: Any) -> set[str]:
    """Give the labels that a panel shows as columns or in its legend."""
    legends = [target.get("legendFormat") or "" for target in panel.get("targets") or ()]
    shown = {name for legend in legends for name in _LEGEND.findall(legend)}
    for transformation in panel.get("transformations") or ():
        renamed = transformation["options"].get("renameByName", {})
        shown |= {name for name in renamed if not name.startswith("Value")}
    return shown


def labels_missing(dashboard: Any, asked: list[Answer]) -> list[tuple[str, set[str]]]:
    """Give the panels that show labels which none of their answers has, and these labels."""
    found = []
    for panel in panels(dashboard):
        answered = {label for answer in asked if answer.panel == panel["title"] for label in answer.labels}
        shown = {substituted(label, chosen(dashboard)) for label in labels_shown(panel)}
        if missing := shown - answered:
            found.append((panel["title"], missing))
    return found
