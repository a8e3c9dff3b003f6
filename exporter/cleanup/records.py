"""What the journal remembers: runs, deletions and their outcomes, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a deletion ended: the ``outcome`` label of ``ontap_cleanup_jobs_total``."""

    SUCCESS = "success"  # the package is gone, and we deleted it
    FAILURE = "failure"  # ONTAP refused, or the job failed
    ALREADY_GONE = "already_gone"  # somebody else had deleted it
    BUSY = "busy"  # a transient state outlasted retry_busy_for
    TIMEOUT = "timeout"  # the job was not over after job_timeout and the package is still listed
    DENIED = "denied"  # 401 or 403
    PROTECTED = "protected"  # it came into use between plan and DELETE, so nothing was sent


class Phase(StrEnum):
    """How far a deletion has come. A crash may leave any of them; the next start goes on from there."""

    INTENDED = "intended"  # DELETE is about to be sent, or was sent and its answer is not recorded
    WAITING = "waiting"  # ONTAP refused for a passing reason; no DELETE is under way
    FOLLOWED = "followed"  # ONTAP accepted; its job is followed
    ENDED = "ended"  # the outcome is recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetIdentity:
    """A cluster to which DELETE is sent, whatever the configuration calls it.

    Attributes:
        uuid: as ONTAP states it; None where that is not known.
        origin: where it is reached: scheme, host and port.
    """

    uuid: str | None
    origin: str

    @property
    def identity(self) -> str:
        """What tells it from other clusters: its uuid, or else where it is reached."""
        return self.origin if self.uuid is None else self.uuid

    def is_same(self, other: TargetIdentity) -> bool:
        """Say whether both are one cluster, by uuid, or by address where one of the uuids is not known."""
        if self.uuid is None or other.uuid is None:
            return self.origin == other.origin
        return self.uuid == other.uuid


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """One deletion, from intent to outcome.

    Attributes:
        id: names it within the journal.
        run_id: the run that decided on it.
        cluster: the cluster's configured name.
        policy: the policy's name.
        version: the package's version.
        phase: how far it has come.
        intended_timestamp_seconds: when it was first about to be sent, Unix seconds.
        attempts: how often DELETE was about to be sent.
        job_uuid: the job that ONTAP named; None as long as none is known.
        outcome: None until it has ended.
        ended_timestamp_seconds: when it ended; None until then.
        code: ONTAP's error code that it ended with, "" where there is none.
        message: what ONTAP, or the exporter, said at the end.
        sent_to: the cluster that DELETE is sent to; None where an older version has not noted it.
    """

    id: int
    run_id: int
    cluster: str
    policy: str
    version: str
    phase: Phase
    intended_timestamp_seconds: float
    attempts: int
    job_uuid: str | None
    outcome: Outcome | None
    ended_timestamp_seconds: float | None
    code: str
    message: str
    sent_to: TargetIdentity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one policy on one cluster.

    Attributes:
        id: names it within the journal.
        cluster: the cluster's configured name.
        policy: the policy's name.
        dry_run: whether it only planned.
        started_timestamp_seconds: Unix seconds.
        ended_timestamp_seconds: None while it goes on, or where the program ended in its midst.
        success: whether every deletion succeeded or there was none to make; None until it has ended.
        error: why it could not do its work, "" where it could.
        plan: the plan as JSON: a list of packages, each with verdict and reason.
        deletions: those of this run, oldest first.
    """

    id: int
    cluster: str
    policy: str
    dry_run: bool
    started_timestamp_seconds: float
    ended_timestamp_seconds: float | None
    success: bool | None
    error: str
    plan: str
    deletions: tuple[Deletion, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTotals:
    """What has happened on one cluster under one policy since the journal began; it never shrinks.

    Attributes:
        outcomes: deletions ended, by outcome; every outcome is there.
        codes: deletions ended with an error code, by code.
        candidates: packages that the last plan chose; None before the first run.
        last_started_timestamp_seconds: start of the last run; None before the first.
        last_ended_timestamp_seconds: end of the last run that ended; None before.
        last_success: whether that run succeeded; None before.
        last_success_timestamp_seconds: end of the last successful run; None before.
    """

    outcomes: Mapping[Outcome, int]
    codes: Mapping[str, int]
    candidates: int | None
    last_started_timestamp_seconds: float | None
    last_ended_timestamp_seconds: float | None
    last_success: bool | None
    last_success_timestamp_seconds: float | None


DURATION_BUCKETS_SECONDS = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Upper bounds of the buckets of ``ontap_cleanup_job_duration_seconds``, beside infinity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """How long the deletions of one policy took, from DELETE to outcome.

    Attributes:
        buckets: how many took up to each bound of ``DURATION_BUCKETS_SECONDS``, cumulative; last, all.
        sum_seconds: all of them together.
    """

    buckets: tuple[int, ...]
    sum_seconds: float
