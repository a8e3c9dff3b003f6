"""The last moment before DELETE, and the end of the program: what has gone out is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from exporter.cleanup.delete.driver import OLDEST_FACTS_SECONDS
from exporter.cleanup.kill_switch import boot_time
from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import Deletion, Phase
from exporter.cleanup.run import CHANGED, HALTED
from exporter.concurrency import wait_uninterrupted
from exporter.config import PolicyConfig
from exporter.ontap.access import AccessOpener
from exporter.ontap.client import RequestCounts
from exporter.ontap.requests.facts import CLUSTER_PATH, SOFTWARE_PATH
from exporter.ontap.requests.jobs import JOBS_PATH
from exporter.ontap.requests.listing import PACKAGES_PATH
from exporter.ontap.session import KEEPALIVE_SECONDS, open_session
from exporter.simulator import Fault, FaultKind, SimulatedCluster
from support.cleaning import (
    POLICY,
    Cleaning,
    at_request,
    changed,
    cleaning,
    cluster_with,
    hold_up_intents,
    only,
)
from support.client_connections import forwarding
from support.journal.journal_steps import unfinished_on
from support.servicing import C1, WAIT_SECONDS, Life, Servicing, cluster_named, deletes, life

SLOW_SECONDS = 1.0
NOTHING = changed(POLICY, exclude=["*"])
UNSURE = "the lease of the cluster may have expired"
STOPPING = "nothing was sent: the program is stopping"


def slow_to_delete() -> SimulatedCluster:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    cluster.faults.add(Fault(FaultKind.LATENCY, method="DELETE", seconds=SLOW_SECONDS))
    return cluster


async def first_delete(cluster: SimulatedCluster) -> None:
    await cluster.wait_for_requests(1, method="DELETE", path=PACKAGES_PATH, timeout_seconds=WAIT_SECONDS)


async def configure(it: Life, one: Servicing, policy: PolicyConfig) -> None:
    await one.service.configure(it.config(policy), it.accesses)


async def only_deletion(it: Life, cluster: SimulatedCluster) -> Deletion:
    """Return what a service that has stopped has left in the journal."""
    async with it.journal(cluster) as (journal, _):
        (run,) = await journal.runs.recent(10)
        return only(run)


# The last moment: between the decision and the first byte of DELETE.


def last_fact(react: Callable[[], object], *, times: int = 1) -> Fault:
    """Do something when the cluster is asked for the last fact before DELETE, and before the DELETEs after.

    The same facts are read once before, for the plan.
    """
    return at_request(react, path=SOFTWARE_PATH, skip=1, times=times)


@dataclass(slots=True)
class JumpingClock:
    """The clock that counts suspends, which a test lets jump."""

    offset_seconds: float = 0.0

    def __call__(self) -> float:
        return boot_time() + self.offset_seconds

    def jump(self, seconds: float) -> None:
        self.offset_seconds += seconds


@pytest.mark.parametrize(("intent_seconds", "last"), [(0.0, SOFTWARE_PATH), (0.7, CLUSTER_PATH)])
async def test_delete_goes_over_the_connection_on_which_the_cluster_has_just_answered(
    intent_seconds: float, last: str, tmp_path: Path
) -> None:
    """The connection of the facts is closed as idle while an intent is stored slowly."""
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(last_fact(lambda: hold_up_intents(tmp_path, seconds=intent_seconds)))
        assert only(await it.run()).outcome is Outcome.SUCCESS
        requests = it.cluster.requests
        number = next(index for index, one in enumerate(requests) if one.method == "DELETE")
        before, delete = requests[number - 1 : number + 1]
        assert before.path in {SOFTWARE_PATH, last}  # a busy machine is slow, too
        may_be_idle = intent_seconds == 0.0 or before.path == CLUSTER_PATH
        was_idle = delete.monotonic_seconds - before.monotonic_seconds > KEEPALIVE_SECONDS
        assert before.connection == delete.connection or (may_be_idle and was_idle)


async def test_another_cluster_that_answers_once_the_intent_is_stored_gets_no_delete(tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:

        def let_another_answer() -> None:
            hold_up_intents(tmp_path, seconds=0.7)
            it.cluster.uuid = "another"

        it.cluster.faults.add(last_fact(let_another_answer))
        run = await it.run(changed(POLICY, retry_busy_for=timedelta(seconds=0.5)))
        assert (only(run).outcome, it.deletes()) == (Outcome.BUSY, 0)
        assert (
            only(run).message == "nothing was sent: the intent was stored slowly, and the cluster did not "
            "state the same uuid"
        )


async def test_facts_that_have_grown_old_are_read_again_before_anything_is_sent(tmp_path: Path) -> None:
    clock = JumpingClock()
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.clock = clock
        it.cluster.faults.add(last_fact(lambda: clock.jump(OLDEST_FACTS_SECONDS + 0.1)))
        deletion = only(await it.run())
        assert (deletion.outcome, deletion.attempts) == (Outcome.SUCCESS, 2)
        assert it.deletes() == 1
        paths = [request.path for request in it.cluster.requests]
        before = paths[: paths.index(f"{PACKAGES_PATH}/9.13.1")]
        assert before.count(SOFTWARE_PATH) == 3


async def test_what_came_into_use_while_facts_grew_old_is_protected(tmp_path: Path) -> None:
    clock = JumpingClock()
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.clock = clock
        # The last fact is answered as of now; then an update to that very version begins.
        it.cluster.faults.add(last_fact(lambda: clock.jump(OLDEST_FACTS_SECONDS + 0.1)))
        it.cluster.faults.add(
            at_request(lambda: setattr(it.cluster, "pending_version", "9.13.1"), path=PACKAGES_PATH, skip=2)
        )
        run = await it.run()
        assert (only(run).outcome, it.deletes()) == (Outcome.PROTECTED, 0)


async def test_facts_that_always_grow_old_send_nothing_and_end_as_busy(tmp_path: Path) -> None:
    clock = JumpingClock()
    async with cleaning(cluster_with("9.13.1", "9.14.1P2"), tmp_path) as it:
        it.clock = clock
        it.cluster.faults.add(last_fact(lambda: clock.jump(OLDEST_FACTS_SECONDS + 0.1), times=100))
        run = await it.run()
        assert (only(run).outcome, it.deletes()) == (Outcome.BUSY, 0)
        assert only(run).message == "nothing was sent: the facts that protect it are older than 5 s"


def let_lease_expire(it: Cleaning) -> None:
    it.lease = replace(it.lease, valid_until_seconds=boot_time())


def lose_lease(it: Cleaning) -> None:
    """Let another process have had the cluster in between."""
    it.lease = replace(it.lease, epoch=it.lease.epoch + 2)


LAST_MOMENTS: dict[str, tuple[Callable[[Cleaning], object], str]] = {
    "expired lease": (let_lease_expire, UNSURE),
    "lost lease": (lose_lease, "this process no longer holds the lease of the cluster"),
    "kill switch": (lambda it: it.kill_switch.engage(), HALTED),
    "configuration": (lambda it: setattr(it, "assigned", False), CHANGED),
}


@pytest.mark.parametrize("what", LAST_MOMENTS)
async def test_what_changes_between_the_decision_and_delete_keeps_it_back(what: str, tmp_path: Path) -> None:
    change, why = LAST_MOMENTS[what]
    async with cleaning(cluster_with("9.12.1", "9.13.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.faults.add(last_fact(lambda: change(it)))
        run = await it.run()
        assert (run.success, run.error) == (False, why)
        assert only(run).outcome is Outcome.PROTECTED
        assert only(run).message == f"nothing was sent: {why}"
        assert it.deletes() == 0


async def test_a_machine_that_was_suspended_for_longer_than_its_lease_sends_nothing(tmp_path: Path) -> None:
    clock = JumpingClock()
    async with cleaning(cluster_with("9.12.1", "9.13.1", "9.14.1P2"), tmp_path) as it:
        it.clock = clock
        it.cluster.faults.add(last_fact(lambda: clock.jump(1000.0)))
        run = await it.run()
        assert (run.success, it.deletes()) == (False, 0)
        assert only(run).message == f"nothing was sent: {UNSURE}"


# A run that is cut short.


async def test_another_change_does_not_hurry_what_is_being_sent(tmp_path: Path) -> None:
    cluster = slow_to_delete()
    async with life(tmp_path, cluster) as it, it.service(POLICY) as one:
        await first_delete(cluster)
        for number in range(3):
            await configure(it, one, changed(POLICY, max_deletes_per_run=50 + number // 2))
        status = await one.watch.until(C1, lambda status: status.totals.outcomes[Outcome.SUCCESS] == 1)
        assert status.totals.outcomes[Outcome.FAILURE] == 0
        (run,) = [run for run in await one.runs() if run.deletions]
        assert only(run).job_uuid is not None
        assert deletes(cluster) == 1


@pytest.mark.parametrize("changes", [False, True])
async def test_a_delete_that_is_being_sent_when_the_program_stops_is_recorded(
    *, changes: bool, tmp_path: Path
) -> None:
    cluster = slow_to_delete()
    async with life(tmp_path, cluster) as it:
        async with it.service(POLICY) as one:
            await first_delete(cluster)
            if changes:
                await configure(it, one, NOTHING)
        deletion = await only_deletion(it, cluster)
        assert (deletion.phase, deletion.job_uuid is None) == (Phase.FOLLOWED, False)


async def test_a_refusal_that_comes_while_the_program_stops_is_recorded(tmp_path: Path) -> None:
    cluster = slow_to_delete()
    cluster.faults.add(Fault(FaultKind.DELETE_ERROR, code=10551367))
    async with life(tmp_path, cluster) as it:
        async with it.service(POLICY):
            await first_delete(cluster)
        deletion = await only_deletion(it, cluster)
        assert (deletion.phase, deletion.code) == (Phase.WAITING, "10551367")


@pytest.mark.parametrize("is_carried_out", [True, False])
async def test_a_delete_that_is_cut_off_unanswered_is_searched_for_by_the_next_life(
    *, is_carried_out: bool, tmp_path: Path
) -> None:
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    kind = FaultKind.SLOW_BODY if is_carried_out else FaultKind.HANG  # which is carried out at the hang-up
    cluster.faults.add(Fault(kind, method="DELETE", seconds=60.0, times=1))
    cluster.hold_jobs()
    async with life(tmp_path, cluster) as it:
        async with it.service(POLICY):
            await first_delete(cluster)
        deletion = await only_deletion(it, cluster)
        assert (deletion.phase, deletion.job_uuid) == (Phase.INTENDED, None)
        cluster.release_jobs()
        async with it.service(POLICY) as one:
            await one.watch.until(C1, lambda status: status.totals.outcomes[Outcome.SUCCESS] == 1)
        assert deletes(cluster) == 1


# Waiting that is not hurried, and cancelling that is not swallowed.


async def test_a_task_is_waited_for_however_often_waiting_is_cancelled() -> None:
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


async def idle(one: Servicing, cluster: SimulatedCluster) -> None:
    """Wait until the run is over, and the next one far away."""
    del cluster
    await one.watch.ended()


async def following(one: Servicing, cluster: SimulatedCluster) -> None:
    """Wait until a job is followed, which does not end."""
    del one
    await cluster.wait_for_requests(1, path=f"{JOBS_PATH}/", timeout_seconds=WAIT_SECONDS)


async def waiting(one: Servicing, cluster: SimulatedCluster) -> None:
    """Wait until DELETE was refused, as the repository is busy."""
    del one
    await cluster.wait_for_requests(2, method="DELETE", path=PACKAGES_PATH, timeout_seconds=WAIT_SECONDS)


async def sending(one: Servicing, cluster: SimulatedCluster) -> None:
    """Wait until DELETE is on its way."""
    del one
    await first_delete(cluster)


MOMENTS = {"idle": idle, "following": following, "waiting": waiting, "sending": sending}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("changes", ["kill switch", "configuration", "both"])
async def test_a_change_at_the_moment_of_the_end_does_not_keep_the_program_going(
    moment: str, changes: str, tmp_path: Path
) -> None:
    """The kill switch, a reload and the cancellation come in one turn of the event loop."""
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    if moment == "following":
        cluster.hold_jobs()
    elif moment == "waiting":
        cluster.faults.add(Fault(FaultKind.DELETE_ERROR, code=10551367))
    elif moment == "sending":
        cluster.faults.add(Fault(FaultKind.LATENCY, method="DELETE", seconds=0.2))
    async with life(tmp_path, cluster) as it, asyncio.timeout(WAIT_SECONDS):
        async with it.service(POLICY) as one:
            await MOMENTS[moment](one, cluster)
            if changes != "kill switch":
                await configure(it, one, NOTHING)
            if changes != "configuration":
                one.kill_switch.engage()
        sent = deletes(cluster)
        deletion = await only_deletion(it, cluster)
        assert deletion.attempts == sent
        assert deletion.phase in {Phase.FOLLOWED, Phase.WAITING, Phase.ENDED}


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
    """Return how many requests a run sends before its first DELETE if the intent is stored at once."""
    cluster = cluster_named("c1", "9.12.1", "9.14.1P2")
    directory.mkdir()
    async with life(directory, cluster) as it, it.service(POLICY) as one:
        await one.watch.ended()
    sent = [request.method for request in cluster.requests].index("DELETE")
    return sent - (cluster.requests[sent - 1].path == CLUSTER_PATH)  # the intent was stored slowly


async def test_a_delete_that_is_still_connecting_when_the_program_stops_is_withdrawn(tmp_path: Path) -> None:
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
        async with asyncio.timeout(WAIT_SECONDS):
            async with gated.service(changed(POLICY, job_timeout=timedelta(hours=1))) as one:
                await gate.holds.wait()
                (deletion,) = await unfinished_on(one.journal, cluster.uuid)
                assert deletion.phase is Phase.INTENDED
        deletion = await only_deletion(it, cluster)
        assert (deletion.outcome, deletion.message) == (Outcome.PROTECTED, STOPPING)
        assert (deletes(cluster), cluster.versions) == (0, ("9.12.1", "9.14.1P2"))
