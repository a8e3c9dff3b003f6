"""Killed at any instant of a deletion, the daemon goes on where the journal stands.

Each instant is held open by a cluster that keeps an answer back, so that the kill hits it for certain.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cleanup.crash.scene import Scene, cluster_of, scene
from cleanup.crash.state import Position, State

from exporter.cleanup.records import Outcome
from exporter.ontap.facts import DOWNLOAD_PATH
from exporter.ontap.jobs import JOBS_PATH
from exporter.ontap.listing import PACKAGES_PATH
from exporter.simulator import Fault, FaultKind, JobOutcome, JobScript, SimulatedCluster
from support.waiting import eventually

FIRST, SECOND = "9.8P1", "9.8P11"
"""The one's name begins like the other's."""
WAIT_SECONDS = 60.0
BUSY = 10551367
SUCCESS, FAILURE = Outcome.SUCCESS, Outcome.FAILURE

Reached = Callable[[Scene, int], Awaitable[object]]
"""Waits for an instant, given the number of the last request before this life."""


def held(path: str, *, method: str = "GET", exact: bool = False, skip: int = 0) -> Fault:
    """Keep an answer back until the daemon is gone; what was asked for is done then."""
    return Fault(FaultKind.HANG, method=method, path=path, exact=exact, skip=skip)


def late(fault: Fault) -> tuple[Fault, ...]:
    """Let a fault of one DELETE strike long after the DELETE came in."""
    return (fault, Fault(FaultKind.LATENCY, method="DELETE", seconds=0.5, times=1))


def requested(path: str, *, method: str = "GET", number: int = 1) -> Reached:
    """Wait until so many requests whose path begins so have come in during this life."""

    async def reached(it: Scene, since: int) -> None:
        await it.cluster.log.wait(
            lambda one: one.number > since and one.method == method and one.path.startswith(path),
            number,
            WAIT_SECONDS,
        )

    return reached


def recorded(condition: Callable[[State], bool]) -> Reached:
    """Wait until the journal meets a condition."""

    async def reached(it: Scene, since: int) -> None:
        del since
        await it.file.until(condition, seconds=WAIT_SECONDS, what="the journal")

    return reached


async def carried_out(it: Scene, since: int) -> None:
    """Wait until a job has begun, of whose DELETE the answer is still under way."""
    del since

    async def begun() -> bool:
        return any(it.cluster.jobs.live())

    await eventually(begun, seconds=WAIT_SECONDS, what="a job")


async def nothing(cluster: SimulatedCluster) -> None:
    """Leave the cluster alone."""
    del cluster


async def end_job(cluster: SimulatedCluster) -> None:
    """Let the job end while the daemon is dead, and the next ones go well."""
    assert any(cluster.jobs.live())
    cluster.release_jobs()
    assert not any(cluster.jobs.live())
    cluster.job_scripts.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A life that is ended at an instant.

    Attributes:
        faults: hold the instant open; they are in force for this life.
        reached: waits for it.
        position: where the journal stands then.
        meanwhile: what happens to the cluster before the next life.
    """

    faults: tuple[Fault, ...] = ()
    reached: Reached
    position: Position
    meanwhile: Callable[[SimulatedCluster], Awaitable[None]] = nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """Some deaths in a row, and what has to come of the first package.

    Attributes:
        deaths: one for each life but the last.
        outcomes: of the deletions of the first package, oldest first.
        deletes: how many DELETEs it was sent.
        hold: whether jobs are kept from ending until the last life.
        script: how the first package's jobs go.
    """

    deaths: tuple[Death, ...]
    outcomes: tuple[Outcome, ...] = (SUCCESS,)
    deletes: int = 1
    hold: bool = False
    script: JobScript | None = None


DELETE_ASKED = requested(PACKAGES_PATH, method="DELETE")
JOB_ASKED = requested(f"{JOBS_PATH}/")
JOBS_ASKED = requested(JOBS_PATH)
LISTING_ASKED_AGAIN = requested(PACKAGES_PATH, number=2)

