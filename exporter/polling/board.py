"""The newest status of every cluster: immutable values, each replaced by its cluster's poller."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from types import MappingProxyType

from exporter.ontap.cluster_settings import ClusterSettings
from exporter.ontap.errors import Reason
from exporter.ontap.requests.inventory import Inventory
from exporter.polling.lateness import Lateness

RECENT_POLLS = 24
"""This many polls of each cluster are remembered: two hours of them at the default interval."""
BUCKETS_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0)
"""Upper bounds of the buckets of poll durations, beside infinity."""
NO_FAILURES: Mapping[Reason, int] = MappingProxyType(dict.fromkeys(Reason, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class PollFailure:
    """Why a poll failed, in a word and in a sentence."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """One poll that has ended.

    Attributes:
        ended_timestamp_seconds: Unix seconds.
        duration_seconds: from its start to its end.
        failure: why it failed; None if it was good.
        clock_skew_seconds: the cluster's clock minus ours; None after a failed poll, or if the cluster did
            not show its clock.
        certificate_expiry_timestamp_seconds: when the certificate expires that the cluster showed last; None
            if none was verified.
    """

    ended_timestamp_seconds: float
    duration_seconds: float
    failure: PollFailure | None
    clock_skew_seconds: float | None = None
    certificate_expiry_timestamp_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """Everything that is known about one cluster.

    Attributes:
        address: the configured origin, ``scheme://host:port``.
        labels: the configured labels, ordered by name.
        stale_after_seconds: how long an inventory is fresh after its poll ended.
        polls: how many polls have ended.
        failures: failed polls by reason; every reason is there.
        last_poll: the newest poll, good or bad; None before the first has ended.
        inventory: the result of the last good poll; None before the first.
        inventory_timestamp_seconds: when the last good poll ended; 0 before the first.
        recent_polls: the newest polls, oldest first.
    """

    name: str
    address: str
    labels: tuple[tuple[str, str], ...]
    stale_after_seconds: float
    polls: int = 0
    failures: Mapping[Reason, int] = field(default_factory=lambda: NO_FAILURES)
    last_poll: Poll | None = None
    inventory: Inventory | None = None
    inventory_timestamp_seconds: float = 0.0
    recent_polls: tuple[Poll, ...] = ()

    @property
    def up(self) -> bool:
        """Whether the last poll succeeded."""
        return self.last_poll is not None and self.last_poll.failure is None

    @property
    def last_failure(self) -> PollFailure | None:
        """Why the last poll failed; None if it was good, or if there was none."""
        return None if self.last_poll is None else self.last_poll.failure

    @property
    def fresh_until_timestamp_seconds(self) -> float:
        """When the inventory grows stale; 0 if there is none."""
        if self.inventory is None:
            return 0.0
        return self.inventory_timestamp_seconds + self.stale_after_seconds

    def fresh_inventory(self, now: float) -> Inventory | None:
        """Return the inventory, or None if there is none that is fresh at ``now`` (Unix seconds)."""
        return self.inventory if now <= self.fresh_until_timestamp_seconds else None

    def configured_as(self, cluster: ClusterSettings) -> ClusterStatus:
        """Return the same status with the labels and the times of these settings."""
        return replace(self, labels=cluster.labels, stale_after_seconds=cluster.stale_after.total_seconds())

    def after_success(self, poll: Poll, inventory: Inventory) -> ClusterStatus:
        """Return the status after a good poll."""
        return replace(
            self,
            polls=self.polls + 1,
            last_poll=poll,
            inventory=inventory,
            inventory_timestamp_seconds=poll.ended_timestamp_seconds,
            recent_polls=self._with(poll),
        )

    def after_failure(self, poll: Poll, failure: PollFailure) -> ClusterStatus:
        """Return the status after a failed poll; the last good inventory stays."""
        failures = {**self.failures, failure.reason: self.failures[failure.reason] + 1}
        return replace(
            self,
            polls=self.polls + 1,
            failures=MappingProxyType(failures),
            last_poll=poll,
            recent_polls=self._with(poll),
        )

    def _with(self, poll: Poll) -> tuple[Poll, ...]:
        return (*self.recent_polls[1 - RECENT_POLLS :], poll)


class PollDurations:
    """Counts the polls of all clusters by their duration, for a histogram."""

    def __init__(self) -> None:
        self.sum_seconds = 0.0
        self._counts = [0] * (len(BUCKETS_SECONDS) + 1)

    def add(self, seconds: float) -> None:
        """Count a poll that has ended."""
        self._counts[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self.sum_seconds += seconds

    def cumulative(self) -> tuple[int, ...]:
        """Return how many polls took at most as long as each bound, and last, how many there were."""
        return tuple(accumulate(self._counts))


class Board:
    """Holds the status of every cluster.

    Args:
        on_change: called with each new status, on the event loop, before it can be read here.
        on_removal: called with the name of each cluster that is removed.
    """

    def __init__(
        self,
        *,
        on_change: Callable[[ClusterStatus], None],
        on_removal: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._on_change = on_change
        self._on_removal = on_removal
        self._statuses: dict[str, ClusterStatus] = {}
        self._unpolled: set[str] = set()
        self._was_complete = False
        self.lateness = Lateness()
        self.poll_durations = PollDurations()

    def put(self, status: ClusterStatus) -> None:
        """Replace the status of a cluster, or add it."""
        self._on_change(status)
        self._statuses[status.name] = status
        if status.last_poll is None:
            self._unpolled.add(status.name)
        else:
            self._unpolled.discard(status.name)
            self._was_complete = self.was_complete

    def keep(self, names: Collection[str]) -> None:
        """Remove every other cluster at once, and keep these in the given order; some may be put later."""
        kept = {name: self._statuses[name] for name in names if name in self._statuses}
        gone = self._statuses.keys() - kept.keys()
        self._statuses = kept
        self._unpolled = {name for name in names if name not in kept or kept[name].last_poll is None}
        self._was_complete = self.was_complete
        for name in gone:
            self._on_removal(name)

    def get(self, name: str) -> ClusterStatus | None:
        """Return a cluster's status, or None if it is not configured."""
        return self._statuses.get(name)

    def statuses(self) -> tuple[ClusterStatus, ...]:
        """Return the status of every cluster, in the order of the configuration."""
        return tuple(self._statuses.values())

    @property
    def unpolled(self) -> int:
        """How many clusters have not been polled once, good or bad."""
        return len(self._unpolled)

    @property
    def was_complete(self) -> bool:
        """Whether every cluster had been polled once, good or bad, now or at any time before."""
        return self._was_complete or not self._unpolled
