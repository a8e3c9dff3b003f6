"""The rules, rule tests and examples of ``deploy/prometheus``, read as operators deploy them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from exporter.metrics.cleanup_metrics import CLEANUP_FAMILIES, CLEANUP_STATE_FAMILIES, LEASE_FAMILIES
from exporter.metrics.cluster_metrics import CLUSTER_FAMILIES
from exporter.metrics.exporter_metrics import EXPORTER_FAMILIES
from exporter.metrics.family import sample_names
from ontap_mixin.cleanup_rules import EVALUATED_EVERY

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULE_FILES = tuple(sorted((PROMETHEUS / "rules").glob("*.yaml")))
TEST_FILES = tuple(sorted((PROMETHEUS / "tests").glob("*.yaml")))
RUNBOOKS = ROOT / "docs" / "runbooks"

SERVED = frozenset(
    (
        *chain.from_iterable(map(sample_names, CLUSTER_FAMILIES)),
        *chain.from_iterable(map(sample_names, CLEANUP_FAMILIES)),
        *chain.from_iterable(map(sample_names, EXPORTER_FAMILIES)),
        *chain.from_iterable(map(sample_names, CLEANUP_STATE_FAMILIES)),
        *chain.from_iterable(map(sample_names, LEASE_FAMILIES)),
    )
)
"""The names of all samples of the exporter."""

_STRING = re.compile(r'"(?:\\.|[^"\\])*"')
_NO_METRICS = re.compile(
    r"\{[^}]*\}|\[[^]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)|\boffset\s+\w+"
)
_NAME = re.compile(r"(?<![\w:.])([a-zA-Z_:][\w:]*)(?!\s*\(|[\w:])")
_WORDS = frozenset({"and", "or", "unless", "bool", "by", "without", "on", "ignoring"})


USUAL_INTERVAL_SECONDS = 60
"""How often a group without an interval is evaluated, if Prometheus is not configured otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a file: an alert, or a series that is recorded."""

    file: str
    group: str
    text: dict[str, Any]
    interval_seconds: int = USUAL_INTERVAL_SECONDS

    @property
    def alert(self) -> str | None:
        return self.text.get("alert")

    @property
    def record(self) -> str | None:
        return self.text.get("record")

    @property
    def expression(self) -> str:
        return str(self.text["expr"])

    @property
    def metrics(self) -> frozenset[str]:
        """The names of the metrics that its expression reads."""
        return metrics_of(self.expression)


def metrics_of(expression: str) -> frozenset[str]:
    """Return the names of the metrics that an expression reads; functions and labels are none."""
    left = _NO_METRICS.sub(" ", _STRING.sub('""', expression))
    return frozenset(_NAME.findall(left)) - _WORDS


@cache
def rules() -> tuple[Rule, ...]:
    """Return every rule of every file, in order."""
    return tuple(
        Rule(
            file=path.name,
            group=group["name"],
            text=text,
            interval_seconds=seconds(group.get("interval", f"{USUAL_INTERVAL_SECONDS}s")),
        )
        for path in RULE_FILES
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for text in group["rules"]
    )


def alerts() -> dict[str, Rule]:
    """Return every alert by its name."""
    return {rule.alert: rule for rule in rules() if rule.alert is not None}


def recorded() -> dict[str, Rule]:
    """Return every recording rule by the name of its series."""
    return {rule.record: rule for rule in rules() if rule.record is not None}


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SHORTEST_RANGE_SECONDS = 3
_RANGE = re.compile(r"\[(\d+[smhd])\]")
QUICK = 100
"""How many times as fast as in production alerts fire and messages are sent in a test."""


def seconds(duration: str) -> int:
    """Return the seconds of a duration such as ``5m`` or ``1h30m``."""
    return sum(int(count) * _SECONDS[unit] for count, unit in re.findall(r"(\d+)([smhd])", duration))


def quickened(duration: str, *, most_seconds: float) -> str:
    """Return a duration for a test: a hundredth, and no longer than that."""
    return f"{round(1000 * min(seconds(duration) / QUICK, most_seconds))}ms"


def _quickened_range(match: re.Match[str]) -> str:
    return f"[{max(seconds(match[1]) // QUICK, SHORTEST_RANGE_SECONDS)}s]"


def quickened_rules(directory: Path, *, most_seconds: float = 0.0) -> str:
    """Write the rules so that a test need not wait long, and return the glob that names them.

    Every group is evaluated each second. Thresholds, labels and annotations are those that operators deploy.

    Args:
        directory: where they are written.
        most_seconds: by default, no alert waits. Otherwise it waits for a hundredth of its time, and at most
            this long, and the ranges in expressions are a hundredth too.
    """
    directory.mkdir()
    for path in RULE_FILES:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        for group in document["groups"]:
            group["interval"] = "1s"
            for rule in group["rules"]:
                # A difference to the evaluation before, which is as far away as the interval says.
                rule["expr"] = rule["expr"].replace(f"offset {EVALUATED_EVERY}", "offset 1s")
                if most_seconds:
                    rule["expr"] = _RANGE.sub(_quickened_range, rule["expr"])
                for key in {"for", "keep_firing_for"} & rule.keys():
                    rule[key] = quickened(rule[key], most_seconds=most_seconds)
        (directory / path.name).write_text(yaml.safe_dump(document), encoding="utf-8")
    return str(directory / "*.yaml")


def quickened_alertmanager(webhook_url: str, *, group_wait_seconds: float = 0.1) -> dict[str, Any]:
    """Return the example configuration of Alertmanager so that a test need not wait long.

    A message is sent after this time, to a path of the webhook that is the name of its receiver. Routes,
    groups and inhibitions are those of the example.
    """
    config: dict[str, Any] = yaml.safe_load((PROMETHEUS / "alertmanager.yaml").read_text(encoding="utf-8"))
    for route in (config["route"], *config["route"]["routes"]):
        route["group_wait"] = f"{round(1000 * group_wait_seconds)}ms"
        route["group_interval"] = "1s"
    for receiver in config["receivers"]:
        for webhook in receiver["webhook_configs"]:
            webhook["url"] = f"{webhook_url}/{receiver['name']}"
    return config
