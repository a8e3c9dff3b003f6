"""What a plan is made from and what it consists of: values; :mod:`exporter.cleanup.decide.policy` decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a policy retires.

    Attributes:
        keep_newest: this many of the newest releases in the repository are kept; None: not a condition.
        older_than_seconds: only older packages are retired; None: not a condition.
        include: globs of versions; only these are retired.
        exclude: globs of versions; these are not.
        max_deletes: this many at most in one run.
        seen_for_seconds: a package must have been in the listings for this long; 0: not a condition.
        approved: what a saved plan approves; None: no approval is asked for.
    """

    keep_newest: int | None
    older_than_seconds: float | None
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    max_deletes: int
    seen_for_seconds: float = 0.0
    approved: Approved | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """What a person has approved.

    Attributes:
        packages: (cluster uuid, version) of every package that the saved plan chose.
        problem: why nothing is approved: the file cannot be read, or is too old; "" if it counts.
    """

    packages: frozenset[tuple[str, str]]
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardFacts:
    """What guards packages on one cluster.

    Attributes:
        named: who names a version: ``the cluster``, ``node ...``, ``the pending update``.
        update_state: ONTAP's word for the software update; None if none ever ran.
        download_state: the same for the package download.
        being_deleted: versions whose deletion by an earlier run may still be going on.
        clock_skew_seconds: the cluster's clock minus ours; None if it does not show its clock.
        first_seen: since when each version has been in every listing, Unix seconds; None if the journal
            could not say it.
    """

    named: Mapping[str, str]
    update_state: str | None
    download_state: str | None
    being_deleted: frozenset[str] = frozenset()
    cluster_uuid: str = ""
    clock_skew_seconds: float | None = None
    first_seen: Mapping[str, float] | None = None


class Verdict(StrEnum):
    """What becomes of a package."""

    DELETE = "delete"  # the run deletes it
    KEEP = "keep"  # it stays


class VerdictReason(StrEnum):
    """Why a package gets its verdict; of several reasons, the first in this order."""

    UNSAFE_NAME = "unsafe_name"  # the version could mean something else in a URL
    FACTS_UNKNOWN = "facts_unknown"  # what the cluster runs, or does, could not be read
    UPDATE_UNFINISHED = "update_unfinished"  # a software update goes on, waits or is paused
    DOWNLOAD_RUNNING = "download_running"  # a package is being downloaded
    IN_USE = "in_use"  # the cluster, a node or a pending update names this version
    BEING_DELETED = "being_deleted"  # the job of an earlier run may still be deleting it
    NOT_INCLUDED = "not_included"  # no include glob matches
    EXCLUDED = "excluded"  # an exclude glob matches
    NO_CONDITION = "no_condition"  # the policy says neither how old nor how many
    RELEASE_UNKNOWN = "release_unknown"  # keep_newest: the version has no place among the releases
    AMONG_NEWEST = "among_newest"  # keep_newest: it is one of those kept
    CLOCK_SKEWED = "clock_skewed"  # older_than: the cluster's clock and ours differ by more than an hour
    AGE_UNKNOWN = "age_unknown"  # older_than: create_time is missing or unreadable
    TOO_YOUNG = "too_young"  # older_than: it is not old enough
    SEEN_UNKNOWN = "seen_unknown"  # seen_for: the journal could not say since when it has been there
    SEEN_TOO_SHORTLY = "seen_too_shortly"  # seen_for: it has not been there for long enough
    NOT_APPROVED = "not_approved"  # approved_plan: the saved plan did not choose it, or no longer counts
    OVER_LIMIT = "over_limit"  # max_deletes_per_run: its turn comes in a later run
    RETIRED = "retired"  # the policy retires it


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of one package, and why.

    Attributes:
        create_timestamp_seconds: Unix seconds; None if it is not known.
        age_seconds: at the time of the plan, at least 0; None if it is not known.
        detail: the reason as a phrase for a person.
    """

    version: str
    create_timestamp_seconds: float | None
    age_seconds: float | None
    verdict: Verdict
    reason: VerdictReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A decision for every package of a listing.

    Attributes:
        decisions: first those to delete, oldest first; then the others, by version.
        problem: why nothing can be decided or deleted; "" if everything was known.
    """

    decisions: tuple[Decision, ...]
    problem: str = ""

    @property
    def chosen(self) -> tuple[Decision, ...]:
        """The packages to delete, oldest first."""
        return tuple(decision for decision in self.decisions if decision.verdict is Verdict.DELETE)

    @property
    def counts(self) -> Mapping[tuple[str, str], int]:
        """How many packages have each verdict and reason."""
        return Counter((str(decision.verdict), str(decision.reason)) for decision in self.decisions)

    def as_json(self) -> list[dict[str, Any]]:
        """Return every decision, as the journal and a saved plan have it."""
        return [asdict(decision) for decision in self.decisions]

    def decision(self, version: str) -> Decision | None:
        """Return the decision on a version; None if the listing does not have it."""
        return next((decision for decision in self.decisions if decision.version == version), None)
