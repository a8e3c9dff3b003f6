"""The jobs that delete packages: a script says how a job goes, the clock says how far it is.

Nothing runs in the background: reading the jobs first ends those that are due.

Source: https://docs.netapp.com/us-en/ontap-restapi/get-cluster-jobs-.html
"""

import math
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from exporter.simulator.state.simulated_clock import SimulatedClock

QUEUED_SHARE = 0.2
"""The part of its time that a job spends queued."""
LONGEST_QUEUED_SECONDS = 720.0


class JobOutcome(StrEnum):
    """How a job ends."""

    SUCCESS = "success"
    """State success; the package is deleted."""
    FAILURE = "failure"
    """State failure, with a message and a code."""
    NEVER = "never"
    """It runs for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobScript:
    """How a job goes.

    Attributes:
        seconds: How long it takes; None takes the cluster's `job_seconds`.
        message: The message at its end; None takes "success", or the one that belongs to the code.
        old_style: Writes code and message of a failure into the job itself alone, as releases before 9.9
            always do.
        running_state: The state's word while it works, such as `paused`.
        takes_effect: Whether the package is deleted at its end; None means on success alone.
        retention_seconds: How long it stays readable after its end; None takes the cluster's.
    """

    outcome: JobOutcome = JobOutcome.SUCCESS
    seconds: float | None = None
    code: int = 262145
    message: str | None = None
    old_style: bool = False
    running_state: str = "running"
    takes_effect: bool | None = None
    retention_seconds: float | None = None

    @property
    def effective(self) -> bool:
        """Whether the package is deleted at the end."""
        return self.outcome is JobOutcome.SUCCESS if self.takes_effect is None else self.takes_effect


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """A job that was started; its times are seconds of the simulated clock.

    Attributes:
        subject: The version that it deletes.
        seconds: How long it takes; infinite for one that never ends.
        retention_seconds: How long it stays readable after its end.
        ended_seconds: When it ended: when it was due, or when jobs were released; None before.
    """

    uuid: str
    subject: str
    script: JobScript
    started_seconds: float
    seconds: float
    retention_seconds: float
    ended_seconds: float | None = None

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.ended_seconds is not None

    @property
    def due_seconds(self) -> float:
        """When it ends unless it is held."""
        return self.started_seconds + self.seconds

    def state(self, now_seconds: float) -> str:
        """The API's word for its state."""
        if self.over:
            return self.script.outcome.value
        queued_seconds = min(self.seconds * QUEUED_SHARE, LONGEST_QUEUED_SECONDS)
        queued = now_seconds < self.started_seconds + queued_seconds
        return "queued" if queued else self.script.running_state


class Jobs:
    """The jobs of one cluster; `take_effect` deletes the package of a job that ends so."""

    def __init__(self, clock: SimulatedClock, take_effect: Callable[[Job], None]) -> None:
        self.clock = clock
        self._take_effect = take_effect
        self._jobs: dict[str, Job] = {}
        self._held = False
        self._released_seconds = 0.0
        self.peak = 0
        """The most jobs that were live at one time."""

    def start(self, subject: str, script: JobScript, *, seconds: float, retention_seconds: float) -> Job:
        """Start a job; `seconds` and `retention_seconds` are for a script that leaves them open."""
        endless = script.outcome is JobOutcome.NEVER
        job = Job(
            uuid=str(uuid.uuid4()),
            subject=subject,
            script=script,
            started_seconds=self.clock.seconds(),
            seconds=math.inf if endless else seconds if script.seconds is None else script.seconds,
            retention_seconds=(
                retention_seconds if script.retention_seconds is None else script.retention_seconds
            ),
        )
        self._jobs[job.uuid] = job
        self.peak = max(self.peak, sum(1 for _ in self.live()))
        self.clock.wake()
        return job

    def hold(self) -> None:
        """Keep every job from ending until released."""
        self.end_due()
        self._held = True

    def release(self) -> None:
        """Let jobs end again: those that are due, at once."""
        self._held = False
        self._released_seconds = self.clock.seconds()
        self.end_due()
        self.clock.wake()

    def end_due(self) -> None:
        """End the jobs that are due, in the order of their due times."""
        now = self.clock.seconds()
        due = [job for job in self._jobs.values() if not job.over and job.due_seconds <= now]
        if self._held or not due:
            return
        for job in sorted(due, key=lambda job: job.due_seconds):
            job.ended_seconds = max(job.due_seconds, self._released_seconds)
            if job.script.effective:
                self._take_effect(job)

    def live(self) -> Iterator[Job]:
        """The jobs that are not over."""
        self.end_due()
        return (job for job in tuple(self._jobs.values()) if not job.over)

    def find(self, job_uuid: str) -> Job | None:
        """The job, as long as it can be read."""
        return next((job for job in self.readable() if job.uuid == job_uuid), None)

    def readable(self) -> tuple[Job, ...]:
        """The jobs that are not over, and those that ended within their retention; oldest first."""
        self.end_due()
        now = self.clock.seconds()
        self._jobs = {
            job.uuid: job
            for job in self._jobs.values()
            if job.ended_seconds is None or now - job.ended_seconds < job.retention_seconds
        }
        return tuple(self._jobs.values())