DELETE_HELD = Death(
    faults=(held(PACKAGES_PATH, method="DELETE"),), reached=DELETE_ASKED, position=Position.INTENDED
)
LOOKING_FOR_JOB = Death(faults=(held(JOBS_PATH, exact=True),), reached=JOBS_ASKED, position=Position.INTENDED)
LOOKING_FOR_PACKAGE = Death(
    faults=(held(PACKAGES_PATH, exact=True),), reached=LISTING_ASKED_AGAIN, position=Position.INTENDED
)
FOLLOWING = Death(reached=JOB_ASKED, position=Position.FOLLOWED)
READING_JOB = Death(faults=(held(f"{JOBS_PATH}/"),), reached=JOB_ASKED, position=Position.FOLLOWED)

INSTANTS = {
    "evidence_listing": Instant(
        deaths=(
            Death(
                faults=(held(PACKAGES_PATH, exact=True, skip=1),),
                reached=LISTING_ASKED_AGAIN,
                position=Position.NOTHING,
            ),
        )
    ),
    "evidence_facts": Instant(
        deaths=(
            Death(
                faults=(held(DOWNLOAD_PATH),),
                reached=requested(DOWNLOAD_PATH),
                position=Position.NOTHING,
            ),
        )
    ),
    "run_begun": Instant(
        deaths=(
            Death(
                faults=(held(PACKAGES_PATH, exact=True, skip=2),),
                reached=requested(PACKAGES_PATH, number=3),
                position=Position.BEGUN,
            ),
        )
    ),
    "looking_for_jobs_of_others": Instant(
        deaths=(Death(faults=(held(JOBS_PATH, exact=True),), reached=JOBS_ASKED, position=Position.BEGUN),)
    ),
    "deciding_again": Instant(
        deaths=(
            Death(
                faults=(held(DOWNLOAD_PATH, skip=1),),
                reached=requested(DOWNLOAD_PATH, number=2),
                position=Position.BEGUN,
            ),
        )
    ),
    "delete_sent_and_done_while_dead": Instant(deaths=(DELETE_HELD,)),
    "delete_sent_and_job_alive": Instant(deaths=(DELETE_HELD,), hold=True),
    "delete_sent_and_never_done": Instant(
        deaths=(
            Death(
                faults=late(Fault(FaultKind.RESET, method="DELETE", times=1)),
                reached=DELETE_ASKED,
                position=Position.INTENDED,
            ),
        ),
        outcomes=(FAILURE, SUCCESS),
        deletes=2,
    ),
    "delete_done_and_answer_under_way": Instant(
        deaths=(
            Death(
                faults=(Fault(FaultKind.SLOW_BODY, method="DELETE", seconds=60.0),),
                reached=carried_out,
                position=Position.INTENDED,
            ),
        ),
        hold=True,
    ),
    "refusal_under_way": Instant(
        deaths=(
            Death(
                faults=late(Fault(FaultKind.DELETE_ERROR, code=BUSY, times=1)),
                reached=DELETE_ASKED,
                position=Position.INTENDED,
            ),
        ),
        outcomes=(FAILURE, SUCCESS),
        deletes=2,
    ),
    "answer_lost_and_package_looked_for": Instant(
        deaths=(
            Death(
                faults=(
                    Fault(FaultKind.LOST_ANSWER, method="DELETE"),
                    held(PACKAGES_PATH, exact=True, skip=3),
                ),
                reached=requested(PACKAGES_PATH, number=4),
                position=Position.INTENDED,
            ),
        ),
        hold=True,
    ),
    "answer_lost_and_job_looked_for": Instant(
        deaths=(
            Death(
                faults=(
                    Fault(FaultKind.LOST_ANSWER, method="DELETE"),
                    held(JOBS_PATH, exact=True, skip=1),
                ),
                reached=requested(JOBS_PATH, number=2),
                position=Position.INTENDED,
            ),
        ),
        hold=True,
    ),
    "job_followed": Instant(deaths=(FOLLOWING,), hold=True),
    "job_ends_well_while_dead": Instant(
        deaths=(Death(reached=JOB_ASKED, position=Position.FOLLOWED, meanwhile=end_job),), hold=True
    ),
    "job_fails_while_dead": Instant(
        deaths=(Death(reached=JOB_ASKED, position=Position.FOLLOWED, meanwhile=end_job),),
        outcomes=(FAILURE, SUCCESS),
        deletes=2,
        hold=True,
        script=JobScript(outcome=JobOutcome.FAILURE, code=10551326),
    ),
    "job_is_busy_while_dead": Instant(
        deaths=(Death(reached=JOB_ASKED, position=Position.FOLLOWED, meanwhile=end_job),),
        outcomes=(Outcome.BUSY, SUCCESS),
        deletes=2,
        hold=True,
        script=JobScript(outcome=JobOutcome.FAILURE, code=BUSY),
    ),
    "job_times_out_and_has_done_its_work": Instant(
        deaths=(Death(reached=JOB_ASKED, position=Position.FOLLOWED, meanwhile=end_job),),
        hold=True,
        script=JobScript(outcome=JobOutcome.FAILURE, code=10551388, takes_effect=True),
    ),
    "job_read_under_way": Instant(deaths=(READING_JOB,)),
    "repository_busy": Instant(
        deaths=(
            Death(
                faults=(Fault(FaultKind.DELETE_ERROR, code=BUSY),),
                reached=recorded(lambda state: state.position("c1") is Position.WAITING),
                position=Position.WAITING,
            ),
        ),
        outcomes=(Outcome.BUSY, SUCCESS),
        deletes=2,
    ),
    "busy_job": Instant(
        deaths=(
            Death(
                faults=(Fault(FaultKind.JOB_FAILURE, code=BUSY),),
                reached=recorded(lambda state: state.position("c1") is Position.WAITING),
                position=Position.WAITING,
            ),
        ),
        outcomes=(Outcome.BUSY, SUCCESS),
        deletes=2,
    ),
    "second_attempt_sent": Instant(
        deaths=(
            Death(
                faults=(
                    Fault(FaultKind.DELETE_ERROR, code=BUSY, times=1),
                    held(PACKAGES_PATH, method="DELETE"),
                ),
                reached=requested(PACKAGES_PATH, method="DELETE", number=2),
                position=Position.INTENDED,
            ),
        ),
        deletes=2,
        hold=True,
    ),
    "between_deletions": Instant(
        deaths=(
            Death(
                faults=(held(PACKAGES_PATH, exact=True, skip=3),),
                reached=requested(PACKAGES_PATH, number=4),
                position=Position.BETWEEN,
            ),
        )
    ),
    "run_ended": Instant(
        deaths=(
            Death(
                reached=recorded(lambda state: bool(state.runs) and not state.runs_going_on),
                position=Position.NOTHING,
            ),
        )
    ),
    "resuming_what_was_sent": Instant(
        deaths=(DELETE_HELD, LOOKING_FOR_JOB, LOOKING_FOR_PACKAGE, FOLLOWING), hold=True
    ),
    "resuming_what_is_followed": Instant(deaths=(FOLLOWING, READING_JOB, FOLLOWING), hold=True),
}


@pytest.mark.parametrize("name", INSTANTS)
async def test_killed_at(name: str, tmp_path: Path) -> None:
    instant = INSTANTS[name]
    cluster = cluster_of("c1", FIRST, SECOND, job_seconds=0.0)
    if instant.script is not None:
        cluster.job_scripts[FIRST] = instant.script
    if instant.hold:
        cluster.hold_jobs()
    async with scene([cluster], tmp_path) as it:
        for death in instant.deaths:
            since = cluster.log.count
            cluster.faults.add(*death.faults)
            async with it.life() as life:
                await life.outlives(death.reached(it, since))
                state = await it.kill(life)
            assert state.position("c1") is death.position
            cluster.faults.clear()
            await death.meanwhile(cluster)
        await it.end_undisturbed()
        assert it.kills == len(instant.deaths)
        assert tuple(row.outcome for row in it.chronicle.of("c1", FIRST)) == instant.outcomes
        assert len(it.deletes(cluster, FIRST)) == instant.deletes
        assert [one.version for one in cluster.deletions] == [FIRST, SECOND]
