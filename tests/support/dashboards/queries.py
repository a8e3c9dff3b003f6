"""What a PromQL expression selects, by a real parser."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import promql_parser

from support.dashboards.boards import chosen, substituted, variables

RATE_INTERVAL = timedelta(seconds=7919)
"""What stands for ``$__rate_interval``: a duration that nobody writes."""
RANGE = timedelta(seconds=7907)
"""Likewise for ``$__range``."""
_NAMES = re.compile(r'__name__=~"([\w:|]+)"')
_GLOBALS = {
    "__rate_interval": f"{RATE_INTERVAL.seconds}s",
    "__range": f"{RANGE.seconds}s",
    "__interval": "61s",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """What stands in an expression where series are selected.

    Attributes:
        metric: the name.
        matchers: the matchers, as they are written.
        range: how far back, if it is a range.
        function: what the range is given to.
    """

    metric: str
    matchers: frozenset[str]
    range: timedelta | None = None
    function: str | None = None

    @property
    def names(self) -> list[str]:
        """The names, if a matcher gives several to choose from."""
        found = [match[1] for match in map(_NAMES.fullmatch, self.matchers) if match]
        return found[0].split("|") if found else [self.metric]


def selectors(expression: str) -> list[Selector]:
    """Parse an expression.

    Raises:
        ValueError: it is no PromQL.
    """
    found: list[Selector] = []
    ranges: list[tuple[Any, str | None]] = []
    functions: list[str] = []

    def visit(node: promql_parser.Expr) -> None:
        match node:
            case promql_parser.Call():
                functions.append(node.func.name)
            case promql_parser.MatrixSelector():
                ranges.append((node.range, functions[-1] if functions else None))
            case promql_parser.VectorSelector():
                within, function = ranges.pop() if ranges else (None, None)
                matchers = frozenset(str(matcher) for matcher in node.matchers.matchers)
                found.append(
                    Selector(metric=node.name or "", matchers=matchers, range=within, function=function)
                )
            case _:
                pass

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


def readable(dashboard: Any, expression: str) -> str:
    """Replace the variables by values if PromQL needs a number or a duration there."""
    numbers = {
        name: value for name, value in chosen(dashboard).items() if name in variables(dashboard, "custom")
    }
    return substituted(expression, {**_GLOBALS, **numbers})


def selected(dashboard: Any, target: Mapping[str, Any]) -> list[Selector]:
    """Give what a query of a dashboard selects; nothing if it is not PromQL."""
    try:
        return selectors(readable(dashboard, target["expr"]))
    except ValueError:
        return []
