"""The journal: what cleanup intends and what became of it, kept in SQLite or PostgreSQL.

An intent is committed before DELETE is sent and the outcome after, so that a crash at any moment leaves
either an unfinished deletion to go on with or an ended one, counted once.

::

    journal             from a database URL to a store for each thing that is remembered
    leases              which process cleans which cluster
    stops               what stops deleting in all processes
    seen                since when packages have been seen
    runs, deletions     runs and deletions, and which step may follow which
    totals              the totals, which survive pruning
    tables              the tables; migrations makes them
    database            transactions, completed or rolled back, also if their caller is cancelled
    sqlite, postgresql  how each database is reached
    journal_errors      what can go wrong
"""

from __future__ import annotations

from exporter.cleanup.journal.journal import Journal, open_journal, read_journal
from exporter.cleanup.journal.journal_errors import (
    JournalError,
    LeaseLostError,
    SchemaChangedError,
    StepRefusedError,
)

__all__ = [
    "Journal",
    "JournalError",
    "LeaseLostError",
    "SchemaChangedError",
    "StepRefusedError",
    "open_journal",
    "read_journal",
]
