"""What can happen in the life of a deletion (events), and what to do next (actions): values.

:mod:`exporter.cleanup.delete.lifecycle` turns events into actions; :mod:`exporter.cleanup.delete.driver`
performs the actions and reports events.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from exporter.cleanup.decide.plan import Decision
from exporter.cleanup.delete.replies import Diagnosis
from exporter.cleanup.outcomes import Outcome, RunFailure
from exporter.cleanup.records import Deletion
from exporter.ontap.requests.jobs import Job, JobSearch


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The policy has decided on facts read afresh; None: the package is not listed any more."""

    decision: Decision | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """Nothing could be decided.

    Attributes:
        problem: why: a fact could not be read, or somebody is deleting the package already.
        failure: the same in a word; only UNREADABLE may pass, so that deciding is tried again.
    """

    problem: str
    failure: RunFailure = RunFailure.UNREADABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The journal has stored the step; this is what it holds now."""

    deletion: Deletion


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """No byte of DELETE was sent; ``stale``: only because the facts have to be read again."""

    why: str
    stale: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """ONTAP accepted, and named its job; None if it did not."""

    job_uuid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """ONTAP's answer to DELETE was no acceptance, or no answer came."""

    diagnosis: Diagnosis


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRead:
    """The job was read."""

    job: Job


class JobUnread(StrEnum):
    """The job could not be read."""

    FAILED = "failed"  # this time; that is no verdict on the job
    HIDDEN = "hidden"  # the role may not read jobs
    NOT_FOUND = "not_found"  # not yet there, or no longer kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Whether the listing has the very package; None: it could not be read whole."""

    listed: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What the jobs say, read first, and then the listing; None: could not be read."""

    jobs: JobSearch | None
    listed: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slept:
    """The pause is over."""


Event = (
    Decided
    | Undecided
    | Recorded
    | Withheld
    | Accepted
    | Answered
    | JobRead
    | JobUnread
    | Listed
    | Searched
    | Slept
)


class Do(StrEnum):
    """What to do next, if that needs no further value."""

    DECIDE = "decide"  # read the cluster afresh and decide again: Decided or Undecided
    INTEND = "intend"  # store that DELETE is about to be sent, also again: Recorded or Undecided
    SEND = "send"  # send DELETE: Withheld, Accepted or Answered
    READ_LISTING = "read_listing"  # Listed
    SEARCH = "search"  # read the jobs, then the listing: Searched


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordJob:
    """Store that ONTAP accepted."""

    job_uuid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordWait:
    """Store that ONTAP refused for a passing reason."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadJob:
    """Read the job: :class:`JobRead` or :class:`JobUnread`."""

    job_uuid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep:
    """Pause; ``idle``: nothing is under way on the cluster, so that another cluster may be cleaned."""

    seconds: float
    idle: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Store the outcome of a deletion that the journal has."""

    outcome: Outcome
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndUnsent:
    """Store the outcome of a deletion whose DELETE was never about to be sent."""

    outcome: Outcome
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortRun:
    """Nothing was intended and nothing can be decided: the run ends."""

    why: Undecided


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The deletion has its outcome, and the journal has it."""

    deletion: Deletion


Action = Do | RecordJob | RecordWait | ReadJob | Sleep | End | EndUnsent | AbortRun | Finish
