"""The rules use the exporter's metrics, their alerts say what an operator needs, and their tests pass."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.prometheus import needs_prometheus
from support.rules import (
    PROMETHEUS,
    RULE_FILES,
    SERVED,
    TEST_FILES,
    Rule,
    alerts,
    metrics_of,
    recorded,
    rules,
    seconds,
)

BASE = "https://runbooks.example.com/ontap-packages-exporter/"
SEVERITIES = {"critical", "warning", "info"}
OF_EVERY_TARGET = {"up", "ALERTS", "process_start_time_seconds"}
CRITICAL = {"OntapAllExportersDown", "OntapManyClustersDown", "OntapDeletionsUnusual"}
RESTART_SECONDS = 300
GAP_SECONDS = 240
_MISSING = re.compile(r"_x(\d+)")
_REPEATED = re.compile(r"(-?\d+)(?:([+-]\d+))?x(\d+)")
_RECORD = re.compile(r"[a-z_]+:[a-zA-Z_]+:[a-z0-9_]+")


@cache
def cases() -> tuple[dict[str, Any], ...]:
    """Return every case of every rule test that is about an alert."""
    documents = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in TEST_FILES)
    return tuple(
        chain.from_iterable(
            test.get("alert_rule_test", []) for document in documents for test in document["tests"]
        )
    )


def promtool(*arguments: str | Path) -> tuple[int, str]:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@needs_prometheus
def test_promtool_accepts_every_rule() -> None:
    code, said = promtool("check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)
    assert code == 0, said


@needs_prometheus
@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.stem)
def test_the_rules_do_what_their_tests_say(path: Path) -> None:
    code, said = promtool("test", "rules", path)
    assert (code, "SUCCESS" in said) == (0, True), said


@needs_prometheus
@pytest.mark.parametrize("file", sorted({rule.file for rule in alerts().values()}))
def test_the_tests_notice_alerts_that_do_not_wait(file: str, tmp_path: Path) -> None:
    for folder in ("rules", "tests"):
        shutil.copytree(PROMETHEUS / folder, tmp_path / folder)
    impatient = tmp_path / "rules" / file
    text = impatient.read_text(encoding="utf-8")
    impatient.write_text(re.sub(r"^( +)for: \w+$", r"\1for: 0s", text, flags=re.MULTILINE), encoding="utf-8")
    testing = [path for path in TEST_FILES if path.stem.split("-")[0] == impatient.stem]
    said = promtool("test", "rules", *(tmp_path / "tests" / path.name for path in testing))[1]
    noticed = set(re.findall(r"alertname: (\w+)", said))
    assert noticed == {rule.alert for rule in alerts().values() if rule.file == file}


@needs_prometheus
@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.stem)
def test_no_alert_ends_while_a_restarting_exporter_serves_nothing(path: Path, tmp_path: Path) -> None:
    # Values stay text, as they are to promtool: 0x200 is no hexadecimal number.
    document = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 - text only
    gap_seconds = max(GAP_SECONDS, seconds(document["evaluation_interval"]))
    firing = {
        case["alertname"]: (test, case)
        for test in reversed(document["tests"])
        for case in reversed(test.get("alert_rule_test", ()))
        if case["exp_alerts"]
    }
    assert firing
    document["tests"] = [cut_off(test, case, gap_seconds) for test, case in firing.values()]
    document["rule_files"] = [str((path.parent / file).resolve()) for file in document["rule_files"]]
    changed = tmp_path / path.name
    changed.write_text(yaml.safe_dump(document), encoding="utf-8")
    code, said = promtool("test", "rules", changed)
    assert code == 0, said


def cut_off(test: dict[str, Any], case: dict[str, Any], gap_seconds: int) -> dict[str, Any]:
    """Return a rule test whose series end right after an alert fired, which must still fire after the gap."""
    interval_seconds = seconds(test["interval"])
    kept = seconds(case["eval_time"]) // interval_seconds + 1
    series = [
        {**one, "values": " ".join([*expanded(one["values"])[:kept], "stale"])}
        for one in test["input_series"]
    ]
    later = {**case, "eval_time": f"{kept * interval_seconds + gap_seconds}s"}
    return {"interval": test["interval"], "input_series": series, "alert_rule_test": [later]}


def expanded(values: str) -> list[str]:
    """Write out promtool's notation: ``1x2`` is three samples, ``_x2`` two that are missing."""
    found: list[str] = []
    for word in values.split():
        if match := _MISSING.fullmatch(word):
            found += ["_"] * int(match[1])
        elif match := _REPEATED.fullmatch(word):
            first, step, times = float(match[1]), float(match[2] or 0), int(match[3])
            found += [repr(first + step * count) for count in range(times + 1)]
        else:
            found.append(word)
    return found


