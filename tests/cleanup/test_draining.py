"""A run that is cut short: what has gone out is recorded, and what has not gone out never does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from exporter.cleanup.deleter import DRAIN_SECONDS
from exporter.cleanup.journal import open_journal
from exporter.cleanup.plan import Decision, Reason, Verdict
from exporter.cleanup.records import Outcome, Phase, TargetIdentity
from exporter.cleanup.uninterrupted import wait_uninterrupted
from exporter.config import CleanupConfig, PolicyConfig
from exporter.ontap.access import AccessOpener
from exporter.ontap.client import RequestCounts, open_session
from exporter.ontap.listing import PACKAGES_PATH
from exporter.simulator import Fault, FaultKind, SimulatedCluster
from support.cleaning import POLICY as POLICY_NAME
from support.cleaning import cleaning
from support.connections import forwarding
from support.servicing import C1, POLICY, WAIT_SECONDS, Life, Servicing, cluster_named, deletes, life

SLOW_SECONDS = 1.0
NOTHING = replace(POLICY, exclude=("*",))


def slow_to_delete() -> SimulatedCluster:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    cluster.faults.add(Fault(FaultKind.LATENCY, method="DELETE", seconds=SLOW_SECONDS))
    return cluster


async def first_delete(cluster: SimulatedCluster) -> None:
    await cluster.wait_for_requests(1, method="DELETE", path=PACKAGES_PATH, timeout_seconds=WAIT_SECONDS)


def configure(it: Life, one: Servicing, policy: PolicyConfig) -> None:
    config = CleanupConfig(state=it.state, max_concurrent_clusters=4, policies=(policy,))
    one.service.configure(config, it.accesses)


async def test_another_change_does_not_hurry_what_is_being_sent(tmp_path: Path) -> None:
    cluster = slow_to_delete()
    async with life(tmp_path, cluster) as it, it.service(POLICY) as one:
        await first_delete(cluster)
        for number in range(3):
            configure(it, one, replace(POLICY, max_deletes_per_run=50 + number // 2))
            await asyncio.sleep(0)
        status = await one.watch.until(C1, lambda status: status.totals.outcomes[Outcome.SUCCESS] == 1)
        assert status.totals.outcomes[Outcome.FAILURE] == 0
        (run,) = await one.runs()
        assert [deletion.job_uuid is None for deletion in run.deletions] == [False]
        assert deletes(cluster) == 1


async def test_the_end_of_the_program_after_a_change_still_records_what_is_sent(tmp_path: Path) -> None:
    cluster = slow_to_delete()
    async with life(tmp_path, cluster) as it:
        async with it.service(POLICY) as one:
            await first_delete(cluster)
            configure(it, one, NOTHING)
            await asyncio.sleep(0)
        async with open_journal(it.state) as journal:
            (deletion,) = await journal.unended("c1")
        assert (deletion.phase, deletion.job_uuid is None) == (Phase.FOLLOWED, False)


async def test_a_delete_that_is_cut_off_unanswered_is_waited_for(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    cluster.faults.add(Fault(FaultKind.LATENCY, method="DELETE", seconds=DRAIN_SECONDS + 2))
    async with life(tmp_path, cluster) as it, it.service(POLICY) as one:
        await first_delete(cluster)
        configure(it, one, replace(POLICY, max_deletes_per_run=7))
        status = await one.watch.until(C1, lambda status: status.totals.outcomes[Outcome.SUCCESS] == 1)
        assert status.totals.outcomes[Outcome.FAILURE] == 0
        assert deletes(cluster) == 1


async def test_a_kill_switch_that_is_on_when_the_intent_is_stored_lets_nothing_out(tmp_path: Path) -> None:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    async with cleaning(cluster, tmp_path) as it:
        run_id = await it.journal.begin_run(
            cluster="c1", policy=POLICY_NAME, dry_run=False, plan="[]", candidates=1, now=0.0
        )
        target_identity = TargetIdentity(uuid=cluster.uuid, origin=it.access.config.endpoint.origin)

        async def decide_again() -> Decision:
            it.kill_switch.engage()
            return Decision(
                version="9.12.1",
                create_timestamp_seconds=0.0,
                age_seconds=1e9,
                verdict=Verdict.DELETE,
                reason=Reason.RETIRED,
                detail="",
            )

        deletion = await it.deleter().delete(
            run_id, "9.12.1", target_identity=target_identity, decide_again=decide_again, busy_until=0.0
        )
        assert deletion.outcome is Outcome.PROTECTED
        assert deletes(cluster) == 0


async def test_however_often_waiting_is_cancelled_a_task_is_outlasted() -> None:
    done = asyncio.Event()

    async def work() -> str:
        await done.wait()
        return "recorded"

    task = asyncio.create_task(work())
    waiting = asyncio.create_task(wait_uninterrupted(task, seconds=WAIT_SECONDS))
    for _ in range(5):
        await asyncio.sleep(0)
        waiting.cancel()
    assert not task.done()
    done.set()
    await asyncio.wait({waiting})
    assert await task == "recorded"


async def test_a_task_that_takes_too_long_is_cancelled_and_waited_for() -> None:
    task = asyncio.create_task(asyncio.Event().wait())
    await wait_uninterrupted(task, seconds=0.01)
    assert task.cancelled()


@dataclass(slots=True, kw_only=True)
class Gate:
    """Stands before a cluster: lets some connections through, and holds all further ones."""

    left: int
    port: int = 0
    holds: asyncio.Event = field(default_factory=asyncio.Event)

    async def pass_through(self) -> None:
        if self.left == 0:
            self.holds.set()
            await asyncio.Event().wait()
        self.left -= 1


@asynccontextmanager
async def gate_before(cluster: SimulatedCluster, *, lets_through: int) -> AsyncIterator[Gate]:
    gate = Gate(left=lets_through)
    async with forwarding(cluster, before=gate.pass_through) as gate.port:
        yield gate


async def requests_before_delete(directory: Path) -> int:
    """Return how many requests a run sends before its first DELETE."""
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    directory.mkdir()
    async with life(directory, cluster) as it, it.service(POLICY) as one:
        await one.watch.ended()
    return [request.method for request in cluster.requests].index("DELETE")


@pytest.mark.parametrize("how", ["change", "kill switch"])
async def test_a_delete_that_is_still_connecting_is_called_off(how: str, tmp_path: Path) -> None:
    """The cluster closes each connection, so that DELETE needs one of its own; that one is held."""
    ahead = await requests_before_delete(tmp_path / "before")
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    cluster.keepalive_requests = 1
    async with (
        life(tmp_path, cluster) as it,
        gate_before(cluster, lets_through=ahead) as gate,
        open_session() as session,
    ):
        original = it.accesses["c1"].config
        config = replace(original, endpoint=replace(original.endpoint, port=gate.port))
        accesses = AccessOpener(session=session, counts=RequestCounts()).open([config])
        gated = replace(it, accesses=accesses)
        async with gated.service(POLICY) as one:
            async with asyncio.timeout(WAIT_SECONDS):
                await gate.holds.wait()
            (deletion,) = await one.journal.unended("c1")
            assert deletion.phase is Phase.INTENDED
            if how == "change":
                configure(gated, one, NOTHING)
            else:
                one.kill_switch.engage()
            await one.watch.until(C1, lambda status: status.totals.outcomes[Outcome.PROTECTED] == 1)
            await one.watch.until(C1, lambda status: status.totals.last_success is False)
            (run,) = await one.runs()
            assert run.deletions[0].message.startswith("nothing was sent: ")
            assert (deletes(cluster), cluster.versions) == (0, ("9.12.1", "9.14.1P2"))
