"""A cluster is its uuid: a deletion stays with it, whatever the configuration calls it and wherever it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from exporter.cleanup.outcomes import Outcome
from exporter.config import PolicyConfig
from exporter.config.schema import ClusterSelector
from exporter.ontap.access import ClusterAccess
from exporter.ontap.requests.facts import CLUSTER_PATH
from exporter.ontap.requests.jobs import JOBS_PATH
from exporter.simulator import Fault, FaultKind, SimulatedCluster
from support.cleaning import POLICY, SHORT, at_request, changed, cleaning, cluster_with, only
from support.journal.journal_steps import totals_of, unfinished_on
from support.servicing import (
    BEAT,
    OFTEN,
    WAIT_SECONDS,
    Life,
    Servicing,
    cluster_named,
    deletes,
    inventory_of,
    life,
)
from support.waiting import eventually

VERSION = "9.11.1"
QUICK = changed(POLICY, every=OFTEN)
ONLY_C1 = changed(QUICK, clusters=ClusterSelector(names=["c1"]))
OTHER_UUID = "1f-other"
SEVERAL_NAMES = "one cluster is configured under several names"

Configured = Mapping[str, tuple[ClusterAccess, SimulatedCluster]]
"""What is configured under each name, and which cluster answers there."""


async def configure(it: Life, one: Servicing, configured: Configured, *policies: PolicyConfig) -> None:
    """Give the service these clusters, beside the one that beats, and let them have had a good poll."""
    accesses = {name: access for name, (access, _) in configured.items()}
    await one.service.configure(it.config(*policies, BEAT), {**accesses, "beat": it.accesses["beat"]})
    for name, (_, cluster) in configured.items():
        one.service.note_good_poll(name, inventory_of(cluster))


def named(name: str, access: ClusterAccess, *, host: str | None = None) -> ClusterAccess:
    """Return an access to the same cluster under another name, and perhaps another address."""
    endpoint = access.config.endpoint
    endpoint = replace(endpoint, host=endpoint.host if host is None else host)
    return ClusterAccess(
        config=replace(access.config, name=name, endpoint=endpoint),
        client=access.client,
        account=access.account,
    )


async def being_deleted(cluster: SimulatedCluster) -> None:
    """Wait until ONTAP has accepted the first DELETE, whose job goes on until it is released."""
    await cluster.wait_for_requests(1, method="GET", path=f"{JOBS_PATH}/", timeout_seconds=WAIT_SECONDS)
    assert deletes(cluster) == 1


async def all_ended(one: Servicing) -> None:
    async def ended() -> bool:
        return one.service.journal is not None and not (await one.journal.stops.read()).unfinished

    await eventually(ended, seconds=WAIT_SECONDS, what="every deletion to end")


async def outcomes(one: Servicing, cluster: str) -> dict[Outcome, int]:
    policies = await totals_of(one.journal)
    found = policies[cluster, POLICY.name].outcomes if (cluster, POLICY.name) in policies else {}
    return {outcome: count for outcome, count in found.items() if count}


def warned(logs: Sequence[Mapping[str, object]], event: str) -> bool:
    return any(line["event"] == event for line in logs)


async def test_a_cluster_under_two_names_is_cleaned_once_and_warned_about(tmp_path: Path) -> None:
    cluster = cluster_named("c1", VERSION, "9.12.1", "9.14.1P2")
    second = changed(QUICK, name="second")
    async with life(tmp_path, cluster, cluster_named("beat")) as it:
        both = {
            "c1": (it.accesses["c1"], cluster),
            "c1b": (named("c1b", it.accesses["c1"], host="localhost"), cluster),
        }
        async with it.service(BEAT, without="c1") as one:
            cluster.hold_jobs()
            with capture_logs() as logs:
                await configure(it, one, both, QUICK, second)
                await being_deleted(cluster)
                await one.watch.beats(5)
            (warning,) = [line for line in logs if line["event"] == SEVERAL_NAMES]
            assert (warning["log_level"], warning["names"]) == ("warning", ["c1", "c1b"])
            assert deletes(cluster) == 1
            cluster.release_jobs()
            await cluster.wait_for_deletions(2, timeout_seconds=WAIT_SECONDS)
            await all_ended(one)
            assert (deletes(cluster), cluster.jobs.peak) == (2, 1)
            assert await outcomes(one, "c1b") == {}
            assert not [run for run in await one.runs() if run.cluster == "c1b"]


async def test_where_one_of_two_names_leaves_the_other_is_cleaned(tmp_path: Path) -> None:
    cluster = cluster_named("c1", VERSION, "9.14.1P2")
    async with life(tmp_path, cluster, cluster_named("beat")) as it:
        other = (named("c1b", it.accesses["c1"]), cluster)
        async with it.service(BEAT, without="c1") as one:
            nothing = changed(QUICK, exclude=["*"])
            await configure(it, one, {"c1": (it.accesses["c1"], cluster), "c1b": other}, nothing)
            await one.watch.ended(("c1", POLICY.name))
            await configure(it, one, {"c1b": other}, QUICK)
            await cluster.wait_for_deletions(1, timeout_seconds=WAIT_SECONDS)
            await all_ended(one)
            assert await outcomes(one, "c1b") == {Outcome.SUCCESS: 1}


async def test_a_name_under_which_a_cluster_is_not_cleaned_any_more_shows_no_next_run(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.14.1P2")
    async with life(tmp_path, cluster, cluster_named("beat")) as it, it.service(POLICY, BEAT) as one:
        await one.watch.ended(("c1", POLICY.name))
        other = (named("c1b", it.accesses["c1"]), cluster)
        await configure(it, one, {"c1b": other, "c1": (it.accesses["c1"], cluster)}, POLICY)
        await one.watch.until(
            ("c1b", POLICY.name), lambda status: status.next_run_timestamp_seconds is not None
        )
        assert one.watch.statuses["c1", POLICY.name].next_run_timestamp_seconds is None


@pytest.mark.parametrize("host", [None, "moved.invalid"], ids=["renamed", "renamed and moved"])
async def test_a_cluster_that_is_renamed_keeps_its_deletion(host: str | None, tmp_path: Path) -> None:
    cluster = cluster_named("c1", VERSION, "9.12.1", "9.14.1P2")
    async with life(tmp_path, cluster, cluster_named("beat")) as it, it.service(QUICK, BEAT) as one:
        cluster.hold_jobs()
        await being_deleted(cluster)
        await configure(it, one, {"c1b": (named("c1b", it.accesses["c1"], host=host), cluster)}, QUICK)
        await one.watch.beats(8)
        assert (deletes(cluster), len(await unfinished_on(one.journal, cluster.uuid))) == (1, 1)
        cluster.release_jobs()
        await cluster.wait_for_deletions(2, timeout_seconds=WAIT_SECONDS)
        await all_ended(one)
        assert (deletes(cluster), cluster.jobs.peak) == (2, 1)
        assert await outcomes(one, "c1") == {Outcome.SUCCESS: 1}
        assert await outcomes(one, "c1b") == {Outcome.SUCCESS: 1}


async def test_a_cluster_that_is_renamed_between_two_lives_keeps_its_deletion(tmp_path: Path) -> None:
    cluster = cluster_named("c1", VERSION, "9.14.1P2")
    async with life(tmp_path, cluster, cluster_named("beat")) as it:
        cluster.hold_jobs()
        async with it.service(QUICK, BEAT):
            await being_deleted(cluster)
        async with it.service(BEAT, without="c1") as one:
            await configure(it, one, {"c1b": (named("c1b", it.accesses["c1"]), cluster)}, QUICK)
            await cluster.wait_for_requests(
                len(cluster.requests_to(f"{JOBS_PATH}/")) + 2,
                path=f"{JOBS_PATH}/",
                timeout_seconds=WAIT_SECONDS,
            )
            assert deletes(cluster) == 1
            cluster.release_jobs()
            await all_ended(one)
            assert await outcomes(one, "c1") == {Outcome.SUCCESS: 1}
        assert deletes(cluster) == 1


async def test_clusters_whose_addresses_are_swapped_keep_their_own_deletions(tmp_path: Path) -> None:
    """Both have the version, so that the name has one deletion of it on each of them."""
    first, second = cluster_named("c1", VERSION, "9.14.1P2"), cluster_named("c2", VERSION, "9.14.1P2")
    async with life(tmp_path, first, second, cluster_named("beat")) as it, it.service(ONLY_C1, BEAT) as one:
        first.hold_jobs()
        await being_deleted(first)
        swapped = {
            "c1": (named("c1", it.accesses["c2"]), second),
            "c2": (named("c2", it.accesses["c1"]), first),
        }
        await configure(it, one, swapped, ONLY_C1)
        await second.wait_for_deletions(1, timeout_seconds=WAIT_SECONDS)
        await one.watch.beats(8)
        assert (deletes(first), deletes(second)) == (1, 1)
        assert set((await one.journal.stops.read()).unfinished) == {first.uuid}
        assert await outcomes(one, "c1") == {Outcome.SUCCESS: 1}  # of the second cluster
        first.release_jobs()
        await all_ended(one)
        assert await outcomes(one, "c1") == {Outcome.SUCCESS: 2}
        assert (deletes(first), deletes(second)) == (1, 1)
        assert (first.versions, second.versions) == (("9.14.1P2",), ("9.14.1P2",))


@pytest.mark.parametrize("is_polled", [True, False], ids=["since the poll", "after the poll"])
async def test_nothing_is_concluded_where_another_cluster_answers_after_a_restart(
    *, is_polled: bool, tmp_path: Path
) -> None:
    """Another cluster answers at the address, which neither has the package nor knows the job."""
    cluster = cluster_named("c1", VERSION, "9.14.1P2")
    async with life(tmp_path, cluster, cluster_named("beat")) as it:
        cluster.hold_jobs()
        async with it.service(QUICK, BEAT):
            await being_deleted(cluster)
        uuid, before = cluster.uuid, inventory_of(cluster)
        cluster.uuid = OTHER_UUID
        cluster.remove_package(VERSION)
        hidden = Fault(FaultKind.ERROR, path=f"{JOBS_PATH}/", status=404, code=4)
        cluster.faults.add(hidden)
        async with it.service(QUICK, BEAT, polled=["beat"]) as one:
            with capture_logs() as logs:
                one.service.note_good_poll("c1", inventory_of(cluster) if is_polled else before)
                await one.watch.beats(8)
            assert warned(logs, "a cluster cannot be cleaned") is not is_polled
            assert set((await one.journal.stops.read()).unfinished) == {uuid}
        cluster.uuid = uuid
        cluster.faults.remove(hidden)
        cluster.release_jobs()
        async with it.service(QUICK, BEAT) as one:
            await all_ended(one)
            assert await outcomes(one, "c1") == {Outcome.SUCCESS: 1}
        assert deletes(cluster) == 1


@pytest.mark.parametrize("kind", [FaultKind.FORBIDDEN, FaultKind.SERVER_ERROR])
async def test_what_is_unfinished_waits_until_the_cluster_says_who_it_is(
    kind: FaultKind, tmp_path: Path
) -> None:
    cluster = cluster_named("c1", VERSION, "9.14.1P2")
    async with life(tmp_path, cluster, cluster_named("beat")) as it:
        cluster.hold_jobs()
        async with it.service(QUICK, BEAT):
            await being_deleted(cluster)
        cluster.release_jobs()
        await cluster.wait_for_deletions(1, timeout_seconds=WAIT_SECONDS)
        silence = Fault(kind, path=CLUSTER_PATH, exact=True)
        cluster.faults.add(silence)
        async with it.service(QUICK, BEAT) as one:
            await one.watch.beats(8)
            assert set((await one.journal.stops.read()).unfinished) == {cluster.uuid}
            cluster.faults.remove(silence)
            await all_ended(one)
            assert await outcomes(one, "c1") == {Outcome.SUCCESS: 1}


async def test_a_run_ends_where_another_cluster_answers_all_of_a_sudden(tmp_path: Path) -> None:
    async with cleaning(cluster_with(VERSION, "9.12.1", "9.14.1P2"), tmp_path) as it:

        def become_another() -> None:
            if it.deletes():
                it.cluster.uuid = OTHER_UUID

        it.cluster.faults.add(at_request(become_another, path=CLUSTER_PATH, times=100))
        run = await it.run()
        assert (run.success, run.error) == (False, "another cluster answers at this address now")
        assert [deletion.outcome for deletion in run.deletions] == [Outcome.SUCCESS]
        assert it.deletes() == 1


@pytest.mark.parametrize("is_lost", [True, False], ids=["lost answer", "hidden job"])
async def test_that_another_cluster_does_not_have_the_package_says_nothing(
    *, is_lost: bool, tmp_path: Path
) -> None:
    """The other one lists no such package, and has a job that deleted one of that version."""
    async with cleaning(cluster_with(VERSION, "9.14.1P2"), tmp_path) as it:

        def become_another() -> None:
            if it.deletes() and it.cluster.uuid != OTHER_UUID:
                it.cluster.uuid = OTHER_UUID
                it.cluster.remove_package(VERSION)

        if is_lost:
            it.cluster.faults.add(Fault(FaultKind.LOST_ANSWER, method="DELETE", times=1))
        else:
            it.cluster.faults.add(Fault(FaultKind.FORBIDDEN, path=JOBS_PATH))
        it.cluster.faults.add(at_request(become_another, path=CLUSTER_PATH, times=100))
        run = await it.run(SHORT)
        assert only(run).outcome is Outcome.TIMEOUT
        assert only(run).job_uuid is None or not is_lost
        assert it.deletes() == 1


async def test_a_uuid_is_the_same_in_letters_of_either_case(tmp_path: Path) -> None:
    async with cleaning(cluster_with(VERSION, "9.14.1P2"), tmp_path) as it:
        it.cluster.uuid = it.cluster.uuid.upper()
        assert only(await it.run()).outcome is Outcome.SUCCESS


NONSENSE = [
    {},
    [],
    {"uuid": None, "name": "c1"},
    {"uuid": ""},
    {"uuid": 7},
    {"uuid": ["a"]},
    {"uuid": "../x"},
    {"uuid": "a b"},
    {"uuid": "a" * 65},
    {"error": {"code": "4", "message": "entry doesn't exist"}},
]


@pytest.mark.parametrize("document", NONSENSE, ids=str)
async def test_an_answer_that_makes_no_sense_is_no_identity(document: object, tmp_path: Path) -> None:
    async with cleaning(cluster_with(VERSION, "9.14.1P2"), tmp_path) as it:
        body = json.dumps(document).encode()
        it.cluster.faults.add(Fault(FaultKind.REPLY, path=CLUSTER_PATH, exact=True, status=200, body=body))
        run = await it.run()
        assert (run.success, run.deletions, it.deletes()) == (False, (), 0)


async def test_a_cluster_that_polls_do_not_know_by_its_uuid_is_not_cleaned(tmp_path: Path) -> None:
    cluster = cluster_named("c1", VERSION, "9.14.1P2")
    async with (
        life(tmp_path, cluster, cluster_named("beat")) as it,
        it.service(QUICK, BEAT, polled=["beat"]) as one,
    ):
        inventory = inventory_of(cluster)
        assert inventory.identity is not None
        for identity in (
            None,
            replace(inventory.identity, uuid=None),
            replace(inventory.identity, uuid=".."),
        ):
            one.service.note_good_poll("c1", replace(inventory, identity=identity))
        await one.watch.beats(5)
        assert cluster.requests == ()


async def test_another_journal_waits_for_the_job_that_the_cluster_shows(tmp_path: Path) -> None:
    cluster = cluster_named("c1", VERSION, "9.14.1P2")
    async with life(tmp_path, cluster, cluster_named("beat")) as it:
        cluster.hold_jobs()
        async with it.service(QUICK, BEAT):
            await being_deleted(cluster)
        elsewhere = replace(it, state=f"sqlite:///{tmp_path}/state2.db")
        async with elsewhere.service(QUICK, BEAT) as one:
            await one.watch.ended()
            await one.watch.beats(5)
            errors = {run.error for run in await one.runs() if run.cluster == "c1" and run.success is False}
            assert errors == {f"a job is deleting {VERSION} already"}
            assert deletes(cluster) == 1
            cluster.release_jobs()
            await cluster.wait_for_deletions(1, timeout_seconds=WAIT_SECONDS)
            await one.watch.until(("c1", POLICY.name), lambda status: status.totals.last_success is True)
        async with it.service(changed(QUICK, every=timedelta(hours=1)), BEAT) as one:
            await all_ended(one)
            assert await outcomes(one, "c1") == {Outcome.SUCCESS: 1}
        assert deletes(cluster) == 1


LOCKED = "The job manager is temporarily locked. Try again later."


@pytest.mark.parametrize(
    ("fault", "deleted"),
    [
        (Fault(FaultKind.FORBIDDEN, path=JOBS_PATH, exact=True), True),
        (Fault(FaultKind.ERROR, path=JOBS_PATH, exact=True, status=404, code=3), True),
        (Fault(FaultKind.HTML, path=JOBS_PATH, exact=True, status=404), True),
        (Fault(FaultKind.ERROR, path=JOBS_PATH, exact=True, status=500, code=1), False),
        (Fault(FaultKind.ERROR, path=JOBS_PATH, exact=True, status=404, code=4, message=LOCKED), False),
        (Fault(FaultKind.REPLY, path=JOBS_PATH, exact=True), False),
    ],
    ids=["forbidden", "not found", "not found in HTML", "broken", "locked", "of another shape"],
)
async def test_jobs_that_can_never_be_listed_hold_up_nothing_and_others_fail_the_run(
    fault: Fault, *, deleted: bool, tmp_path: Path
) -> None:
    async with cleaning(cluster_with(VERSION, "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(fault)
        run = await it.run()
        assert run.success is deleted
        assert it.cluster.versions == (("9.14.1P2",) if deleted else (VERSION, "9.14.1P2"))
        assert it.deletes() == deleted
