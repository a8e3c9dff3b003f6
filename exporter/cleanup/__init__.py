"""Deletes packages that a policy has retired, and accounts for every deletion.

Loaded only where cleanup is configured.

* :mod:`~exporter.cleanup.releases`: the order of ONTAP releases (pure).
* :mod:`~exporter.cleanup.plan`: what a plan is made from and what it consists of (values).
* :mod:`~exporter.cleanup.policy`: from listing, facts and time to a plan: every package with a reason (pure).
* :mod:`~exporter.cleanup.records`: what the journal remembers: runs, deletions, outcomes (values).
* :mod:`~exporter.cleanup.journal`: the durable memory, in SQLite or PostgreSQL.
"""
