"""What a plan is made from and what it consists of. Values only; :mod:`exporter.cleanup.policy` decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a policy retires.

    Attributes:
        keep_newest: so many of the newest releases in the repository are kept; None: not a condition.
        older_than_seconds: only packages older than that are retired; None: not a condition.
        include: globs of versions; only these are retired.
        exclude: globs of versions; these are not.
        max_deletes: so many at most in one run.
    """

    keep_newest: int | None
    older_than_seconds: float | None
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    max_deletes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardFacts:
    """What guards packages on one cluster.

    Attributes:
        named: who names a version: ``the cluster``, ``node ...``, ``the pending update``.
        update_state: ONTAP's word for the software update; None where none ever ran.
        download_state: ONTAP's word for the package download.
        being_deleted: versions whose deletion by an earlier run may still be going on.
    """

    named: Mapping[str, str]
    update_state: str | None
    download_state: str | None
    being_deleted: frozenset[str] = frozenset()


class Verdict(StrEnum):
    """What becomes of a package."""

    DELETE = "delete"  # the run deletes it
    KEEP = "keep"  # it stays


class Reason(StrEnum):
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
    AGE_UNKNOWN = "age_unknown"  # older_than: create_time is missing or unreadable
    TOO_YOUNG = "too_young"  # older_than: it is not old enough
    OVER_LIMIT = "over_limit"  # max_deletes_per_run: its turn comes in a later run
    RETIRED = "retired"  # the policy retires it


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of one package, and why.

    Attributes:
        version: the package's version.
        create_timestamp_seconds: Unix seconds; None where it is not known.
        age_seconds: at the time of the plan, at least 0; None where it is not known.
        verdict: whether it is deleted.
        reason: the word for why.
        detail: the same as a phrase for a person.
    """

    version: str
    create_timestamp_seconds: float | None
    age_seconds: float | None
    verdict: Verdict
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A decision for every package of a listing.

    Attributes:
        decisions: those to delete first, in the order in which they are; then the others by version.
        problem: why nothing can be decided or deleted; "" where everything was known.
    """

    decisions: tuple[Decision, ...]
    problem: str = ""

    @property
    def chosen(self) -> tuple[Decision, ...]:
        """The packages to delete, oldest first."""
        return tuple(decision for decision in self.decisions if decision.verdict is Verdict.DELETE)

    def decision(self, version: str) -> Decision | None:
        """Return the decision on a version; None where the listing does not have it."""
        return next((decision for decision in self.decisions if decision.version == version), None)