def test_the_notation_of_promtool_is_understood() -> None:
    assert expanded("1x2 _x2 5 stale -3+2x1") == ["1.0"] * 3 + ["_", "_", "5", "stale", "-3.0", "-1.0"]


@pytest.mark.parametrize("name", tuple(alerts()))
def test_every_alert_has_a_case_that_fires_and_one_that_must_not(name: str) -> None:
    fires = {bool(case["exp_alerts"]) for case in cases() if case["alertname"] == name}
    assert fires == {True, False}


def test_every_case_is_about_an_alert_that_exists() -> None:
    assert {case["alertname"] for case in cases()} == set(alerts())


@pytest.mark.parametrize("rule", tuple(rules()), ids=lambda rule: rule.alert or rule.record)
def test_every_metric_of_an_expression_exists(rule: Rule) -> None:
    assert rule.metrics <= SERVED | OF_EVERY_TARGET | set(recorded())


@pytest.mark.parametrize("rule", tuple(alerts().values()), ids=lambda rule: rule.alert)
def test_an_alert_has_what_an_operator_needs(rule: Rule) -> None:
    assert str(rule.alert).startswith("Ontap")
    assert rule.text["labels"].keys() == {"severity"}
    assert rule.text["labels"]["severity"] in SEVERITIES
    annotations = rule.text["annotations"]
    assert annotations.keys() == {"summary", "description", "runbook_url"}
    assert annotations["runbook_url"] == f"{BASE}{rule.alert}.md"
    assert "$value" in annotations["description"]
    assert all(text.endswith(".") for text in (annotations["summary"], annotations["description"]))
    assert "$labels." in annotations["summary"] + annotations["description"]


@pytest.mark.parametrize("rule", tuple(alerts().values()), ids=lambda rule: rule.alert)
def test_an_alert_goes_on_through_a_restart_of_the_exporter(rule: Rule) -> None:
    assert seconds(rule.text["for"]) >= RESTART_SECONDS
    assert seconds(rule.text["keep_firing_for"]) >= RESTART_SECONDS


def test_no_alert_about_a_cluster_names_the_process() -> None:
    about_clusters = [
        case["exp_alerts"][0]["exp_labels"]
        for case in cases()
        if case["exp_alerts"] and "cluster" in case["exp_alerts"][0]["exp_labels"]
    ]
    assert about_clusters
    assert not [labels for labels in about_clusters if "instance" in labels]


def test_records_are_named_by_level_metric_and_operation() -> None:
    assert [name for name in recorded() if not _RECORD.fullmatch(name)] == []


def test_no_rule_reads_what_it_records_itself() -> None:
    """A rule that remembers by reading its own series forgets wherever another Prometheus evaluates it."""
    assert [rule.record for rule in rules() if rule.record in rule.metrics] == []


def test_only_what_cannot_wait_until_the_morning_is_critical() -> None:
    severities = {name: rule.text["labels"]["severity"] for name, rule in alerts().items()}
    assert {name for name, severity in severities.items() if severity == "critical"} == CRITICAL


@pytest.mark.parametrize(
    ("expression", "metrics"),
    [
        ("up", {"up"}),
        ('a:b:c{x="y", z=~"q w"} offset 8d > scalar(t:t)', {"a:b:c", "t:t"}),
        ("sum by (job, q) (rate(m_total[5m])) unless on (cluster) n == 0", {"m_total", "n"}),
        ("time() - max without (i) (m) > 6 * 3600", {"m"}),
        ('count_values by (job) ("shard", s) * on (a) group_left (b) r', {"s", "r"}),
    ],
)
def test_the_metrics_of_an_expression_are_found(expression: str, metrics: set[str]) -> None:
    assert metrics_of(expression) == metrics
