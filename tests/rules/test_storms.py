"""One trouble of a whole fleet is a handful of alerts, whatever the number of clusters."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from ontap_mixin.output import groups
from ontap_mixin.settings import load
from support.prometheus import needs_prometheus
from support.rules import RULE_FILES

pytestmark = needs_prometheus

CLUSTERS = 300
EXPORTER = 'job="ontap-packages", instance="a:10910"'
Series = dict[str, str]
FIRING = 'count by (alertname, severity) (ALERTS{alertstate="firing"})'


def series(metric: str, values: str, labels: str = "", *, clusters: int = CLUSTERS) -> list[Series]:
    own = f", {labels}" if labels else ""
    return [
        {"series": f'{metric}{{cluster="c{number:03}"{own}, {EXPORTER}}}', "values": values}
        for number in range(clusters)
    ]


def firing(directory: Path, fleet: Iterable[Series], expected: dict[int, dict[tuple[str, str], int]]) -> None:
    """Evaluate all rules each minute, and expect this many alerts of each name and severity after minutes."""
    named = [group.name for group in groups(load())]
    asked = [
        {
            "expr": FIRING,
            "eval_time": f"{minutes}m",
            "exp_samples": [
                {"labels": f'{{alertname="{name}", severity="{severity}"}}', "value": count}
                for (name, severity), count in counts.items()
            ],
        }
        for minutes, counts in expected.items()
    ]
    up = {"series": f"up{{{EXPORTER}}}", "values": "1x300"}
    document = {
        "rule_files": [str(path) for path in RULE_FILES],
        "evaluation_interval": "1m",
        "group_eval_order": sorted(named, key=lambda name: not name.endswith(".rules")),
        "tests": [
            {
                "interval": "1m",
                "input_series": [up, *fleet],
                "promql_expr_test": asked,
            }
        ],
    }
    file = directory / "storm.yaml"
    file.write_text(json.dumps(document))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_password_that_changes_everywhere_calls_nobody_at_night(tmp_path: Path) -> None:
    """The alerts of single clusters fire later, and Alertmanager silences them: see the integration test."""
    fleet = [
        *series("ontap_up", "1x9 0x60"),
        *series("ontap_poll_failing", "_x10 1x60", 'reason="unauthorized"'),
        *series("ontap_software_packages", "3x70"),
    ]
    early = {("OntapManyPasswordsRefused", "warning"): 1}
    later = {("OntapPasswordRefused", "warning"): CLUSTERS, ("OntapClusterDown", "warning"): CLUSTERS}
    firing(tmp_path, fleet, {17: early, 40: early | later})


@pytest.mark.parametrize(
    ("reason", "alert"),
    [
        ("connection", ("OntapManyClustersDown", "critical")),
        ("incomplete", ("OntapManyListingsIncomplete", "warning")),
    ],
)
def test_a_common_cause_is_told_before_single_clusters_are(
    reason: str, alert: tuple[str, str], tmp_path: Path
) -> None:
    fleet = [
        *series("ontap_up", "1x9 0x60"),
        *series("ontap_poll_failing", "_x10 1x60", f'reason="{reason}"'),
    ]
    firing(tmp_path, fleet, {22: {alert: 1}})


def test_a_fifth_of_a_fleet_is_told_before_single_clusters_are(tmp_path: Path) -> None:
    fleet = [
        *series("ontap_up", "1x9 0x60", clusters=CLUSTERS // 5),
        *series("ontap_up", "1x70")[CLUSTERS // 5 :],
    ]
    early = {("OntapSeveralClustersDown", "warning"): 1}
    later = {("OntapClusterDown", "warning"): CLUSTERS // 5}
    firing(tmp_path, fleet, {22: early, 40: early | later})


def test_old_packages_are_one_alert_for_each_cluster_and_wake_nobody(tmp_path: Path) -> None:
    packages = [
        one
        for number in range(12)
        for metric, values in (("in_use", "0x80"), ("create_timestamp_seconds", "-99999999x80"))
        for one in series(f"ontap_software_package_{metric}", values, f'version="9.{number}.1"', clusters=30)
    ]
    fleet = [
        *packages,
        *series("ontap_up", "1x80", clusters=30),
        *series("ontap_software_packages", "12x80", clusters=30),
    ]
    expected = {("OntapUnusedPackageOld", "info"): 30, ("OntapTooManyPackages", "info"): 30}
    firing(tmp_path, fleet, {75: expected})
