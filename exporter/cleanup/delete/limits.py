"""How long a deletion is tried and followed, and the pauses in between. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_GROWING_PAUSES = 64
"""No pause grows after this many: a larger power would overflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """How long to wait between attempts: each pause is ``factor`` times as long as the one before."""

    first_seconds: float
    factor: float
    longest_seconds: float

    def after(self, tries: int) -> float:
        """Return how long to pause after this many pauses."""
        return min(self.first_seconds * self.factor ** min(tries, _GROWING_PAUSES), self.longest_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Every pause that cleanup makes.

    Attributes:
        job: between two reads of a job.
        busy: between two attempts at a repository that is busy.
        check: between two checks of what became of a deletion whose answer is not known.
        checks: after this many, a package that is still there, and that no job names, counts as not being
            deleted. A listing may show a package for some seconds after it is gone, so the pauses between
            the checks add up to 7.5 s.
        in_flight_seconds: how much longer than return_timeout a DELETE may still be on its way after its
            sender has vanished.
        retry_seconds: how long a cluster, or the journal, is left alone after it has failed.
    """

    job: Pauses = Pauses(first_seconds=0.5, factor=1.5, longest_seconds=5.0)
    busy: Pauses = Pauses(first_seconds=1.0, factor=2.0, longest_seconds=60.0)
    check: Pauses = Pauses(first_seconds=0.5, factor=2.0, longest_seconds=5.0)
    checks: int = 5
    in_flight_seconds: float = 30.0
    retry_seconds: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a deletion is tried and followed, in seconds."""

    return_timeout_seconds: int
    job_timeout_seconds: float
    retry_busy_for_seconds: float
