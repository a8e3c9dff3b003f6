"""What the journal remembers: runs, deletions, leases and totals, as values.

Times are Unix seconds, unless something else is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from exporter.cleanup.outcomes import Outcome


class Phase(StrEnum):
    """How far a deletion has come. A crash may leave any of them; the next start goes on from there."""

    INTENDED = "intended"  # DELETE is about to be sent, or was sent and its answer is not recorded
    WAITING = "waiting"  # ONTAP refused for a passing reason; no DELETE is under way
    FOLLOWED = "followed"  # ONTAP accepted; its job is followed
    ENDED = "ended"  # the outcome is recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to clean one cluster, until it expires or another process takes it over.

    Attributes:
        epoch: how often the cluster's lease was acquired, by any process.
        valid_until_seconds: until when it may be relied on without asking the database, with a margin, by
            CLOCK_BOOTTIME.
        held_before_until: until when any process held it last, in the database's seconds; None: never, or
            SQLite.
        taken_over: whether it comes from another process that had neither released nor renewed it.
    """

    cluster_uuid: str
    epoch: int
    valid_until_seconds: float
    held_before_until: float | None = None
    taken_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPause:
    """A policy that deletes nothing until it is changed or resumed, because its deletions kept failing.

    Attributes:
        digest: of the policy as it was then; once it has another digest, it is not paused.
        reason: how many deletions failed, and what the last one said.
    """

    policy: str
    digest: str
    since_timestamp_seconds: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stops:
    """What the journal says against deleting, for all processes that share it.

    Attributes:
        kill_switch: whether it is on.
        paused: by the policy's name and digest.
        unfinished: clusters with a deletion without an outcome: their name at that time, by uuid.
    """

    kill_switch: bool
    paused: Mapping[tuple[str, str], PolicyPause]
    unfinished: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """What a heartbeat found.

    Attributes:
        leases: every lease that this process holds, renewed, by the cluster's uuid.
        living_owners: processes of this shard whose last heartbeat is recent, this one included.
    """

    leases: Mapping[str, Lease]
    living_owners: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """One deletion, from intent to outcome.

    Attributes:
        cluster: its configured name at that time, a label.
        policy_digest: of the policy at that time; "" if DELETE was never to be sent.
        create_timestamp_seconds: the package's create_time; None if it is not known. A package that is
            listed with another create_time was deleted and uploaded again.
        intended_timestamp_seconds: when DELETE was about to be sent for the first time.
        attempts: how often DELETE was about to be sent.
        job_uuid: the job of the last attempt; None as long as it is not known.
        earlier_job_uuids: jobs from before the last attempt; none of them is the job of that attempt.
        outcome: None until it has ended.
        ended_timestamp_seconds: None until it has ended.
        code: ONTAP's last error code; "" if there is none.
        message: what ONTAP, or the exporter, said last.
    """

    id: int
    run_id: int
    cluster_uuid: str
    cluster: str
    policy: str
    policy_digest: str
    version: str
    create_timestamp_seconds: float | None
    phase: Phase
    intended_timestamp_seconds: float
    attempts: int
    job_uuid: str | None
    earlier_job_uuids: frozenset[str]
    outcome: Outcome | None
    ended_timestamp_seconds: float | None
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one policy on one cluster.

    Attributes:
        cluster: its configured name at that time, a label.
        ended_timestamp_seconds: None while it goes on, or if the program ended during it.
        success: whether nothing failed; None until it has ended.
        failure: why it failed, in a word; "" if it did not.
        error: the same for people.
        plan: JSON: packages with verdict and reason; "" if it is not kept, as in all but the last dry run.
        deletions: oldest first.
    """

    id: int
    cluster_uuid: str
    cluster: str
    policy: str
    dry_run: bool
    started_timestamp_seconds: float
    ended_timestamp_seconds: float | None
    success: bool | None
    failure: str
    error: str
    plan: str
    deletions: tuple[Deletion, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inherited:
    """What earlier processes have left on a cluster.

    Attributes:
        unfinished: deletions without an outcome: one, or none.
        last_started: when the last run of each policy began, by policy.
    """

    unfinished: tuple[Deletion, ...]
    last_started: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTotals:
    """What has happened on one cluster under one policy since the journal began; it never shrinks.

    What is None has not happened yet.

    Attributes:
        outcomes: deletions that have ended, by outcome; every outcome is there.
        codes: deletions that have ended with an error code, by code; beyond a limit, codes count as "other".
        candidates: packages that the last plan without a problem chose.
        planned: all packages of that plan, by verdict and reason.
        last_success: whether the last run that ended was successful.
        last_success_timestamp_seconds: when the last successful run ended.
        last_failure: why the last run that ended failed, in a word; "" if it did not.
    """

    outcomes: Mapping[Outcome, int]
    codes: Mapping[str, int]
    candidates: int | None = None
    planned: Mapping[tuple[str, str], int] | None = None
    last_started_timestamp_seconds: float | None = None
    last_ended_timestamp_seconds: float | None = None
    last_success: bool | None = None
    last_success_timestamp_seconds: float | None = None
    last_failure: str = ""


DURATION_BUCKETS_SECONDS = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Upper bounds of the buckets of ``ontap_cleanup_job_duration_seconds``, beside infinity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """How long the deletions of one policy took, from DELETE to outcome.

    Attributes:
        buckets: how many took up to each bound of ``DURATION_BUCKETS_SECONDS``, cumulative; at last, all.
        sum_seconds: of all together.
    """

    buckets: tuple[int, ...]
    sum_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Some of the totals that have changed.

    Attributes:
        policies: by cluster name and policy.
        durations: by policy; None in all but the first of several parts.
        read_until: in the database's seconds; pass it as ``since`` to read only later changes.
    """

    policies: Mapping[tuple[str, str], PolicyTotals]
    durations: Mapping[str, Durations] | None
    read_until: float
