"""The journal: a store for each thing that it remembers."""

from __future__ import annotations

from exporter.cleanup.journal.database import Database
from exporter.cleanup.journal.deletions import DeletionStore
from exporter.cleanup.journal.leases import LeaseHolder
from exporter.cleanup.journal.runs import RunStore
from exporter.cleanup.journal.seen import SeenStore
from exporter.cleanup.journal.stops import StopStore
from exporter.cleanup.journal.totals import TotalsStore


class Journal:
    """Remembers leases, runs, deletions and packages; :func:`open_journal` opens one.

    Every public method of its stores is one transaction. What it has written is on disk when it returns.
    Each raises JournalError if the database fails; then the step was not stored, or, where no answer came in
    time, it is not known whether it was. Later calls work again by themselves once the database does. A call
    that has begun is brought to its end even if the caller is cancelled.

    What takes a lease confirms it within the transaction: LeaseLostError means that another process has taken
    the cluster over and that nothing was written. StepRefusedError means that what is recorded does not allow
    the step, and nothing was written.

    Times are Unix seconds that the caller gives, besides those of leases and of the daily limit, which are
    the database's. A text may hold any character; NUL and lone surrogates come back as U+FFFD, and messages
    are cut at 1,000 characters.

    Attributes:
        leases: which process cleans which cluster.
        stops: what stops deleting in all processes.
        seen: since when packages have been seen.
        runs: the runs of every policy.
        deletions: what is about to be deleted, and what became of it.
        totals: what has happened since the journal began.
    """

    def __init__(self, database: Database, leases: LeaseHolder) -> None:
        self.leases = leases
        self.stops = StopStore(database)
        self.seen = SeenStore(database, leases)
        self.runs = RunStore(database, leases)
        self.deletions = DeletionStore(database, leases)
        self.totals = TotalsStore(database)
        self._databases = (database, leases.database)

    @property
    def answered_at(self) -> float:
        """When the last transaction came to its end, in the event loop's time."""
        return max(database.answered_at for database in self._databases)
