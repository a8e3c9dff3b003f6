"""The newest status of every policy on every cluster: immutable values, for metrics and pages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from exporter.background import in_slices
from exporter.cleanup.outcomes import Outcome, RunFailure
from exporter.cleanup.records import Durations, PolicyPause, PolicyTotals, Totals

if TYPE_CHECKING:
    from exporter.cleanup.journal.totals import TotalsStore

Key = tuple[str, str]
"""Cluster and policy."""
NO_TOTALS = PolicyTotals(outcomes=MappingProxyType(dict.fromkeys(Outcome, 0)), codes=MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyStatus:
    """What is known of one policy on one cluster.

    Attributes:
        labels: the cluster's configured labels, ordered by name.
        recorded: what the journal has counted.
        is_counted: whether ``recorded`` has been read; until then, no counter is exposed, for it would begin
            at 0 and then jump.
        in_progress: deletions that are being followed now.
        next_run_timestamp_seconds: when the next run is due; None while that is not known.
        skipped_runs: runs that came due while one was going on, since the program started.
        problem: why nothing is cleaned on the cluster at the moment; "" if nothing prevents it.
        failure: why the last attempt could not begin a run, which the journal then does not have; None if it
            could.
        failed_timestamp_seconds: when that attempt was; not before the journal's last run ended.
    """

    cluster: str
    labels: tuple[tuple[str, str], ...]
    policy: str
    dry_run: bool
    recorded: PolicyTotals = NO_TOTALS
    is_counted: bool = False
    in_progress: int = 0
    next_run_timestamp_seconds: float | None = None
    skipped_runs: int = 0
    problem: str = ""
    failure: RunFailure | None = None
    failed_timestamp_seconds: float = 0.0

    @property
    def key(self) -> Key:
        """Cluster and policy."""
        return (self.cluster, self.policy)

    @property
    def totals(self) -> PolicyTotals:
        """What the journal has counted; an attempt that failed after its last run counts as the last run."""
        last_ended = self.recorded.last_ended_timestamp_seconds or 0.0
        if self.failure is None or last_ended > self.failed_timestamp_seconds:
            return self.recorded
        return replace(
            self.recorded,
            last_ended_timestamp_seconds=self.failed_timestamp_seconds,
            last_success=False,
            last_failure=self.failure.value,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseStatus:
    """Whether this process holds a cluster's lease, so that it may clean it."""

    cluster: str
    labels: tuple[tuple[str, str], ...]
    held: bool


