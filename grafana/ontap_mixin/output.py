"""All files that are made from ``mixin.yaml``, as texts by their paths."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from ontap_mixin import cleanup_rules, cluster_rules, exporter_rules, package_rules
from ontap_mixin.rules import Alert, Group, Promql, Record
from ontap_mixin.settings import Settings

ROOT = Path(__file__).parents[2]
RULES = Path("deploy/prometheus/rules")
PROMETHEUS_RULE = Path("deploy/prometheus/prometheus-rule.yaml")
JSON = {
    "rules": Path("grafana/prometheus_rules.json"),
    "alerts": Path("grafana/prometheus_alerts.json"),
}
"""What ``mixin.libsonnet`` imports."""
GENERATED = "Made from grafana/mixin.yaml by `make mixin`; change that file, not this one."
_WIDTH = 110


class _Dumper(yaml.SafeDumper):
    """Writes expressions of several lines as they are."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def groups(settings: Settings) -> tuple[Group, ...]:
    """Return all rules."""
    p = Promql(settings)
    rooms = (cluster_rules, package_rules, cleanup_rules, exporter_rules)
    return tuple(group for room in rooms for group in room.groups(p))


def rule_files(settings: Settings) -> dict[Path, str]:
    """Return the rules as plain files, as PrometheusRule, and as JSON for jsonnet.

    Raises:
        KeyError: an alert has no settings.
    """
    every = groups(settings)
    files: dict[str, list[Group]] = {}
    for group in every:
        files.setdefault(_file(group), []).append(group)
    texts = {RULES / name: _plain(content, settings) for name, content in files.items()}
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "ontap-packages-exporter", "labels": {"role": "alert-rules"}},
        "spec": {"groups": [_as_mapping(group, settings) for group in every]},
    }
    texts[PROMETHEUS_RULE] = f"# {GENERATED}\n{_yaml(resource)}"
    for kind, path in JSON.items():
        chosen = [_as_mapping(group, settings) for group in every if group.name.endswith(f".{kind}")]
        texts[path] = json.dumps({"groups": chosen}, indent=2, ensure_ascii=False) + "\n"
    return texts


def _file(group: Group) -> str:
    """Return the name of the file: ``clusters.yaml`` for ``ontap-clusters-slow.alerts``."""
    return group.name.split(".")[0].split("-")[1] + ".yaml"


def _plain(content: Iterable[Group], settings: Settings) -> str:
    lines = [f"# {GENERATED}", "groups:"]
    for group in content:
        lines.append(f"  - name: {group.name}")
        if group.interval:
            lines.append(f"    interval: {group.interval}")
        lines.append("    rules:")
        for rule in group.rules:
            lines += [f"      # {line}" for line in textwrap.wrap(rule.why, _WIDTH)]
            lines += textwrap.indent(_yaml([_rule(rule, settings)]), " " * 6).splitlines()
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _as_mapping(group: Group, settings: Settings) -> Mapping[str, Any]:
    interval = {"interval": group.interval} if group.interval else {}
    return {"name": group.name, **interval, "rules": [_rule(rule, settings) for rule in group.rules]}


def _rule(rule: Record | Alert, settings: Settings) -> Mapping[str, Any]:
    if isinstance(rule, Record):
        return {"record": rule.name, "expr": rule.expr}
    chosen = settings.alerts[rule.name]
    return {
        "alert": rule.name,
        "expr": rule.expr,
        "for": chosen.wait,
        "keep_firing_for": chosen.keep,
        "labels": {"severity": str(chosen.severity)},
        "annotations": {
            "summary": rule.summary,
            "description": rule.description,
            "runbook_url": f"{settings.runbook_base}{rule.name}.md",
        },
    }


def _yaml(value: object) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
