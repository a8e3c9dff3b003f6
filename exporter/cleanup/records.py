"""What the journal remembers: runs, deletions, leases and totals, as values."""

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
        cluster_uuid: the cluster, as ONTAP names it.
        epoch: counts the times that the cluster's lease was acquired, by whatever process.
        valid_until_seconds: up to when it may be relied on without asking the database, in seconds of this
            machine's CLOCK_BOOTTIME, which counts suspends; a margin is taken off already.
        held_before_until: until when, in Unix seconds of the database's clock, somebody (this process or
            another) held it before; None if nobody did, and with SQLite, where nobody takes over.
        taken_over: whether it was acquired from another process that had neither released nor renewed it.
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
        digest: identifies the rules that it had then; with other rules it is not paused.
        since_timestamp_seconds: Unix seconds.
        reason: how many failed, and what the last one said.
    """

    policy: str
    digest: str
    since_timestamp_seconds: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stops:
    """What the journal says against deleting, for all processes that share it.

    Attributes:
        kill_switch: whether the kill switch is on.
        paused: the paused policies, by name and digest.
        unfinished: the clusters with a deletion without an outcome: the name of each then, by its uuid.
    """

    kill_switch: bool
    paused: Mapping[tuple[str, str], PolicyPause]
    unfinished: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """What a heartbeat found.

    Attributes:
        leases: every lease that this process holds, by the cluster's uuid, renewed.
        living_owners: processes of this shard that have been heard of lately, this one included.
    """

    leases: Mapping[str, Lease]
    living_owners: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """One deletion, from intent to outcome.

    Attributes:
        id: names it within the journal.
        run_id: the run that decided on it.
        cluster_uuid: the cluster that DELETE is sent to.
        cluster: the cluster's configured name then, a label.
        policy_digest: identifies the policy's rules then; "" if nothing was to be sent.
        create_timestamp_seconds: the package's create_time, Unix seconds; None if it is not known. Listed
            with another one, the package was deleted and uploaded again.
        phase: how far it has come.
        intended_timestamp_seconds: when DELETE was about to be sent for the first time, Unix seconds.
        attempts: how often DELETE was about to be sent.
        job_uuid: the job that ONTAP named; None as long as none is known.
        earlier_job_uuids: jobs that were there before the last attempt, which are none of it.
        outcome: None until it has ended.
        ended_timestamp_seconds: when it ended; None until then.
        code: ONTAP's error code that it ended with, "" if there is none.
        message: what ONTAP, or the exporter, said at the end.
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
        id: names it within the journal.
        cluster_uuid: the cluster.
        cluster: the cluster's configured name then, a label.
        dry_run: whether it only planned.
        started_timestamp_seconds: Unix seconds.
        ended_timestamp_seconds: None while it goes on, or if the program ended during it.
        success: whether every deletion succeeded or there was none to make; None until it has ended.
        failure: the word for why it failed, "" if it did not.
        error: the same for people.
        plan: the plan as JSON: a list of packages, each with verdict and reason; "" if it is not kept
            (only the last dry run of a policy on a cluster keeps its plan).
        deletions: those of this run, oldest first.
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
        unfinished: its deletions without an outcome: one, or none.
        last_started: when the last run of every policy began, by policy, Unix seconds.
    """

    unfinished: tuple[Deletion, ...]
    last_started: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTotals:
    """What has happened on one cluster under one policy since the journal began; it never shrinks.

    Attributes:
        outcomes: deletions ended, by outcome; every outcome is there.
        codes: deletions ended with an error code, by code; further codes count as "other".
        candidates: packages that the last good plan chose; None before the first.
        planned: packages of the last plan that rests on nothing unknown, by verdict and reason; None before.
        last_started_timestamp_seconds: start of the last run; None before the first.
        last_ended_timestamp_seconds: end of the last run that ended; None before.
        last_success: whether that run succeeded; None before.
        last_failure: the word for why that run failed; "" if it did not.
        last_success_timestamp_seconds: end of the last successful run; None before.
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
        buckets: how many took up to each bound of ``DURATION_BUCKETS_SECONDS``, cumulative; last, all.
        sum_seconds: all of them together.
    """

    buckets: tuple[int, ...]
    sum_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Some of the totals that have changed.

    Attributes:
        policies: totals by cluster name and policy.
        durations: how long deletions took, by policy; None in all but the first of several parts.
        read_until: what changes from now on is asked for with this.
    """

    policies: Mapping[tuple[str, str], PolicyTotals]
    durations: Mapping[str, Durations] | None
    read_until: float
