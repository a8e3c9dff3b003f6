"""A configuration that changes while packages are deleted: what changed ends, all else goes on untouched."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import Run
from exporter.cleanup.run import CHANGED
from exporter.config import PolicyConfig
from exporter.config.schema import ClusterSelector
from exporter.ontap.access import ClusterAccess
from exporter.ontap.requests.listing import PACKAGES_PATH
from exporter.simulator import SimulatedCluster
from support.cleaning import POLICY, changed
from support.journal.journal_steps import totals_of
from support.servicing import (
    BEAT,
    C1,
    WAIT_SECONDS,
    Life,
    Servicing,
    cluster_named,
    deletes,
    life,
)
from support.waiting import eventually

OLD_VERSIONS = ("9.10.1", "9.11.1", "9.12.1")
C2 = ("c2", POLICY.name)


async def configure(
    it: Life,
    one: Servicing,
    *policies: PolicyConfig,
    accesses: Mapping[str, ClusterAccess] | None = None,
    max_concurrent_clusters: int = 4,
) -> None:
    config = it.config(*policies, max_concurrent_clusters=max_concurrent_clusters)
    await one.service.configure(config, it.accesses if accesses is None else accesses)
    one.good_poll(*it.simulator.clusters)


def anew(access: ClusterAccess, **changes: object) -> ClusterAccess:
    """Return another access to the same cluster, as a changed configuration makes one."""
    config = replace(access.config, **changes)  # type: ignore[arg-type]
    return ClusterAccess(config=config, client=access.client, account=access.account)


async def first_delete(cluster: SimulatedCluster) -> None:
    """Wait until the first package is being deleted, which then goes on until jobs are released."""
    await cluster.wait_for_requests(1, method="DELETE", path=PACKAGES_PATH, timeout_seconds=WAIT_SECONDS)


async def runs_of(one: Servicing, cluster: str) -> list[Run]:
    return [run for run in await one.runs() if run.cluster == cluster]


async def until_ended(one: Servicing, cluster: str, count: int = 1) -> list[Run]:
    """Wait until this many runs on a cluster have ended, and return all of them."""

    async def ended() -> bool:
        runs = await runs_of(one, cluster)
        return sum(run.ended_timestamp_seconds is not None for run in runs) >= count

    await eventually(ended, seconds=WAIT_SECONDS, what=f"{count} ended runs on {cluster}")
    return await runs_of(one, cluster)


async def test_a_run_goes_on_while_other_clusters_and_policies_come_and_go(tmp_path: Path) -> None:
    cluster = cluster_named("c1", *OLD_VERSIONS, "9.14.1P2")
    others = changed(POLICY, name="other", clusters=ClusterSelector(names=["c2"]))
    async with life(tmp_path, cluster, cluster_named("c2", "9.12.1"), cluster_named("beat")) as it:
        without = {name: access for name, access in it.accesses.items() if name != "c2"}
        async with it.service(POLICY, BEAT, without="c2") as one:
            cluster.hold_jobs()
            await first_delete(cluster)
            await configure(it, one, POLICY, others, BEAT)
            await one.watch.ended(("c2", "other"))
            await configure(it, one, POLICY, accesses=without)
            assert {status.key for status in one.board.statuses()} == {C1}
            cluster.release_jobs()
            (run,) = await until_ended(one, "c1")
            assert (run.success, run.error) == (True, "")
            assert cluster.versions == ("9.14.1P2",)
            assert deletes(cluster) == len(OLD_VERSIONS)


async def test_a_dry_run_in_the_midst_of_a_run_stops_it_and_follows_what_was_sent(tmp_path: Path) -> None:
    cluster = cluster_named("c1", *OLD_VERSIONS, "9.14.1P2")
    async with life(tmp_path, cluster, cluster_named("beat")) as it, it.service(POLICY, BEAT) as one:
        cluster.hold_jobs()
        await first_delete(cluster)
        await configure(it, one, changed(POLICY, dry_run=True), BEAT)
        status = one.board.get(C1)
        assert status is not None
        assert status.dry_run
        cluster.release_jobs()
        run = (await until_ended(one, "c1"))[0]
        assert (run.success, run.error) == (False, CHANGED)
        assert [deletion.outcome for deletion in run.deletions] == [Outcome.SUCCESS]
        await one.watch.beats()
        assert deletes(cluster) == 1
        status = one.board.get(C1)
        assert status is not None
        assert status.totals.outcomes[Outcome.SUCCESS] == 1
        assert status.in_progress == 0


async def test_a_lower_limit_of_the_day_in_the_midst_of_a_run_stops_it(tmp_path: Path) -> None:
    cluster = cluster_named("c1", *OLD_VERSIONS, "9.14.1P2")
    async with life(tmp_path, cluster, cluster_named("beat")) as it, it.service(POLICY, BEAT) as one:
        cluster.hold_jobs()
        await first_delete(cluster)
        limited = it.config(POLICY, BEAT).model_copy(update={"max_deletes_per_day": 1})
        await one.service.configure(limited, it.accesses)
        cluster.release_jobs()
        run = (await until_ended(one, "c1"))[0]
        assert (run.success, run.error) == (False, CHANGED)
        assert deletes(cluster) == 1


async def test_a_version_that_is_excluded_in_the_midst_of_a_run_stays(tmp_path: Path) -> None:
    cluster = cluster_named("c1", *OLD_VERSIONS, "9.14.1P2")
    quick = changed(POLICY, every=timedelta(seconds=0.05))
    async with life(tmp_path, cluster, cluster_named("beat")) as it, it.service(quick, BEAT) as one:
        cluster.hold_jobs()
        await first_delete(cluster)
        await configure(it, one, changed(quick, exclude=["9.12*"]), BEAT)
        cluster.release_jobs()
        await cluster.wait_for_deletions(2, timeout_seconds=WAIT_SECONDS)
        await one.watch.beats()
        assert cluster.versions == ("9.12.1", "9.14.1P2")
        assert deletes(cluster) == 2


async def test_on_a_cluster_that_is_removed_nothing_more_is_sent_and_what_was_sent_gets_its_outcome(
    tmp_path: Path,
) -> None:
    cluster = cluster_named("c1", *OLD_VERSIONS, "9.14.1P2")
    async with life(tmp_path, cluster, cluster_named("beat")) as it, it.service(POLICY, BEAT) as one:
        cluster.hold_jobs()
        await first_delete(cluster)
        without = {name: access for name, access in it.accesses.items() if name != "c1"}
        await configure(it, one, POLICY, BEAT, accesses=without)
        assert one.board.get(C1) is None
        cluster.release_jobs()
        run = (await until_ended(one, "c1"))[0]
        assert [deletion.outcome for deletion in run.deletions] == [Outcome.SUCCESS]
        assert (run.success, run.error) == (False, CHANGED)
        asked = len(cluster.requests)
        await one.watch.beats()
        assert (len(cluster.requests), deletes(cluster)) == (asked, 1)

        await configure(it, one, POLICY, BEAT)
        status = await one.watch.until(C1, lambda status: status.totals.outcomes[Outcome.SUCCESS] == 1)
        assert (status.is_counted, status.in_progress) == (True, 0)


async def test_a_changed_cluster_is_cleaned_by_its_new_access_once_its_deletion_has_ended(
    tmp_path: Path,
) -> None:
    cluster = cluster_named("c1", *OLD_VERSIONS, "9.14.1P2")
    quick = changed(POLICY, every=timedelta(seconds=0.05))
    async with life(tmp_path, cluster) as it, it.service(quick) as one:
        cluster.hold_jobs()
        await first_delete(cluster)
        relabelled = anew(it.accesses["c1"], labels=(("site", "ams"),))
        await configure(it, one, quick, accesses={"c1": relabelled})
        assert [status.labels for status in one.board.statuses()] == [(("site", "ams"),)]
        cluster.release_jobs()
        await cluster.wait_for_deletions(3, timeout_seconds=WAIT_SECONDS)
        await one.watch.until(C1, lambda status: status.totals.outcomes[Outcome.SUCCESS] == 3)
        assert (deletes(cluster), cluster.jobs.peak) == (3, 1)


async def test_what_changes_while_there_is_no_journal_holds_once_there_is_one(tmp_path: Path) -> None:
    cluster = cluster_named("c1", *OLD_VERSIONS, "9.14.1P2")
    async with life(tmp_path, cluster) as it:
        async with it.journal(cluster):
            service = it.service(POLICY)
            one = await service.__aenter__()

            async def refused() -> bool:
                return "holds it" in one.service.problem

            await eventually(refused, seconds=WAIT_SECONDS, what="the journal to be refused")
            await configure(it, one, changed(POLICY, include=["9.11*"]))
        try:
            await until_ended_with_journal(one)
            assert cluster.versions == ("9.10.1", "9.12.1", "9.14.1P2")
        finally:
            await service.__aexit__(None, None, None)


async def until_ended_with_journal(one: Servicing) -> None:
    await one.watch.until(C1, lambda status: status.totals.last_success is True)


async def test_more_clusters_at_once_are_cleaned_as_soon_as_that_is_allowed(tmp_path: Path) -> None:
    first, second = cluster_named("c1", "9.12.1"), cluster_named("c2", "9.12.1")
    async with (
        life(tmp_path, first, second) as it,
        it.service(POLICY, max_concurrent_clusters=1) as one,
    ):
        first.hold_jobs()
        second.hold_jobs()
        await one.watch.until_any(lambda status: status.in_progress == 1)
        await configure(it, one, POLICY, max_concurrent_clusters=2)
        await first_delete(first)
        await first_delete(second)
        first.release_jobs()
        second.release_jobs()
        await one.watch.until(C1, lambda status: status.totals.last_success is True)
        await one.watch.until(C2, lambda status: status.totals.last_success is True)


async def test_a_run_that_waits_for_other_clusters_is_made_by_what_a_reload_has_changed(
    tmp_path: Path,
) -> None:
    clusters = [cluster_named(name, "9.12.1", "9.14.1P2") for name in ("c1", "c2")]
    for cluster in clusters:
        cluster.hold_jobs()
    async with life(tmp_path, *clusters) as it, it.service(POLICY, max_concurrent_clusters=1) as one:
        await one.watch.until_any(lambda status: status.in_progress == 1)
        statuses = one.watch.statuses
        (late,) = (one for one in clusters if not statuses[one.name, POLICY.name].in_progress)
        config = it.config(POLICY, max_concurrent_clusters=1).model_copy(update={"max_deletes_per_day": 100})
        await one.service.configure(config, it.accesses)
        for cluster in clusters:
            cluster.release_jobs()
        totals = (await one.watch.ended((late.name, POLICY.name))).totals
        assert (totals.last_success, totals.outcomes[Outcome.SUCCESS]) == (True, 1)


def variants(rng: random.Random) -> Iterable[PolicyConfig]:
    """Give some policies, none of which may delete what begins with 9.14 or 9.15."""
    retire = changed(
        POLICY,
        every=timedelta(seconds=0.05),
        exclude=["9.14*", "9.15*"],
        dry_run=rng.random() < 0.3,
        max_deletes_per_run=rng.randint(1, 3),
    )
    if rng.random() < 0.85:
        yield retire
    if rng.random() < 0.5:
        yield changed(retire, name="second", include=["9.1[12]*"])


@pytest.mark.parametrize("seed", range(4))
async def test_however_often_it_changes_nothing_is_deleted_twice_nor_unaccounted_for(
    seed: int, tmp_path: Path
) -> None:
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    versions = [f"9.{major}.1P{patch}" for major in range(9, 14) for patch in range(1, 5)]
    kept = ("9.14.1P2", "9.15.1")
    clusters = [cluster_named(f"c{number}", *versions, *kept, job_seconds=0.03) for number in (1, 2, 3)]
    async with life(tmp_path, *clusters) as it, it.service(POLICY, polled=[]) as one:
        accesses = dict(it.accesses)
        for _ in range(60):
            for name in it.accesses:
                match rng.randrange(5):
                    case 0:
                        accesses.pop(name, None)
                    case 1:
                        accesses[name] = anew(it.accesses[name], labels=(("round", str(rng.random())),))
                    case _:
                        accesses.setdefault(name, it.accesses[name])
            await configure(it, one, *variants(rng), accesses=dict(accesses))
            moment = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(rng.random() * 0.06, moment.set_result, None)
            await moment
        last = changed(POLICY, every=timedelta(seconds=0.05), exclude=["9.14*", "9.15*"])
        await configure(it, one, last, accesses=it.accesses)
        for cluster in clusters:
            await cluster.wait_for_deletions(len(versions), timeout_seconds=WAIT_SECONDS)
            assert Counter(deletion.version for deletion in cluster.deletions) == Counter(versions)
            assert cluster.versions == kept
            assert cluster.jobs.peak == 1

        async def accounted() -> bool:
            totals = await totals_of(one.journal)
            done = Counter[str]()
            for (cluster, _), tally in totals.items():
                done[cluster] += tally.outcomes[Outcome.SUCCESS] + tally.outcomes[Outcome.ALREADY_GONE]
            return (
                done == Counter(dict.fromkeys(("c1", "c2", "c3"), len(versions)))
                and not (await one.journal.stops.read()).unfinished
            )

        await eventually(accounted, seconds=WAIT_SECONDS, what="every deletion in the account")

        async def shown() -> bool:
            counted = await totals_of(one.journal)
            return all(
                status.in_progress == 0 and dict(status.totals.outcomes) == dict(counted[status.key].outcomes)
                for status in one.board.statuses()
            )

        await eventually(shown, seconds=WAIT_SECONDS, what="the board to show what the journal has counted")
