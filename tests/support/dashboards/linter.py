"""Rules for dashboards: those of Grafana's dashboard-linter under its names, and our own after them.

A rule takes a dashboard and gives what is wrong, each time with the title of the panel if it has one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from support.dashboards.boards import panels, targets, variables, variables_in
from support.dashboards.queries import RATE_INTERVAL, readable, selected, selectors

Violation = tuple[str, str]
"""The title of the panel, or nothing, and what is wrong."""
Rule = Callable[[Any], Iterator[Violation]]
RULES: dict[str, Rule] = {}

TEMPLATED = {"$datasource", "${datasource}"}
UNITS = {
    *("locale", "string", "short", "percent", "percentunit", "bytes", "s", "reqps", "cps", "cpm"),
    *("dateTimeAsIso", "dateTimeFromNow", "suffix: d", "suffix: s"),
}
"""Those of Grafana's units that make sense for what is measured here."""
CORE_PANELS = {"row", "stat", "timeseries", "table", "bargauge", "heatmap", "state-timeline", "text"}
"""Panels that every Grafana has, without a plugin to be installed."""
SINGLE_VALUES = {"stat", "bargauge"}
COLORLESS = {"text", "transparent"}
MOST_QUERIES = {"ontap-packages-fleet": 25}
"""How much a dashboard may ask when it is opened, with all of a large fleet in it."""
GRID_WIDTH = 24
_PACKAGES = re.compile("ontap_software_")
_OF_ANY_JOB = re.compile(r"selects (\S*ontap_software_\S*|ALERTS) ")
_FUNCTIONS = {"label_names", "label_values", "metrics", "query_result"}
_CALL = re.compile(r"(\w+)\((.*)\)")
_LOGQL_RANGE = re.compile(r"\[([^\]]*)\]")