class CleanupBoard:
    """Holds the status of every policy on every cluster.

    Args:
        on_change: called with each new status, on the event loop.
        on_removal: called with the key of each status that is taken out.
        on_lease: called with each new status of a lease.
        on_lease_removal: called with the name of each cluster that is not cleaned any more.

    Attributes:
        durations: how long deletions took, by policy, as the journal remembers.
        paused: policies that are paused after failures, by name and digest of their rules.
        reads_all_totals: whether the next reading takes all totals, not only those that have changed: the
            journal was opened anew, or may have totals of a new status.
    """

    def __init__(
        self,
        *,
        on_change: Callable[[PolicyStatus], None],
        on_removal: Callable[[Key], None] = lambda _: None,
        on_lease: Callable[[LeaseStatus], None] = lambda _: None,
        on_lease_removal: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._on_change = on_change
        self._on_removal = on_removal
        self._on_lease = on_lease
        self._on_lease_removal = on_lease_removal
        self._leases: dict[str, LeaseStatus] = {}
        self._statuses: dict[Key, PolicyStatus] = {}
        self.durations: Mapping[str, Durations] = {}
        self.paused: Mapping[tuple[str, str], PolicyPause] = {}
        self.reads_all_totals = True
        self._totals_read_until: float | None = None
        self._reading_totals = asyncio.Lock()

    def put(self, status: PolicyStatus) -> None:
        """Add or replace a status; one that says the same stays."""
        known = self._statuses.get(status.key)
        if status != known:
            self.reads_all_totals |= known is None
            self._statuses[status.key] = status
            self._on_change(status)

    def keep(self, keys: Iterable[Key]) -> None:
        """Take out every other status at once, and keep these in the given order."""
        kept = {key: self._statuses[key] for key in keys if key in self._statuses}
        gone = [key for key in self._statuses if key not in kept]
        self._statuses = kept
        for key in gone:
            self._on_removal(key)

    async def put_leases(self, leases: Iterable[LeaseStatus]) -> None:
        """Replace the status of every lease; a reload and a heartbeat may do so at the same time."""
        gone = set(self._leases)
        async for lease in in_slices(leases):
            gone.discard(lease.cluster)
            if self._leases.get(lease.cluster) != lease:
                self._leases[lease.cluster] = lease
                self._on_lease(lease)
        for name in gone & self._leases.keys():
            del self._leases[name]
            self._on_lease_removal(name)

    def leases(self) -> tuple[LeaseStatus, ...]:
        """Return the status of every lease."""
        return tuple(self._leases.values())

    def change(self, key: Key, change: Callable[[PolicyStatus], PolicyStatus]) -> None:
        """Replace the status of a policy on a cluster, if there is one."""
        if (status := self._statuses.get(key)) is not None:
            self.put(change(status))

    def show_problem(
        self, key: Key, problem: str, *, failure: RunFailure | None = None, now: float = 0.0
    ) -> None:
        """Show why nothing is cleaned; "" if nothing prevents it any more.

        ``failure`` says why no run can begin; it is shown as if a run had failed and ended ``now``.
        """
        if (status := self._statuses.get(key)) is None:
            return
        changed = replace(status, problem=problem)
        if failure is not None:
            failed_at = max(now, status.recorded.last_ended_timestamp_seconds or 0.0)
            changed = replace(changed, failure=failure, failed_timestamp_seconds=failed_at)
        elif not problem:
            changed = replace(changed, failure=None)
        self.put(changed)

    async def forget_cleaners(self) -> None:
        """Clear what only a running cleaner knows (problem, next run, internal error): no cleaner runs."""
        async for status in in_slices(self.statuses()):
            failure = None if status.failure is RunFailure.INTERNAL_ERROR else status.failure
            if self._statuses.get(status.key) is status:
                self.put(replace(status, failure=failure, problem="", next_run_timestamp_seconds=None))

    @contextmanager
    def in_progress(self, key: Key) -> Iterator[None]:
        """Count a deletion as being followed for as long as the context lasts."""
        self.change(key, lambda status: replace(status, in_progress=status.in_progress + 1))
        try:
            yield
        finally:
            # Never below 0: the status may have been taken out meanwhile, and another put in its place.
            self.change(key, lambda status: replace(status, in_progress=max(status.in_progress - 1, 0)))

    def get(self, key: Key) -> PolicyStatus | None:
        """Return a status."""
        return self._statuses.get(key)

    def statuses(self) -> tuple[PolicyStatus, ...]:
        """Return every status."""
        return tuple(self._statuses.values())

    async def read_totals(self, journal: TotalsStore) -> None:
        """Show every total that has changed in the journal since the last reading.

        Raises:
            JournalError: the journal cannot be read; the next reading begins where the last good one ended.
        """
        async with self._reading_totals:
            if self.reads_all_totals:
                self._totals_read_until, self.reads_all_totals = None, False
            read_until, known = self._totals_read_until, tuple(self._statuses)
            async for totals in journal.changed(read_until):
                await self.put_totals(totals)
                read_until = totals.read_until
            self._totals_read_until = read_until
            if not self.reads_all_totals:  # else a status that was put anew may have missed its page
                await self.mark_counted(known)

    async def put_totals(self, totals: Totals) -> None:
        """Replace the totals that have changed in the journal, by whichever process."""
        self.durations = self.durations if totals.durations is None else totals.durations
        async for key, counted in in_slices(totals.policies.items()):
            if (status := self._statuses.get(key)) is not None:
                self.put(replace(status, recorded=counted, is_counted=True))

    async def mark_counted(self, keys: Iterable[Key]) -> None:
        """Mark statuses as counted: all totals were read, so a status without any has none in the journal."""
        async for key in in_slices(keys):
            status = self._statuses.get(key)
            if status is not None and not status.is_counted:
                self.put(replace(status, is_counted=True))
