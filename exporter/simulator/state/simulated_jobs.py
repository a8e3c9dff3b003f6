"""Jobs of a simulated cluster: how each one goes is a script, where it stands follows from the clock.

Source: https://docs.netapp.com/us-en/ontap-restapi/get-cluster-jobs-.html
"""

import math
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from exporter.simulator.state.simulated_clock import SimulatedClock

QUEUED_SHARE = 0.2
"""The part of its time that a job spends queued."""


class JobOutcome(StrEnum):
    """How a job ends."""

    SUCCESS = "success"
    """State success; its effect has taken place."""
    FAILURE = "failure"
    """State failure, with a message and a code."""
    NEVER = "never"
    """It runs for ever."""
    UNKNOWN = "unknown"
    """It ends in a state whose word no client knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobScript:
    """How a job goes.

    Attributes:
        outcome: How it ends.
        seconds: How long it takes; None takes the cluster's `job_seconds`.
        code: ONTAP's error code of a failure.
        message: The message at its end; None takes "success", or the one that belongs to a failure.
        arguments: The arguments of the error.
        old_style: Writes code and message of a failure into the job itself, as releases before 9.9 do.
        running_state: The state's word while it works, such as `paused`.
        final_state: The state's word at an unknown end.
        takes_effect: Whether its effect takes place at its end; None means on success alone.
        retention_seconds: How long it stays readable after its end; None takes the cluster's.
    """

    outcome: JobOutcome = JobOutcome.SUCCESS
    seconds: float | None = None
    code: int = 262145
    message: str | None = None
    arguments: tuple[dict[str, object], ...] = ()
    old_style: bool = False
    running_state: str = "running"
    final_state: str = "dissolved"
    takes_effect: bool | None = None
    retention_seconds: float | None = None

    @property
    def effective(self) -> bool:
        """Whether the effect takes place at the end."""
        return self.outcome is JobOutcome.SUCCESS if self.takes_effect is None else self.takes_effect


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """A job that was started; its times are seconds of the simulated clock.

    Attributes:
        uuid: Its identity in the API.
        description: The request that started it.
        subject: What it works on: a version.
        script: How it goes.
        started: The simulated time of its start.
        started_seconds: The same, on the clock's seconds.
        seconds: How long it takes; infinite for one that never ends.
        retention_seconds: How long it stays readable after its end.
        effect: What takes place at its end, given the job.
        ended_seconds: When it ended: as it was due, or as jobs were released; None before.
    """

    uuid: str
    description: str
    subject: str
    script: JobScript
    started: datetime
    started_seconds: float
    seconds: float
    retention_seconds: float
    effect: Callable[["Job"], None]
    ended_seconds: float | None = None

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.ended_seconds is not None

    @property
    def due_seconds(self) -> float:
        """When it ends unless it is held."""
        return self.started_seconds + self.seconds

    @property
    def ended(self) -> datetime | None:
        """The simulated time of its end."""
        if self.ended_seconds is None:
            return None
        return self.started + timedelta(seconds=self.ended_seconds - self.started_seconds)

    def state(self, now_seconds: float) -> str:
        """The word for where it stands."""
        if not self.over:
            queued = now_seconds < self.started_seconds + min(self.seconds, 3600.0) * QUEUED_SHARE
            return "queued" if queued else self.script.running_state
        match self.script.outcome:
            case JobOutcome.SUCCESS | JobOutcome.FAILURE:
                return self.script.outcome.value
            case JobOutcome.UNKNOWN:
                return self.script.final_state
            case JobOutcome.NEVER:
                return self.script.running_state
            case other:
                assert_never(other)


class Jobs:
    """The jobs of one cluster.

    Args:
        clock: What they run on.
        default_message: Gives the message that belongs to an error code.
    """

    def __init__(self, clock: SimulatedClock, default_message: Callable[[int], str]) -> None:
        self.clock = clock
        self._default_message = default_message
        self._jobs: dict[str, Job] = {}
        self._held = False
        self._released_seconds = 0.0
        self._peak = 0

    @property
    def held(self) -> bool:
        """Whether jobs are kept from ending."""
        return self._held

    @property
    def peak(self) -> int:
        """The most jobs that were live at one time."""
        return self._peak

    def start(
        self,
        description: str,
        *,
        subject: str,
        script: JobScript,
        seconds: float,
        retention_seconds: float,
        effect: Callable[[Job], None],
    ) -> Job:
        """Start a job; what its script leaves open is taken from the arguments."""
        endless = script.outcome is JobOutcome.NEVER
        job = Job(
            uuid=str(uuid.uuid4()),
            description=description,
            subject=subject,
            script=script,
            started=self.clock.now(),
            started_seconds=self.clock.seconds(),
            seconds=math.inf if endless else seconds if script.seconds is None else script.seconds,
            retention_seconds=(
                retention_seconds if script.retention_seconds is None else script.retention_seconds
            ),
            effect=effect,
        )
        self._jobs[job.uuid] = job
        self._peak = max(self._peak, sum(1 for _ in self.live()))
        self.clock.nudge()
        return job

    def hold(self) -> None:
        """Keep every job from ending until released."""
        self.settle()
        self._held = True

    def release(self) -> None:
        """Let jobs end again: at once where they are due."""
        self._held = False
        self._released_seconds = self.clock.seconds()
        self.settle()
        self.clock.nudge()

    def settle(self) -> None:
        """End the jobs that are due, in the order in which they are, and let their effects take place."""
        now = self.clock.seconds()
        due = [job for job in self._jobs.values() if not job.over and job.due_seconds <= now]
        if self._held or not due:
            return
        for job in sorted(due, key=lambda job: job.due_seconds):
            job.ended_seconds = max(job.due_seconds, self._released_seconds)
            if job.script.effective:
                job.effect(job)

    def live(self) -> Iterator[Job]:
        """The jobs that are not over."""
        self.settle()
        return (job for job in tuple(self._jobs.values()) if not job.over)

    def find(self, job_uuid: str) -> Job | None:
        """The job, unless it is unknown or over for longer than it is retained."""
        return next((job for job in self.readable() if job.uuid == job_uuid), None)

    def readable(self) -> tuple[Job, ...]:
        """The jobs that are not over for longer than they are retained, oldest first."""
        self.settle()
        now = self.clock.seconds()
        self._jobs = {
            job.uuid: job
            for job in self._jobs.values()
            if job.ended_seconds is None or now - job.ended_seconds < job.retention_seconds
        }
        return tuple(self._jobs.values())

    async def wait(self, job: Job, seconds: float) -> bool:
        """Wait at most so many simulated seconds for the job's end; tell whether it is over."""
        deadline = self.clock.seconds() + seconds
        while True:
            self.settle()
            left = deadline - self.clock.seconds()
            if job.over or left <= 0:
                return job.over
            due_in = job.due_seconds - self.clock.seconds()
            await self.clock.pause(min(left, due_in) if due_in > 0 else left)

    def document(self, job: Job, *, node: str) -> dict[str, object]:
        """The job's record with all its fields."""
        state = job.state(self.clock.seconds())
        failed = job.over and job.script.outcome is JobOutcome.FAILURE
        message = job.script.message or (self._default_message(job.script.code) if failed else "success")
        document: dict[str, object] = {
            "uuid": job.uuid,
            "description": job.description,
            "state": state,
            "message": message if job.over else "The job is in progress.",
            "code": job.script.code if failed else 0,
            "start_time": job.started.isoformat(timespec="seconds"),
            "node": {"name": node},
        }
        if job.ended is not None:
            document["end_time"] = job.ended.isoformat(timespec="seconds")
        if failed and not job.script.old_style:
            error: dict[str, object] = {"message": message, "code": str(job.script.code)}
            if job.script.arguments:
                error["arguments"] = list(job.script.arguments)
            document["error"] = error
        return document