def rule(name: str) -> Callable[[Rule], Rule]:
    """Take a function into the rules."""

    def register(function: Rule) -> Rule:
        RULES[name] = function
        return function

    return register


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A breach of a rule."""

    rule: str
    dashboard: str
    panel: str
    message: str


def problems(dashboard: Any) -> list[Problem]:
    """Hold a dashboard to every rule."""
    return [
        Problem(rule=name, dashboard=dashboard["uid"], panel=panel, message=message)
        for name, check in RULES.items()
        for panel, message in check(dashboard)
    ]


@rule("template-datasource-rule")
def datasource_is_chosen(dashboard: Any) -> Iterator[Violation]:
    found = variables(dashboard, "datasource")
    if not found:
        yield "", "there is no variable for the data source"
    for name, variable in found.items():
        if name not in {"datasource", f"{variable['query']}_datasource"}:
            yield "", f"the variable of the data source is named {name}"
        if variable.get("label") != "Data source":
            yield "", f"the variable of the data source is labelled {variable.get('label')}"


def _template(dashboard: Any, name: str) -> Iterator[Violation]:
    variable = variables(dashboard).get(name)
    if variable is None:
        yield "", f"there is no variable {name}"
        return
    expected = {"type": "query", "label": name.title(), "multi": True, "allValue": ".+"}
    for key, value in expected.items():
        if variable.get(key) != value:
            yield "", f"{key} of the variable {name} is {variable.get(key)!r}, not {value!r}"
    if (variable.get("datasource") or {}).get("uid") not in TEMPLATED:
        yield "", f"the variable {name} does not ask the chosen data source"


@rule("template-job-rule")
def job_is_chosen(dashboard: Any) -> Iterator[Violation]:
    yield from _template(dashboard, "job")


@rule("template-instance-rule")
def instance_is_chosen(dashboard: Any) -> Iterator[Violation]:
    yield from _template(dashboard, "instance")


@rule("template-label-promql-rule")
def variables_ask_promql(dashboard: Any) -> Iterator[Violation]:
    for name, variable in variables(dashboard, "query").items():
        match = _CALL.fullmatch(variable["query"])
        if match is None or match[1] not in _FUNCTIONS:
            yield "", f"the variable {name} asks no known function: {variable['query']}"
            continue
        try:
            selectors(match[2].rpartition(",")[0] or match[2])
        except ValueError as error:
            yield "", f"the variable {name} asks no PromQL: {error}"


@rule("template-on-time-change-reload-rule")
def variables_follow_the_time(dashboard: Any) -> Iterator[Violation]:
    on_time_change = 2
    for name, variable in variables(dashboard, "query").items():
        if variable.get("refresh") != on_time_change:
            yield "", f"the variable {name} is not asked again when the time changes"


@rule("panel-datasource-rule")
def panels_ask_the_chosen_datasource(dashboard: Any) -> Iterator[Violation]:
    for panel in panels(dashboard):
        asked = [panel, *(panel.get("targets") or ())] if panel["type"] != "text" else []
        for source in asked:
            uid = (source.get("datasource") or {}).get("uid")
            if uid not in TEMPLATED:
                yield panel["title"], f"asks the data source {uid}"


@rule("panel-title-description-rule")
def panels_say_what_they_show(dashboard: Any) -> Iterator[Violation]:
    for panel in panels(dashboard):
        if not panel.get("title") or not panel.get("description"):
            yield panel.get("title", ""), "has no title or no description"


@rule("panel-units-rule")
def values_have_units(dashboard: Any) -> Iterator[Violation]:
    for panel in panels(dashboard):
        if panel["type"] == "text":
            continue
        config = panel["fieldConfig"]
        overridden = [
            entry["value"]
            for override in config["overrides"]
            for entry in override["properties"]
            if entry["id"] == "unit"
        ]
        for unit in (config["defaults"].get("unit"), *overridden):
            if unit not in UNITS:
                yield panel["title"], f"has the unit {unit}"


@rule("panel-no-targets-rule")
def panels_ask_something(dashboard: Any) -> Iterator[Violation]:
    for panel in panels(dashboard):
        if panel["type"] != "text" and not panel.get("targets"):
            yield panel["title"], "asks nothing"


def _loki(dashboard: Any) -> Iterator[tuple[Any, Any]]:
    for panel, target in targets(dashboard):
        if (target.get("datasource") or {}).get("type") == "loki":
            yield panel, target


@rule("target-logql-rule")
def logql_is_valid(dashboard: Any) -> Iterator[Violation]:
    """Refuse LogQL: there is no log to ask here, and no parser of it among the tests."""
    for panel, target in _loki(dashboard):
        yield panel["title"], f"asks for logs, which nothing here can check: {target['expr']}"


@rule("target-logql-auto-rule")
def logql_ranges_follow_the_time(dashboard: Any) -> Iterator[Violation]:
    for panel, target in _loki(dashboard):
        for within in _LOGQL_RANGE.findall(target["expr"]):
            if within != "$__auto":
                yield panel["title"], f"looks [{within}] back, not [$__auto]"


@rule("target-promql-rule")
def promql_is_valid(dashboard: Any) -> Iterator[Violation]:
    for panel, target in targets(dashboard):
        try:
            selectors(readable(dashboard, target["expr"]))
        except ValueError as error:
            yield panel["title"], f"asks no PromQL: {error}: {target['expr']}"


@rule("target-rate-interval-rule")
def rates_follow_the_time(dashboard: Any) -> Iterator[Violation]:
    for panel, target in targets(dashboard):
        for selector in selected(dashboard, target):
            if selector.function in {"rate", "irate"} and selector.range != RATE_INTERVAL:
                yield panel["title"], f"takes the rate of {selector.metric} over {selector.range}"


def _matched(dashboard: Any, label: str) -> Iterator[Violation]:
    wanted = f'{label}=~"${label}"'
    for panel, target in targets(dashboard):
        for selector in selected(dashboard, target):
            if wanted not in selector.matchers:
                yield panel["title"], f"selects {selector.metric} without {wanted}"


@rule("target-job-rule")
def queries_keep_to_the_job(dashboard: Any) -> Iterator[Violation]:
    """Hold all but packages to the job: they may come from one target for each cluster."""
    for title, message in _matched(dashboard, "job"):
        if not _OF_ANY_JOB.match(message):
            yield title, message


@rule("packages-of-any-job")
def packages_are_not_chosen_by_job(dashboard: Any) -> Iterator[Violation]:
    for panel, target in targets(dashboard):
        for selector in selected(dashboard, target):
            chosen = {matcher for matcher in selector.matchers if matcher.startswith(("job", "instance"))}
            if _PACKAGES.search(selector.metric) and chosen:
                yield panel["title"], f"selects {selector.metric} by {', '.join(sorted(chosen))}"


@rule("unknown-is-grey")
def what_is_not_known_is_not_green(dashboard: Any) -> Iterator[Violation]:
    """Without a value, Grafana takes the colour of the first threshold."""
    for panel in panels(dashboard):
        config = panel.get("fieldConfig", {})
        thresholds = [config.get("defaults", {}).get("thresholds")] if panel["type"] in SINGLE_VALUES else []
        for override in config.get("overrides", ()):
            thresholds += [one["value"] for one in override["properties"] if one["id"] == "thresholds"]
        for one in filter(None, thresholds):
            if one["steps"][0]["color"] not in COLORLESS:
                yield panel["title"], f"is {one['steps'][0]['color']} when nothing is known"
        unknown = config.get("defaults", {}).get("noValue", "")
        if unknown.strip(" .").lower() in {"none", "0", "no", "ok", "every cluster is up"}:
            yield panel["title"], f"says {unknown} when nothing is known"


@rule("few-queries")
def a_dashboard_that_is_opened_asks_little(dashboard: Any) -> Iterator[Violation]:
    opened = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    asked = sum(len(panel.get("targets") or ()) for panel in opened) + len(dashboard["annotations"]["list"])
    if asked > MOST_QUERIES.get(dashboard["uid"], asked):
        yield "", f"asks {asked} queries when it is opened"


@rule("target-instance-rule")
def queries_keep_to_the_instance(dashboard: Any) -> Iterator[Violation]:
    yield from _matched(dashboard, "instance")


@rule("target-counter-agg-rule")
def counters_are_taken_as_rates(dashboard: Any) -> Iterator[Violation]:
    for panel, target in targets(dashboard):
        for selector in selected(dashboard, target):
            if selector.metric.endswith("_total") and selector.function not in {"rate", "irate", "increase"}:
                yield panel["title"], f"shows the counter {selector.metric} itself"


@rule("uneditable-dashboard")
def dashboards_are_not_edited_in_place(dashboard: Any) -> Iterator[Violation]:
    if dashboard["editable"] is not False:
        yield "", "can be edited"


@rule("core-panels")
def no_plugin_is_needed(dashboard: Any) -> Iterator[Violation]:
    for panel in dashboard["panels"]:
        if panel["type"] not in CORE_PANELS:
            yield panel["title"], f"needs the panel {panel['type']}"


@rule("descriptions-are-sentences")
def descriptions_are_sentences(dashboard: Any) -> Iterator[Violation]:
    for panel in panels(dashboard):
        if not panel.get("description", "").endswith("."):
            yield panel["title"], "has a description that does not end in a period"


@rule("known-variables")
def variables_are_there_and_needed(dashboard: Any) -> Iterator[Violation]:
    known = variables(dashboard)
    asked = [target["expr"] for _, target in targets(dashboard)]
    asked += [variable["query"] for variable in variables(dashboard, "query").values()]
    named = {name for text in asked for name in variables_in(text) if not name.startswith("__")}
    for name in sorted(named - set(known)):
        yield "", f"asks for a variable {name} that is not there"
    for name in sorted(set(known) - named):
        if known[name]["type"] not in {"adhoc", "datasource"}:
            yield "", f"has a variable {name} that nothing asks for"


@rule("layout")
def panels_do_not_overlap(dashboard: Any) -> Iterator[Violation]:
    taken: dict[tuple[int, int], str] = {}
    identities: set[int] = set()
    for panel in dashboard["panels"]:
        area = panel["gridPos"]
        if area["x"] + area["w"] > GRID_WIDTH:
            yield panel["title"], "reaches beyond the right edge"
        for x in range(area["x"], area["x"] + area["w"]):
            for y in range(area["y"], area["y"] + area["h"]):
                if (x, y) in taken:
                    yield panel["title"], f"lies on {taken[x, y]}"
                    break
                taken[x, y] = panel["title"]
        if not panel.get("id") or panel["id"] in identities:
            yield panel["title"], f"has the number {panel.get('id')}"
        identities.add(panel.get("id", 0))
