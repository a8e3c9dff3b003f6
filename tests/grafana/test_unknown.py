"""What is not known is never shown as none: promtool answers the queries about such fleets."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.dashboards.boards import DASHBOARDS, targets, variables
from support.dashboards.evaluated import (
    DAY_SECONDS,
    REPLICA,
    Series,
    check,
    column,
    queries,
    series,
)
from support.prometheus import needs_prometheus

pytestmark = needs_prometheus

OLD_DAYS = 400
EXPIRY = "ontap_cluster_certificate_expiry_timestamp_seconds"
OTHER = 'cluster="c2"'
TILES = (("cluster", "Old packages"), ("fleet", "Have old packages"))


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
    ((_, everywhere),) = queries("fleet", "Most widespread unused versions", cluster=".+")
    check(
        tmp_path, [*cluster("9.1"), used("9.1", 0), *other], [(everywhere, []), (f"sum({expression})", [1])]
    )


@pytest.mark.parametrize(
    ("other", "shown"),
    [
        pytest.param(series("ontap_up", "0x60", OTHER), [], id="is down"),
        pytest.param(series("ontap_up", "1x60", OTHER), [], id="has no listing"),
        pytest.param(series("ontap_polls_total", "0x60", OTHER), [0], id="is not there"),
    ],
)
def test_no_old_package_is_only_said_if_all_clusters_are_known(
    other: Series, shown: list[float], tmp_path: Path
) -> None:
    ((_, tile),) = queries("fleet", "Have old packages", cluster=".+")
    check(tmp_path, [*cluster("9.1"), used("9.1", 1), other], [(tile, shown)])


def test_a_longer_old_after_does_not_make_an_unknown_age_known(tmp_path: Path) -> None:
    two_years = str(2 * 365 * DAY_SECONDS)
    ((_, tile),) = queries("fleet", "Have old packages", old_after=two_years)
    unused = [used("9.1", 0), used("9.2", 0)]
    check(tmp_path, [*cluster("9.1", "9.2"), *unused, *aged("9.2", OLD_DAYS)], [(tile, [])])


@pytest.mark.parametrize(
    ("others", "shown"),
    [
        ([], [0]),
        ([series("ontap_up", "1x60", OTHER)], []),
        ([series("ontap_up", "0x60", OTHER), series(EXPIRY, "9x60", OTHER)], [1]),
        ([series("ontap_up", "0x60", OTHER), series(EXPIRY, "9999999x60", OTHER)], [0]),
        (
            [
                series("ontap_up", "1x60", OTHER),
                series(EXPIRY, "9x60", OTHER),
                series(EXPIRY, "9999999x60", OTHER, exporter=REPLICA),
            ],
            [0],
        ),
    ],
    ids=("known", "one not known", "one expires", "one is down", "one replica has not seen the renewal"),
)
def test_no_certificate_expires_is_only_said_if_all_are_known(
    others: list[Series], shown: list[float], tmp_path: Path
) -> None:
    ((_, tile),) = queries("fleet", "Certificates", cluster=".+")
    known = series(EXPIRY, "9999999x60", 'cluster="c1"')
    check(tmp_path, [*cluster("9.1"), known, *others], [(tile, shown)])


@pytest.mark.parametrize("is_polled", [False, True])
def test_a_cluster_is_only_called_down_once_it_has_been_polled(*, is_polled: bool, tmp_path: Path) -> None:
    fleet = [series("ontap_up", "0x60", 'cluster="c1"')]
    fleet += [series("ontap_last_poll_timestamp_seconds", "9x60", 'cluster="c1"')] * is_polled
    shown = [1.0] * is_polled
    (_, down), *_ = queries("fleet", "Clusters down")
    ((_, state),) = queries("cluster", "State")
    by_label = column("fleet", "By label", "Down", by="job")
    asked = (down, f"count({state})", f"sum({by_label})")
    check(tmp_path, fleet, [(expression, shown) for expression in asked])


@pytest.mark.parametrize("board", DASHBOARDS)
def test_a_job_can_be_chosen_long_after_its_exporters_have_died(board: str, tmp_path: Path) -> None:
    asked = variables(DASHBOARDS[board])["job"]["query"]
    selector = asked.removeprefix("label_values(").rpartition(",")[0]
    fleet = [series("up", "0x60"), series("ontap_exporter_build_info", "1 stale", 'version="1"')]
    check(tmp_path, fleet, [(f"count(count by (job) ({selector}))", [1])])


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
