"""A deletion stays with its cluster, whatever the configuration calls that and wherever the state is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from exporter.cleanup.records import Outcome, Run
from exporter.config import CleanupConfig, PolicyConfig
from exporter.ontap.access import ClusterAccess
from exporter.ontap.facts import CLUSTER_PATH
from exporter.ontap.jobs import JOBS_PATH
from exporter.ontap.listing import PACKAGES_PATH
from exporter.simulator import Fault, FaultKind, SimulatedCluster
from support.servicing import (
    BEAT,
    OFTEN,
    POLICY,
    WAIT_SECONDS,
    Life,
    Servicing,
    cluster_named,
    deletes,
    life,
)
from support.waiting import eventually

VERSION = "9.11.1"
QUICK = replace(POLICY, every=OFTEN)
INTERRUPTED = "the program ended, or its configuration changed, during this run"
ELSEWHERE = "deletions that were sent to another cluster stay unended"


def configure(
    it: Life, one: Servicing, accesses: Mapping[str, ClusterAccess], *policies: PolicyConfig
) -> None:
    """Give the service these clusters, beside the one that beats."""
    accesses = {**accesses, "beat": it.accesses["beat"]}
    config = CleanupConfig(state=it.state, max_concurrent_clusters=4, policies=(*policies, BEAT))
    one.service.configure(config, accesses)
    for name in accesses:
        one.service.note_good_poll(name)


def named(name: str, access: ClusterAccess, *, host: str | None = None) -> ClusterAccess:
    """Return an access to the same cluster under another name, and perhaps another address."""
    endpoint = access.config.endpoint
    endpoint = replace(endpoint, host=endpoint.host if host is None else host)
    config = replace(access.config, name=name, endpoint=endpoint)
    return ClusterAccess(config=config, client=access.client)


async def being_deleted(cluster: SimulatedCluster) -> None:
    """Wait until ONTAP has accepted the first DELETE, whose job goes on until it is released."""
    await cluster.wait_for_requests(1, method="GET", path=f"{JOBS_PATH}/", timeout_seconds=WAIT_SECONDS)
    assert deletes(cluster) == 1


async def all_ended(one: Servicing) -> None:
    async def ended() -> bool:
        return not await one.journal.unended()

    await eventually(ended, seconds=WAIT_SECONDS, what="every deletion to end")


async def outcomes(one: Servicing, cluster: str) -> dict[Outcome, int]:
    totals = await one.journal.totals()
    found = totals[cluster, POLICY.name].outcomes if (cluster, POLICY.name) in totals else {}
    return {outcome: count for outcome, count in found.items() if count}


async def newest_run(one: Servicing, cluster: str) -> Run:
    """Wait for a run on a cluster that begins and ends from now on, and return it."""
    before = {run.id for run in await one.runs()}

    async def later() -> list[Run]:
        return [
            run
            for run in await one.runs()
            if run.cluster == cluster and run.id not in before and run.ended_timestamp_seconds is not None
        ]

    async def ended() -> bool:
        return bool(await later())

    await eventually(ended, seconds=WAIT_SECONDS, what=f"a run on {cluster}")
    return (await later())[-1]


def warnings(logs: Sequence[Mapping[str, object]], event: str) -> list[object]:
    return [line.get("cluster") for line in logs if line["event"] == event]


async def test_a_cluster_that_is_renamed_keeps_its_deletion(tmp_path: Path) -> None:
    cluster = cluster_named("c1", VERSION, "9.12.1", "9.14.1P2")
    async with life(tmp_path, cluster, cluster_named("beat")) as it, it.service(QUICK, BEAT) as one:
        cluster.hold_jobs()
        await being_deleted(cluster)
        with capture_logs() as logs:
            configure(it, one, {"c1b": named("c1b", it.accesses["c1"])}, QUICK)
            await one.watch.beats(8)
        assert warnings(logs, ELSEWHERE) == []
        assert (deletes(cluster), len(await one.journal.unended())) == (1, 1)
        cluster.release_jobs()
        await cluster.wait_for_deletions(2, timeout_seconds=WAIT_SECONDS)
        await all_ended(one)
        assert (deletes(cluster), cluster.jobs.peak) == (2, 1)
        assert await outcomes(one, "c1") == {Outcome.SUCCESS: 1}
        assert await outcomes(one, "c1b") == {Outcome.SUCCESS: 1}
        assert [run.error for run in await one.runs() if run.cluster == "c1"] == [INTERRUPTED]


@pytest.mark.parametrize("latency_seconds", [0.0, 0.3])
async def test_clusters_whose_addresses_are_swapped_keep_their_own_deletions(
    latency_seconds: float, tmp_path: Path
) -> None:
    """Both have the version, so that the name has one deletion of it on each of them."""
    first, second = cluster_named("c1", VERSION, "9.14.1P2"), cluster_named("c2", VERSION, "9.14.1P2")
    for cluster in (first, second):
        cluster.faults.add(Fault(FaultKind.LATENCY, path=CLUSTER_PATH, exact=True, seconds=latency_seconds))
    only_c1 = replace(QUICK, cluster_names=("c1",))
    async with life(tmp_path, first, second, cluster_named("beat")) as it, it.service(only_c1, BEAT) as one:
        first.hold_jobs()
        await being_deleted(first)
        one_access, other = it.accesses["c1"], it.accesses["c2"]
        with capture_logs() as logs:
            configure(it, one, {"c1": named("c1", other), "c2": named("c2", one_access)}, only_c1)
            await second.wait_for_deletions(1, timeout_seconds=WAIT_SECONDS)
            await one.watch.beats(8)
        assert (deletes(first), deletes(second)) == (1, 1)
        (unended,) = await one.journal.unended()
        assert unended.sent_to is not None
        assert unended.sent_to.uuid == first.uuid
        assert await outcomes(one, "c1") == {Outcome.SUCCESS: 1}  # of the second cluster
        assert warnings(logs, ELSEWHERE) == []  # the other name leads to it
        first.release_jobs()
        await all_ended(one)
        assert await outcomes(one, "c1") == {Outcome.SUCCESS: 2}
        assert (deletes(first), deletes(second)) == (1, 1)
        assert (first.versions, second.versions) == (("9.14.1P2",), ("9.14.1P2",))


@pytest.mark.parametrize(
    ("fault", "deleted"),
    [
        (Fault(FaultKind.FORBIDDEN, path=JOBS_PATH, exact=True), True),
        (Fault(FaultKind.ERROR, path=JOBS_PATH, exact=True, status=404, code=3), True),
        (Fault(FaultKind.HTML, path=JOBS_PATH, exact=True, status=404), True),
        (Fault(FaultKind.ERROR, path=JOBS_PATH, exact=True, status=500, code=1), False),
        (Fault(FaultKind.WRONG_SHAPE, path=JOBS_PATH, exact=True), False),
    ],
    ids=["forbidden", "not found", "not found in HTML", "broken", "of another shape"],
)
async def test_jobs_that_can_never_be_listed_hold_up_nothing_and_others_fail_the_run(
    fault: Fault, *, deleted: bool, tmp_path: Path
) -> None:
    cluster = cluster_named("c1", VERSION, "9.14.1P2")
    cluster.faults.add(fault)
    async with life(tmp_path, cluster) as it, it.service(POLICY) as one:
        status = await one.watch.ended()
        assert status.totals.last_success is deleted
        assert cluster.versions == (("9.14.1P2",) if deleted else (VERSION, "9.14.1P2"))
        assert deletes(cluster) == deleted


async def test_another_state_waits_for_the_job_that_the_cluster_tells_of(tmp_path: Path) -> None:
    cluster = cluster_named("c1", VERSION, "9.14.1P2")
    async with life(tmp_path, cluster, cluster_named("beat")) as it:
        cluster.hold_jobs()
        async with it.service(QUICK, BEAT):
            await being_deleted(cluster)
        elsewhere = replace(it, state=f"sqlite:///{tmp_path}/state2.db")
        async with elsewhere.service(QUICK, BEAT) as one:
            await one.watch.ended()
            for _ in range(3):
                run = await newest_run(one, "c1")
                assert (run.success, run.error) == (False, f"a job is deleting {VERSION} already")
                assert run.deletions == ()
            assert deletes(cluster) == 1
            cluster.release_jobs()
            await cluster.wait_for_deletions(1, timeout_seconds=WAIT_SECONDS)
            assert (await newest_run(one, "c1")).success is True
        async with it.service(QUICK, BEAT) as one:
            await one.watch.ended(("beat", "beat"))
            await all_ended(one)
            assert await outcomes(one, "c1") == {Outcome.SUCCESS: 1}
        assert deletes(cluster) == 1


async def test_where_the_role_hides_jobs_delete_is_sent_as_ever(tmp_path: Path) -> None:
    cluster = cluster_named("c1", VERSION, "9.14.1P2")
    cluster.faults.add(Fault(FaultKind.FORBIDDEN, path=JOBS_PATH))
    async with life(tmp_path, cluster, cluster_named("beat")) as it, it.service(QUICK, BEAT):
        await cluster.wait_for_deletions(1, timeout_seconds=WAIT_SECONDS)
        assert deletes(cluster) == 1


async def test_nothing_is_concluded_from_another_cluster_at_the_address_or_name(tmp_path: Path) -> None:
    first, second = cluster_named("c1", VERSION, "9.14.1P2"), cluster_named("c2", VERSION, "9.14.1P2")
    only_c1 = replace(QUICK, cluster_names=("c1",))
    async with life(tmp_path, first, second, cluster_named("beat")) as it:
        async with it.service(only_c1, BEAT, without="c2") as one:
            first.hold_jobs()
            await being_deleted(first)
            asked = len(first.requests)
            with capture_logs() as logs:
                configure(it, one, {"c1": named("c1", it.accesses["c2"])}, only_c1)
                await second.wait_for_deletions(1, timeout_seconds=WAIT_SECONDS)
                await one.watch.beats(8)
            assert warnings(logs, ELSEWHERE) == ["c1"]
            (unended,) = await one.journal.unended()
            assert unended.job_uuid in {job.uuid for job in first.jobs.live()}
            assert len(first.requests) - asked <= 1
            first.release_jobs()
            configure(it, one, {"c1": it.accesses["c1"]}, only_c1)
            await all_ended(one)
            assert await outcomes(one, "c1") == {Outcome.SUCCESS: 2}
        assert (deletes(first), deletes(second)) == (1, 1)


async def test_a_cluster_that_moves_keeps_its_deletion(tmp_path: Path) -> None:
    cluster = cluster_named("c1", VERSION, "9.14.1P2")
    async with life(tmp_path, cluster, cluster_named("beat")) as it, it.service(QUICK, BEAT) as one:
        cluster.hold_jobs()
        await being_deleted(cluster)
        configure(it, one, {"c1": named("c1", it.accesses["c1"], host="moved.invalid")}, QUICK)
        await one.watch.beats(8)
        assert deletes(cluster) == 1
        cluster.release_jobs()
        await all_ended(one)
        assert await outcomes(one, "c1") == {Outcome.SUCCESS: 1}
        assert deletes(cluster) == 1


async def test_a_cluster_that_is_renamed_and_moved_is_known_by_its_uuid(tmp_path: Path) -> None:
    cluster = cluster_named("c1", VERSION, "9.14.1P2")
    async with life(tmp_path, cluster, cluster_named("beat")) as it, it.service(QUICK, BEAT) as one:
        cluster.hold_jobs()
        await being_deleted(cluster)
        configure(it, one, {"c1b": named("c1b", it.accesses["c1"], host="moved.invalid")}, QUICK)
        await one.watch.beats(8)
        run = await newest_run(one, "c1b")
        assert (run.success, run.deletions) == (True, ())
        assert '"reason": "being_deleted"' in run.plan
        assert deletes(cluster) == 1
        cluster.release_jobs()
        await cluster.wait_for_deletions(1, timeout_seconds=WAIT_SECONDS)
        configure(it, one, {"c1": it.accesses["c1"]}, QUICK)
        await all_ended(one)
        assert await outcomes(one, "c1") == {Outcome.SUCCESS: 1}
        assert deletes(cluster) == 1


@pytest.mark.parametrize("kind", [FaultKind.FORBIDDEN, FaultKind.SERVER_ERROR])
async def test_where_a_cluster_does_not_tell_who_it_is_its_address_decides(
    kind: FaultKind, tmp_path: Path
) -> None:
    cluster = cluster_named("c1", VERSION, "9.14.1P2")
    async with life(tmp_path, cluster, cluster_named("beat")) as it:
        cluster.hold_jobs()
        async with it.service(QUICK, BEAT):
            await being_deleted(cluster)
        cluster.release_jobs()
        await cluster.wait_for_deletions(1, timeout_seconds=WAIT_SECONDS)
        cluster.faults.add(Fault(kind, path=CLUSTER_PATH, exact=True, times=5))
        async with it.service(QUICK, BEAT) as one:
            await one.watch.ended(("beat", "beat"))
            await all_ended(one)
            assert await outcomes(one, "c1") == {Outcome.SUCCESS: 1}


async def test_a_run_ends_where_another_cluster_answers_all_of_a_sudden(tmp_path: Path) -> None:
    cluster = cluster_named("c1", VERSION, "9.12.1", "9.14.1P2")
    async with life(tmp_path, cluster, cluster_named("beat")) as it, it.service(POLICY, BEAT) as one:
        cluster.hold_jobs()
        await being_deleted(cluster)
        cluster.uuid = "1f-other"
        cluster.release_jobs()
        await one.watch.ended()
        (run,) = [run for run in await one.runs() if run.cluster == "c1"]
        assert run.error == "another cluster answers at this address now"
        assert [deletion.outcome for deletion in run.deletions] == [Outcome.SUCCESS]
        assert len(cluster.requests_to(PACKAGES_PATH, method="DELETE")) == 1
