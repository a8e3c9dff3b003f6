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
    """The right to clean one cluster, until it expires or another process takes it over."""

    cluster_uuid: str
    epoch: int  # how often the cluster's lease was acquired, by whatever process
    valid_until_seconds: float
    """Up to when it may be relied on without asking the database, less a margin, by CLOCK_BOOTTIME."""
    held_before_until: float | None = None
    """When somebody (this process or another) held it last, by the database's clock; None if nobody did, and
    with SQLite, where nobody takes over."""
    taken_over: bool = False  # from another process that had neither released nor renewed it


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPause:
    """A policy that deletes nothing until it is changed or resumed, because its deletions kept failing."""

    policy: str
    digest: str  # of the rules that it had then; with other rules it is not paused
    since_timestamp_seconds: float
    reason: str  # how many failed, and what the last one said


@dataclass(frozen=True, slots=True, kw_only=True)
class Stops:
    """What the journal says against deleting, for all processes that share it."""

    kill_switch: bool
    paused: Mapping[tuple[str, str], PolicyPause]  # by the policy's name and digest
    unfinished: Mapping[str, str]  # clusters with a deletion without an outcome: the name then, by uuid


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """What a heartbeat found."""

    leases: Mapping[str, Lease]  # every lease that this process holds, by the cluster's uuid, renewed
    living_owners: int  # processes of this shard that have been heard of lately, this one included


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """One deletion, from intent to outcome."""

    id: int
    run_id: int
    cluster_uuid: str
    cluster: str  # its configured name then, a label
    policy: str
    policy_digest: str  # of its rules then; "" if nothing was to be sent
    version: str
    create_timestamp_seconds: float | None
    """The package's create_time, if known. Listed with another one, it was deleted and uploaded again."""
    phase: Phase
    intended_timestamp_seconds: float  # when DELETE was about to be sent for the first time
    attempts: int  # how often DELETE was about to be sent
    job_uuid: str | None  # None as long as ONTAP's job is not known
    earlier_job_uuids: frozenset[str]  # jobs from before the last attempt, which are none of it
    outcome: Outcome | None
    ended_timestamp_seconds: float | None
    code: str  # ONTAP's error code that it ended with, "" if there is none
    message: str  # what ONTAP, or the exporter, said at the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one policy on one cluster."""

    id: int
    cluster_uuid: str
    cluster: str  # its configured name then, a label
    policy: str
    dry_run: bool
    started_timestamp_seconds: float
    ended_timestamp_seconds: float | None  # None while it goes on, or if the program ended during it
    success: bool | None  # whether every deletion succeeded, or there was none; None until it has ended
    failure: str  # the word for why it failed, "" if it did not
    error: str  # the same for people
    plan: str  # JSON: packages with verdict and reason; "" if it is not kept, as in all but the last dry run
    deletions: tuple[Deletion, ...] = ()  # oldest first


@dataclass(frozen=True, slots=True, kw_only=True)
class Inherited:
    """What earlier processes have left on a cluster."""

    unfinished: tuple[Deletion, ...]  # deletions without an outcome: one, or none
    last_started: Mapping[str, float]  # when the last run of every policy began, by policy


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTotals:
    """What has happened on one cluster under one policy since the journal began; it never shrinks.

    What is None has not happened yet.
    """

    outcomes: Mapping[Outcome, int]  # deletions ended, by outcome; every outcome is there
    codes: Mapping[str, int]  # deletions ended with an error code, by code; further codes count as "other"
    candidates: int | None = None  # packages that the last good plan chose
    planned: Mapping[tuple[str, str], int] | None = None
    """Packages of the last plan that rests on nothing unknown, by verdict and reason."""
    last_started_timestamp_seconds: float | None = None
    last_ended_timestamp_seconds: float | None = None
    last_success: bool | None = None  # of the last run that ended
    last_success_timestamp_seconds: float | None = None  # end of the last successful run
    last_failure: str = ""  # the word for why the last run that ended failed; "" if it did not


DURATION_BUCKETS_SECONDS = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Upper bounds of the buckets of ``ontap_cleanup_job_duration_seconds``, beside infinity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """How long the deletions of one policy took, from DELETE to outcome."""

    buckets: tuple[int, ...]
    """How many took up to each bound of ``DURATION_BUCKETS_SECONDS``, cumulative; the last one: all."""
    sum_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Some of the totals that have changed."""

    policies: Mapping[tuple[str, str], PolicyTotals]  # by cluster name and policy
    durations: Mapping[str, Durations] | None  # by policy; None in all but the first of several parts
    read_until: float  # what changes from now on is asked for with this
