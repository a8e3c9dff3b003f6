"""What is not known is never shown as none: promtool answers the queries about such fleets."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from grafana.boards import DASHBOARDS, chosen, substituted, targets

from ontap_mixin.output import groups
from ontap_mixin.settings import load
from support.prometheus import needs_prometheus
from support.rules import RULE_FILES

pytestmark = needs_prometheus

EXPORTER = 'job="ontap-packages", instance="a:10910"'
SINGLE = {"job": "ontap-packages", "cluster": "c1", "instance": "a:10910", "policy": ".+"}
_GLOBALS = {"__rate_interval": "5m", "__interval": "2m", "__range": "1h"}
OLD_DAYS = 400
DAY_SECONDS = 86_400
ASKED_MINUTES = 30
TILES = (("cluster", "Old packages"), ("fleet", "Have old packages"))
Series = dict[str, str]


def queries(board: str, panel: str | None = None) -> list[tuple[str, str]]:
    """Give the panels of a dashboard and their queries, or those of one panel, for the cluster c1."""
    dashboard = DASHBOARDS[board]
    values = {**chosen(dashboard), **SINGLE, **_GLOBALS}
    return [
        (one["title"], substituted(target["expr"], values))
        for one, target in targets(dashboard)
        if panel in {None, one["title"]}
    ]


def series(metric: str, values: str, labels: str = "") -> Series:
    return {"series": f"{metric}{{{labels}{', ' * bool(labels)}{EXPORTER}}}", "values": values}


def cluster(*packages: str, up: int = 1) -> list[Series]:
    """Return the series of a cluster with these packages, none of which has a use or an age."""
    found = [
        series("ontap_up", f"{up}x60", 'cluster="c1"'),
        series("ontap_software_packages", f"{len(packages)}x60", 'cluster="c1"'),
    ]
    return found + [
        series("ontap_software_package_info", "1x60", f'cluster="c1", version="{version}"')
        for version in packages
    ]


def used(version: str, use: int) -> Series:
    return series("ontap_software_package_in_use", f"{use}x60", f'cluster="c1", version="{version}"')


def aged(version: str, days: int) -> list[Series]:
    labels, seconds = f'cluster="c1", version="{version}"', days * DAY_SECONDS
    return [
        series("ontap_software_package_age_seconds", f"{seconds}x60", labels),
        series("ontap_software_package_create_timestamp_seconds", f"{-seconds}x60", labels),
    ]


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
    file = directory / "unknown.yaml"
    file.write_text(json.dumps(document))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("fleet", "shown"),
    [
        pytest.param([*cluster("9.1"), used("9.1", 0), *aged("9.1", 1)], [0], id="none is old"),
        pytest.param([*cluster("9.1"), used("9.1", 1)], [0], id="all are in use"),
        pytest.param(cluster(), [0], id="the repository is empty"),
        pytest.param([*cluster("9.1"), used("9.1", 0)], [], id="no age is known"),
        pytest.param(
            [*cluster("9.1", "9.2"), used("9.1", 0), used("9.2", 0), *aged("9.2", 1)],
            [],
            id="one age is not known",
        ),
        pytest.param(
            [*cluster("9.1", "9.2"), used("9.1", 0), used("9.2", 0), *aged("9.2", OLD_DAYS)],
            [1],
            id="one is old, and one age is not known",
        ),
        pytest.param([*cluster("9.1"), *aged("9.1", OLD_DAYS)], [], id="no use is known"),
        pytest.param(
            [*cluster("9.1", "9.2"), *aged("9.1", OLD_DAYS), used("9.2", 1)], [], id="one use is not known"
        ),
        pytest.param(
            [*cluster("9.1", up=0), used("9.1", 0), *aged("9.1", OLD_DAYS)], [], id="the cluster is down"
        ),
    ],
)
def test_no_old_package_is_only_said_if_it_is_known(
    fleet: list[Series], shown: list[float], tmp_path: Path
) -> None:
    asked = [expression for board, title in TILES for _, expression in queries(board, title)]
    assert len(asked) == len(TILES)
    check(tmp_path, fleet, [(expression, shown) for expression in asked])


def test_a_version_is_only_called_unused_if_that_is_known_on_all_clusters(tmp_path: Path) -> None:
    other = [
        series("ontap_up", "1x60", 'cluster="c2"'),
        series("ontap_software_package_info", "1x60", 'cluster="c2", version="9.1"'),
    ]
    ((_, expression),) = queries("fleet", "Most widespread unused versions")
    everywhere = expression.replace('cluster=~"c1"', 'cluster=~".+"')
    check(
        tmp_path, [*cluster("9.1"), used("9.1", 0), *other], [(everywhere, []), (f"sum({expression})", [1])]
    )


@pytest.mark.parametrize("is_polled", [False, True])
def test_a_cluster_is_only_called_down_once_it_has_been_polled(*, is_polled: bool, tmp_path: Path) -> None:
    fleet = [series("ontap_up", "0x60", 'cluster="c1"')]
    fleet += [series("ontap_last_poll_timestamp_seconds", "9x60", 'cluster="c1"')] * is_polled
    shown = [1.0] * is_polled
    (_, down), *_ = queries("fleet", "Clusters down")
    ((_, state),) = queries("cluster", "State")
    check(tmp_path, fleet, [(down, shown), (f"count({state})", shown)])


def test_with_all_exporters_dead_only_their_death_is_shown(tmp_path: Path) -> None:
    """What they served is gone: whatever is green or blue then would be a lie."""
    fleet = [
        series("up", "1x9 0x60"),
        series("ontap_exporter_build_info", "1x9 stale", 'version="1"'),
        series("ontap_up", "1x9 stale", 'cluster="c1"'),
        series("ontap_software_packages", "1x9 stale", 'cluster="c1"'),
        series("ontap_software_package_info", "1x9 stale", 'cluster="c1", version="9.1"'),
        series("ontap_software_package_in_use", "0x9 stale", 'cluster="c1", version="9.1"'),
        series("ontap_software_package_age_seconds", "9x9 stale", 'cluster="c1", version="9.1"'),
        series("ontap_cleanup_last_run_success", "1x9 stale", 'cluster="c1", policy="p"'),
        series("ontap_cleanup_halted", "0x9 stale"),
        series("ontap_cleanup_candidates", "0x9 stale", 'cluster="c1", policy="p"'),
    ]
    told = {
        ("fleet", "Exporters down"): 1,
        ("exporter", "Exporters down"): 1,
        ("exporter", "Exporters up"): 0,
    }
    of_the_dead = {("fleet", "Firing alerts"), ("exporter", "Exporters")}
    numbers = {
        (board, panel["title"])
        for board, one in DASHBOARDS.items()
        for panel, _ in targets(one)
        if panel["type"] in {"stat", "bargauge", "table"}
    }
    check(
        tmp_path,
        fleet,
        [
            (expression, [told[board, title]] if (board, title) in told else [])
            for board in DASHBOARDS
            for title, expression in queries(board)
            if (board, title) in numbers - of_the_dead
        ],
    )
