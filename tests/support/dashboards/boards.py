"""The committed dashboards as Grafana reads them: panels, queries, and variables with their values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
DIRECTORY = ROOT / "grafana" / "dashboards"
DASHBOARDS: Mapping[str, Any] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(DIRECTORY.glob("*.json"))
}
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|([A-Za-z_]\w*))")


def panels(dashboard: Any) -> Iterator[Any]:
    """Give every panel but the rows, those inside of rows included."""
    for panel in dashboard["panels"]:
        yield from panel.get("panels") or ()
        if panel["type"] != "row":
            yield panel


def targets(dashboard: Any) -> Iterator[tuple[Any, Any]]:
    """Give every query, with its panel before it."""
    for panel in panels(dashboard):
        for target in panel.get("targets") or ():
            yield panel, target


def variables(dashboard: Any, kind: str | None = None) -> dict[str, Any]:
    """Give the variables by name, all or those of a kind."""
    return {
        variable["name"]: variable
        for variable in dashboard["templating"]["list"]
        if kind in {None, variable["type"]}
    }


def variables_in(text: str) -> set[str]:
    """Give the names of the variables that a text holds."""
    return {match[1] or match[2] for match in _VARIABLE.finditer(text)}


def substituted(text: str, values: Mapping[str, str]) -> str:
    """Replace variables by their values, as Grafana does; a variable without a value stays."""
    return _VARIABLE.sub(lambda match: values.get(match[1] or match[2], match[0]), text)


def chosen(dashboard: Any) -> dict[str, str]:
    """Give what the variables stand for when the dashboard is opened, as far as its file says."""
    values = {}
    for name, variable in variables(dashboard).items():
        if variable["type"] == "custom":
            values[name] = variable["current"]["value"]
        elif variable.get("includeAll") and "allValue" in variable:
            values[name] = variable["allValue"]
    return values
