"""Evaluates the rules and the dashboards' queries about made-up series, by promtool."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from ontap_mixin.output import groups
from ontap_mixin.settings import load
from support.dashboards.boards import DASHBOARDS, chosen, substituted, targets
from support.rules import RULE_FILES

EXPORTER = 'job="ontap-packages", instance="a:10910"'
REPLICA = 'job="ontap-packages", instance="b:10910"'
DAY_SECONDS = 86_400
ASKED_MINUTES = 30
"""When the queries are evaluated, by the clock of promtool, which begins at 0."""
_SINGLE = {"job": "ontap-packages", "cluster": "c1", "instance": "a:10910", "policy": ".+"}
_GLOBALS = {"__rate_interval": "5m", "__interval": "2m", "__range": "1h"}
Series = dict[str, str]


def filled_in(board: str, expression: str, **choice: str) -> str:
    """Put the values of the variables in: c1 on the first exporter, the first choices, and others."""
    return substituted(expression, {**chosen(DASHBOARDS[board]), **_SINGLE, **_GLOBALS, **choice})


def queries(board: str, panel: str | None = None, **choice: str) -> list[tuple[str, str]]:
    """Give the panels of a dashboard and their queries, or those of one panel."""
    return [
        (one["title"], filled_in(board, target["expr"], **choice))
        for one, target in targets(DASHBOARDS[board])
        if panel in {None, one["title"]}
    ]


def column(board: str, panel: str, title: str, **choice: str) -> str:
    """Give the query of a column of a table."""
    found = [(one, target) for one, target in targets(DASHBOARDS[board]) if one["title"] == panel]
    (organize,) = (one for one in found[0][0]["transformations"] if one["id"] == "organize")
    (value,) = (name for name, shown in organize["options"]["renameByName"].items() if shown == title)
    (query,) = (target["expr"] for _, target in found if value in {"Value", f"Value #{target['refId']}"})
    return filled_in(board, query, **choice)


def series(metric: str, values: str, labels: str = "", *, exporter: str = EXPORTER) -> Series:
    """Return a series of an exporter in promtool's notation, with a value for every minute."""
    return {"series": f"{metric}{{{labels}{', ' * bool(labels)}{exporter}}}", "values": values}


def check(directory: Path, fleet: list[Series], expected: list[tuple[str, list[float]]]) -> None:
    """Evaluate the rules, then expect these values of expressions without labels."""
    named = [group.name for group in groups(load())]
    asked = [
        {
            "expr": expression,
            "eval_time": f"{ASKED_MINUTES}m",
            "exp_samples": [{"labels": "{}", "value": value} for value in values],
        }
        for expression, values in expected
    ]
    document = {
        "rule_files": [str(path) for path in RULE_FILES],
        "evaluation_interval": "2m",
        "group_eval_order": sorted(named, key=lambda name: not name.endswith(".rules")),
        "tests": [{"interval": "1m", "input_series": fleet, "promql_expr_test": asked}],
    }
    file = directory / "evaluated.yaml"
    file.write_text(json.dumps(document))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
