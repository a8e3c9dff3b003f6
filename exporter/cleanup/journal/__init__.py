"""The journal: what cleanup intends and what became of it, kept in SQLite or PostgreSQL.

An intent is committed before DELETE is sent and the outcome after, so that a crash at any moment leaves
either an unended deletion to go on with or an ended one, counted once.

::

    opening      the whole way from an address to a journal
    journal      the API: every transition is one transaction
    runs, deletions   what may follow upon what
    history      runs with their deletions, read and pruned
    totals      the totals that survive pruning
    schema       the tables; migrations builds and changes them
    database     one connection, one transaction at a time, never cut short
    sqlite, postgresql   how each database is reached and held by one process alone
    places       where the state is, as the operator wrote it
    errors       what can go wrong
"""

from __future__ import annotations

from exporter.cleanup.journal.journal import Journal
from exporter.cleanup.journal.journal_errors import JournalError, JournalInUseError
from exporter.cleanup.journal.opening import open_journal

__all__ = ["Journal", "JournalError", "JournalInUseError", "open_journal"]
