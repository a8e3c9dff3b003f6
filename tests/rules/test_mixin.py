"""The committed rules are those that the code writes from ``mixin.yaml``, and each setting has its effect."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import _jsonnet
import promql_parser
import pydantic
import pytest
import yaml

from ontap_mixin.output import JSON, PROMETHEUS_RULE, ROOT, RULES, groups, rule_files
from ontap_mixin.rules import Alert, Record
from ontap_mixin.settings import FILE, Settings, load

SETTINGS = load()
OF_EVERY_TARGET = {"up", "process_start_time_seconds"}
MIXIN = FILE.with_name("mixin.libsonnet")


def settings(**changes: object) -> Settings:
    document = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return Settings.model_validate({**document, **changes})


def rules_of(chosen: Settings) -> list[Record | Alert]:
    return [rule for group in groups(chosen) for rule in group.rules]


def selectors(expression: str) -> list[tuple[str, frozenset[str]]]:
    """Give the name and the matchers of everything that an expression selects."""
    found: list[tuple[str, frozenset[str]]] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append((node.name or "", frozenset(str(one) for one in node.matchers.matchers)))

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


def test_the_committed_rules_are_those_that_the_code_writes() -> None:
    written = rule_files(SETTINGS)
    committed = {path: (ROOT / path).read_text(encoding="utf-8") for path in written}
    assert committed == written, "run `make mixin`"
    assert {path.name for path in (ROOT / RULES).iterdir()} == {p.name for p in written if p.parent == RULES}


def test_every_form_holds_the_same_rules() -> None:
    plain = [
        group
        for path in sorted((ROOT / RULES).iterdir())
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    ]
    resource = yaml.safe_load((ROOT / PROMETHEUS_RULE).read_text(encoding="utf-8"))["spec"]["groups"]
    split = [group for path in JSON.values() for group in json.loads((ROOT / path).read_text())["groups"]]

    def by_name(one: dict[str, Any]) -> str:
        return str(one["name"])

    assert sorted(plain, key=by_name) == sorted(resource, key=by_name) == sorted(split, key=by_name)


def test_jsonnet_gets_every_rule_and_dashboard_beside_those_of_another_mixin() -> None:
    """Whoever deploys with jsonnet adds mixins up; ours is the last here."""
    snippet = """
        local other = {
          grafanaDashboards+:: { 'other.json': {} },
          prometheusRules+:: { groups+: [{ name: 'other' }] },
          prometheusAlerts+:: { groups+: [{ name: 'other' }] },
        };
        local all = other + import 'mixin.libsonnet';
        { dashboards: all.grafanaDashboards, rules: all.prometheusRules, alerts: all.prometheusAlerts }
    """
    found = json.loads(_jsonnet.evaluate_snippet("all", snippet, jpathdir=[str(MIXIN.parent)]))
    files = sorted(MIXIN.with_name("dashboards").glob("*.json"))
    dashboards = {f"ontap-packages-{path.name}": json.loads(path.read_text()) for path in files}
    assert found["dashboards"] == {"other.json": {}, **dashboards}
    for kind, path in JSON.items():
        assert found[kind]["groups"] == [{"name": "other"}, *json.loads((ROOT / path).read_text())["groups"]]


def test_every_alert_has_settings_and_no_other_has() -> None:
    made = [rule for group in groups(SETTINGS) for rule in group.rules if isinstance(rule, Alert)]
    assert {alert.name for alert in made} == set(SETTINGS.alerts)


def test_the_selector_is_that_of_every_series_that_other_programs_have_too() -> None:
    chosen = settings(selector='job="storage"')
    used = [found for rule in rules_of(chosen) for found in selectors(rule.expr)]
    targets = [matchers for name, matchers in used if name in OF_EVERY_TARGET]
    assert targets
    assert all('job="storage"' in matchers for matchers in targets)


def test_the_series_selector_is_that_of_every_series_of_the_exporter() -> None:
    chosen = settings(series_selector='tenant="a"')
    used = [found for rule in rules_of(chosen) for found in selectors(rule.expr)]
    ours = [(name, matchers) for name, matchers in used if name.startswith("ontap_")]
    assert len(ours) > len(SETTINGS.alerts)
    assert [name for name, matchers in ours if 'tenant="a"' not in matchers] == []


def test_labels_of_fleets_and_clusters_are_kept_wherever_a_cluster_is_told() -> None:
    chosen = settings(fleet_labels=["region"], cluster_labels=["rack"])
    records = {rule.name: rule.expr for rule in rules_of(chosen) if isinstance(rule, Record)}
    for name, expr in records.items():
        first = re.search(r"by \(([^)]*)\)", expr)
        assert first is not None, name
        assert first[1].split(", ")[0] == "region", name
        assert ("rack" in first[1]) == name.startswith("cluster"), name
    joins = re.findall(r"\bon \(([^)]+)\)", "\n".join(rule.expr for rule in rules_of(chosen)))
    assert joins
    assert [labels for labels in joins if not labels.startswith("region, ")] == []


@pytest.mark.parametrize("name", sorted(SETTINGS.thresholds.model_fields_set))
def test_every_threshold_changes_a_rule(name: str) -> None:
    changed = settings(thresholds={**SETTINGS.thresholds.model_dump(), name: 4711})
    before = [rule.expr for rule in rules_of(SETTINGS)]
    after = [rule.expr for rule in rules_of(changed)]
    differing = [expr for expr, other in zip(after, before, strict=True) if expr != other]
    assert differing
    assert all("4711" in expr for expr in differing)


def test_severity_times_and_the_address_of_the_runbooks_are_those_of_the_settings() -> None:
    changed = settings(
        runbook_base="https://wiki.example.org/",
        alerts={**{name: dict(one, **{"for": "7m"}) for name, one in _alerts().items()}},
    )
    texts = rule_files(changed)
    for path in (RULES / "clusters.yaml", PROMETHEUS_RULE):
        text = texts[path]
        assert set(re.findall(r"\bfor: (\w+)", text)) == {"7m"}
        assert set(re.findall(r"runbook_url: (\S+/)", text)) == {"https://wiki.example.org/"}


def _alerts() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["alerts"]
    return found


@pytest.mark.parametrize(
    "change",
    [
        {"selecter": "x"},
        {"thresholds": {}},
        {"alerts": {"OntapClusterDown": {"severity": "urgent", "for": "5m", "keep": "5m"}}},
        {"alerts": {"OntapClusterDown": {"severity": "info", "for": "soon", "keep": "5m"}}},
    ],
)
def test_a_mistake_in_the_settings_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(pydantic.ValidationError):
        settings(**change)


def test_an_alert_without_settings_is_refused() -> None:
    with pytest.raises(KeyError):
        rule_files(settings(alerts={}))


def test_another_file_may_be_loaded(tmp_path: Path) -> None:
    copy = tmp_path / "mixin.yaml"
    copy.write_text(
        FILE.read_text(encoding="utf-8").replace("packages: 10", "packages: 20"), encoding="utf-8"
    )
    assert load(copy).thresholds.packages == 20
