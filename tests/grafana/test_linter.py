"""The dashboards keep to every rule, but for exceptions with a reason; every rule finds what breaks it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from support.dashboards.boards import DASHBOARDS, panels, variables
from support.dashboards.linter import RULES, Problem, problems

BY_CLUSTER = "a cluster moves between instances when the shards change; job and cluster find it"
ALL_JOBS = "every program has `up` and `process_*`, so that All must name the jobs of the exporter"
COUNTS_FROM_ONE = (
    "the series of a code begins with its first error, which no rate can see, and its total survives restarts"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exempt:
    """Where a rule does not hold, and why: on a panel or the whole dashboard, with a message or any."""

    rule: str
    dashboard: str
    panel: str | None = None
    message: str | None = None
    reason: str

    def covers(self, problem: Problem) -> bool:
        return (
            (self.rule, self.dashboard) == (problem.rule, problem.dashboard)
            and self.panel in {None, problem.panel}
            and self.message in {None, problem.message}
        )


EXEMPT = (
    *(
        Exempt(
            rule="template-job-rule",
            dashboard=f"ontap-packages-{name}",
            message="allValue of the variable job is None, not '.+'",
            reason=ALL_JOBS,
        )
        for name in DASHBOARDS
    ),
    *(
        Exempt(rule=rule, dashboard=f"ontap-packages-{name}", reason=BY_CLUSTER)
        for name in ("fleet", "cluster", "cleanup")
        for rule in ("template-instance-rule", "target-instance-rule")
    ),
    *(
        Exempt(
            rule="target-counter-agg-rule",
            dashboard=f"ontap-packages-{name}",
            panel="ONTAP's error codes",
            reason=COUNTS_FROM_ONE,
        )
        for name in ("cluster", "cleanup")
    ),
    Exempt(
        rule="target-instance-rule",
        dashboard="ontap-packages-exporter",
        panel="Shards missing",
        reason="a shard that is missing has no instance to be chosen",
    ),
)

Break = Callable[[Any], None]
BREAKS: dict[str, Break] = {}


def breaks(rule: str) -> Callable[[Break], Break]:
    """Take a function into the ways to break a dashboard."""

    def register(function: Break) -> Break:
        BREAKS[rule] = function
        return function

    return register


def sound() -> Any:
    """Give a dashboard to break: the one with the fewest exceptions."""
    return copy.deepcopy(DASHBOARDS["exporter"])


def first(dashboard: Any, kind: str) -> Any:
    return next(panel for panel in panels(dashboard) if panel["type"] == kind)


def ask(dashboard: Any, expression: str) -> None:
    first(dashboard, "timeseries")["targets"][0]["expr"] = expression


@breaks("template-datasource-rule")
def _datasource(dashboard: Any) -> None:
    variables(dashboard)["datasource"]["name"] = "prometheus"


@breaks("template-job-rule")
def _job(dashboard: Any) -> None:
    variables(dashboard)["job"]["multi"] = False


@breaks("template-instance-rule")
def _instance(dashboard: Any) -> None:
    variables(dashboard)["instance"]["name"] = "pod"


@breaks("template-label-promql-rule")
def _label_values(dashboard: Any) -> None:
    variables(dashboard)["job"]["query"] = "label_values(up{, job)"


@breaks("template-on-time-change-reload-rule")
def _refresh(dashboard: Any) -> None:
    variables(dashboard)["job"]["refresh"] = 1


@breaks("panel-datasource-rule")
def _fixed_datasource(dashboard: Any) -> None:
    first(dashboard, "stat")["targets"][0]["datasource"]["uid"] = "prometheus"


@breaks("panel-title-description-rule")
def _no_description(dashboard: Any) -> None:
    del first(dashboard, "table")["description"]


@breaks("panel-units-rule")
def _no_unit(dashboard: Any) -> None:
    first(dashboard, "stat")["fieldConfig"]["defaults"]["unit"] = "seconds"


@breaks("panel-no-targets-rule")
def _no_query(dashboard: Any) -> None:
    first(dashboard, "timeseries")["targets"] = []


@breaks("target-logql-rule")
def _logs(dashboard: Any) -> None:
    first(dashboard, "stat")["targets"][0]["datasource"]["type"] = "loki"


@breaks("target-logql-auto-rule")
def _log_range(dashboard: Any) -> None:
    target = first(dashboard, "stat")["targets"][0]
    target["datasource"]["type"] = "loki"
    target["expr"] = 'rate({app="exporter"}[5m])'


@breaks("target-promql-rule")
def _no_promql(dashboard: Any) -> None:
    ask(dashboard, 'sum(up{job=~"$job", instance=~"$instance"}')


@breaks("target-rate-interval-rule")
def _fixed_rate(dashboard: Any) -> None:
    ask(dashboard, 'rate(ontap_polls_total{job=~"$job", instance=~"$instance"}[5m])')


@breaks("target-job-rule")
def _any_job(dashboard: Any) -> None:
    ask(dashboard, 'up{instance=~"$instance"}')


@breaks("target-instance-rule")
def _any_instance(dashboard: Any) -> None:
    ask(dashboard, 'up{job=~"$job"}')


@breaks("target-counter-agg-rule")
def _bare_counter(dashboard: Any) -> None:
    ask(dashboard, 'max_over_time(ontap_polls_total{job=~"$job", instance=~"$instance"}[$__range])')


@breaks("packages-of-any-job")
def _packages_of_a_job(dashboard: Any) -> None:
    ask(dashboard, 'ontap_software_packages{job=~"$job", instance=~"$instance"}')


@breaks("unknown-is-grey")
def _green_dash(dashboard: Any) -> None:
    first(dashboard, "stat")["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["color"] = "green"


@breaks("few-queries")
def _many_queries(dashboard: Any) -> None:
    dashboard["uid"] = "ontap-packages-fleet"
    first(dashboard, "timeseries")["targets"] *= 26


@breaks("uneditable-dashboard")
def _editable(dashboard: Any) -> None:
    dashboard["editable"] = True


@breaks("core-panels")
def _plugin(dashboard: Any) -> None:
    dashboard["panels"][1]["type"] = "grafana-polystat-panel"


@breaks("descriptions-are-sentences")
def _fragment(dashboard: Any) -> None:
    first(dashboard, "stat")["description"] = "Clusters"


@breaks("known-variables")
def _misspelt_variable(dashboard: Any) -> None:
    ask(dashboard, 'up{job=~"$job", instance=~"$instance", cluster=~"$clusters"}')


@breaks("layout")
def _overlap(dashboard: Any) -> None:
    first(dashboard, "table")["gridPos"]["y"] -= 1


def exempt(problem: Problem) -> bool:
    return any(exemption.covers(problem) for exemption in EXEMPT)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_keeps_to_every_rule(name: str) -> None:
    assert [problem for problem in problems(DASHBOARDS[name]) if not exempt(problem)] == []


@pytest.mark.parametrize("exemption", EXEMPT, ids=lambda one: f"{one.dashboard}-{one.rule}-{one.panel}")
def test_an_exception_is_needed(exemption: Exempt) -> None:
    found = [problem for dashboard in DASHBOARDS.values() for problem in problems(dashboard)]
    assert exemption.reason
    assert any(exemption.covers(problem) for problem in found)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_finds_what_breaks_it(rule: str) -> None:
    dashboard = sound()
    before = list(RULES[rule](dashboard))
    BREAKS[rule](dashboard)
    assert len(list(RULES[rule](dashboard))) > len(before)


def test_nothing_breaks_a_rule_that_is_not_there() -> None:
    assert set(BREAKS) == set(RULES)
