"""Replicas, jobs and processes that know less than others count once, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.dashboards.boards import DASHBOARDS
from support.dashboards.evaluated import EXPORTER, REPLICA, Series, check, column, filled_in, queries, series
from support.prometheus import needs_prometheus

pytestmark = needs_prometheus

C1 = 'cluster="c1"'
POLICY = 'cluster="c1", policy="p"'
STALE, CURRENT = 9_000, 2_000
RUN_ENDED = "ontap_cleanup_last_run_timestamp_seconds"


def journals(here: int, other: int) -> list[Series]:
    return [
        series("ontap_cleanup_journal_open", f"{here}x60"),
        series("ontap_cleanup_journal_open", f"{other}x60", exporter=REPLICA),
    ]


def leases(here: int, other: int) -> list[Series]:
    return [
        series("ontap_cleanup_lease_held", f"{here}x60", C1),
        series("ontap_cleanup_lease_held", f"{other}x60", C1, exporter=REPLICA),
    ]


def of_both(metric: str, here: int, other: int) -> list[Series]:
    return [
        series(f"ontap_cleanup_{metric}", f"{here}x60", POLICY),
        series(f"ontap_cleanup_{metric}", f"{other}x60", POLICY, exporter=REPLICA),
    ]


def test_replicas_whose_targets_have_labels_of_their_own_are_one_identity(tmp_path: Path) -> None:
    labels = f'{C1}, name="c", uuid="u", ontap_version="9.14.1", site="ams"'
    fleet = [
        series("ontap_cluster_info", "1x60", f'{labels}, pod="{pod}"', exporter=exporter)
        for pod, exporter in (("a", EXPORTER), ("b", REPLICA))
    ]
    ((_, identity),) = queries("cluster", "Identity")
    check(tmp_path, fleet, [(f"count({identity})", [1])])


def test_a_cluster_whose_replicas_fail_for_different_reasons_has_one(tmp_path: Path) -> None:
    fleet = [
        series(metric, values, labels, exporter=exporter)
        for reason, exporter in (("timeout", EXPORTER), ("tls", REPLICA))
        for metric, values, labels in (
            ("ontap_up", "0x60", C1),
            ("ontap_last_poll_timestamp_seconds", "9x60", C1),
            ("ontap_poll_failing", "1x60", f'{C1}, reason="{reason}"'),
        )
    ]
    ((_, reasons),) = queries("fleet", "Down, by reason")
    ((_, reason),) = queries("cluster", "Why it is down")
    check(tmp_path, fleet, [(f"sum({reasons})", [1]), (f"count({reason})", [1])])


def test_shards_are_missing_from_the_job_that_lacks_them(tmp_path: Path) -> None:
    fleet: list[Series] = []
    for job, running in (("ontap-packages", (0, 1)), ("eu/ontap-packages", (0, 1, 2))):
        for shard in running:
            exporter = f'job="{job}", instance="{job}-{shard}"'
            fleet += [
                series("ontap_exporter_total_shards", "3x60", exporter=exporter),
                series("ontap_exporter_shard_ordinal", f"{shard}x60", exporter=exporter),
            ]
    ((_, missing),) = queries("exporter", "Shards missing", job=".+")
    check(tmp_path, fleet, [(missing, [1])])


def test_a_process_that_has_lost_the_journal_is_not_believed(tmp_path: Path) -> None:
    fleet = [
        *journals(0, 1),
        *of_both("dry_run", 0, 0),
        *of_both("last_run_success", 0, 0),
        series("ontap_cleanup_last_run_failure", "1x60", f'{POLICY}, reason="unreadable"'),
        series("ontap_cleanup_last_run_failure", "1x60", f'{POLICY}, reason="denied"', exporter=REPLICA),
        *of_both("last_run_timestamp_seconds", STALE, CURRENT),
        *of_both("last_success_timestamp_seconds", STALE, CURRENT),
        *of_both("next_run_timestamp_seconds", STALE, CURRENT),
        *of_both("candidates", 9, 2),
    ]
    ((_, runs),) = queries("fleet", "Cleanup runs that failed")
    shown = [
        (f"count({runs})", [1.0]),
        (f"sum({runs})", [1000.0 * CURRENT]),
        (queries("cleanup", "Candidates")[0][1], [2.0]),
    ]
    for board, panel in (("cluster", "Policies"), ("cleanup", "Policies on clusters")):
        times = (column(board, panel, title) for title in ("Last run", "Last success", "Next run"))
        shown += [(f"sum({expression})", [1000.0 * CURRENT]) for expression in times]
        shown += [(f"sum({column(board, panel, 'Candidates')})", [2.0])]
    check(tmp_path, fleet, shown)


def test_a_good_run_that_is_only_remembered_without_a_journal_does_not_hide_a_failed_one(
    tmp_path: Path,
) -> None:
    fleet = [*journals(0, 1), *of_both("last_run_success", 1, 0)]
    asked = [queries("fleet", "Cleanup failed")[0][1], queries("cleanup", "Runs failed")[0][1]]
    check(tmp_path, fleet, [(expression, [1]) for expression in asked])


@pytest.mark.parametrize(("is_open", "shown"), [(0, []), (1, [0.0])])
def test_a_run_is_only_called_one_that_never_was_if_the_journal_says_so(
    is_open: int, shown: list[float], tmp_path: Path
) -> None:
    fleet = [
        series("ontap_cleanup_journal_open", f"{is_open}x60"),
        series("ontap_cleanup_dry_run", "1x60", POLICY),
    ]
    asked = [
        column(board, panel, title)
        for board, panel, title in (
            ("cluster", "Policies", "Last run"),
            ("cluster", "Policies", "Last success"),
            ("cleanup", "Policies", "Last run"),
            ("cleanup", "Policies on clusters", "Last success"),
        )
    ]
    check(tmp_path, fleet, [(f"sum({expression})", shown) for expression in asked])


@pytest.mark.parametrize(
    ("held", "shown"),
    [
        pytest.param((0, 1), CURRENT, id="another process cleans the cluster"),
        pytest.param((0, 0), STALE, id="no process may clean it"),
    ],
)
def test_the_process_that_cleans_a_cluster_knows_its_next_run_and_plan(
    held: tuple[int, int], shown: int, tmp_path: Path
) -> None:
    plan = f'{POLICY}, verdict="keep", reason="in_use"'
    fleet = [
        *journals(1, 1),
        *leases(*held),
        *of_both("dry_run", 0, 0),
        *of_both("next_run_timestamp_seconds", STALE, CURRENT),
        series("ontap_cleanup_plan_packages", f"{STALE}x60", plan),
        series("ontap_cleanup_plan_packages", f"{CURRENT}x60", plan, exporter=REPLICA),
    ]
    next_runs = [
        f"sum({column(board, panel, 'Next run')})"
        for board, panel in (("cluster", "Policies"), ("cleanup", "Policies"))
    ]
    plans = f"sum({column('cleanup', 'Last plans, by reason', 'Packages')})"
    check(tmp_path, fleet, [*((one, [1000.0 * shown]) for one in next_runs), (plans, [float(shown)])])


@pytest.mark.parametrize(
    ("in_progress", "seconds"),
    [
        pytest.param("1x9 0x4 1x60", 20 * 60, id="since the last pause, not before it"),
        pytest.param("_x12 1x60", 15 * 60, id="since it was first known"),
    ],
)
def test_a_deletion_is_as_old_as_the_time_without_a_pause(
    in_progress: str, seconds: int, tmp_path: Path
) -> None:
    fleet = [series("ontap_cleanup_jobs_in_progress", in_progress, POLICY)]
    ((_, under_way),) = queries("cleanup", "Deletions under way")
    check(tmp_path, fleet, [(f"sum({under_way})", [seconds])])


def test_a_failed_run_is_marked_although_the_one_before_failed_too(tmp_path: Path) -> None:
    fleet = [
        series("ontap_cleanup_journal_open", "1x60"),
        series(RUN_ENDED, "-600x28 1740x30", POLICY),
        series("ontap_cleanup_last_run_success", "0x60", POLICY),
        series("ontap_cleanup_last_run_failure", "1x60", f'{POLICY}, reason="unreadable"'),
        # Another policy's run was good.
        series(RUN_ENDED, "-600x28 1740x30", 'cluster="c1", policy="q"'),
        series("ontap_cleanup_last_run_success", "1x60", 'cluster="c1", policy="q"'),
    ]
    marks = [
        filled_in(board, mark["expr"])
        for board, dashboard in DASHBOARDS.items()
        for mark in dashboard["annotations"]["list"]
        if mark["name"] == "Runs that failed"
    ]
    assert len(marks) == len(DASHBOARDS) - 1
    check(tmp_path, fleet, [(f"count({mark})", [1]) for mark in marks])
