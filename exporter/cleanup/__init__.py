"""Deletes packages that a policy has retired, and accounts for every deletion.

What decides:

* :mod:`~exporter.cleanup.decide`: what is deleted, and when: plan, policy, schedule.
* :mod:`~exporter.cleanup.policy_values`: a configured policy as the values that the pure parts take.
* :mod:`~exporter.cleanup.delete`: one deletion; its life is a pure machine with one loop around it.

What acts:

* :mod:`~exporter.cleanup.service`: the journal and its heartbeats.
* :mod:`~exporter.cleanup.cleaners`: the clusters that this process may clean, and the cleaner of each.
* :mod:`~exporter.cleanup.run`: one run of one policy on one cluster.
* :mod:`~exporter.cleanup.preflight`: what a decision rests on, read afresh.
* :mod:`~exporter.cleanup.approval`: what a saved plan lets a policy delete.
* :mod:`~exporter.cleanup.kill_switch`: what stops these; :mod:`exporter.concurrency` limits them.

What remembers and shows:

* :mod:`~exporter.cleanup.outcomes`: how a deletion can end, and why a run can fail.
* :mod:`~exporter.cleanup.records`: runs, deletions and leases, as values.
* :mod:`~exporter.cleanup.journal`: keeps them in SQLite or PostgreSQL.
* :mod:`~exporter.cleanup.cleanup_board`: the newest status.

The service and the journal are loaded only if cleanup is configured.
"""
