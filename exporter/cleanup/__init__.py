"""Deletes packages that a policy has retired, and accounts for every deletion.

What decides is pure:

* :mod:`~exporter.cleanup.plan`: what a plan is made from and consists of.
* :mod:`~exporter.cleanup.policy`: makes the plan.
* :mod:`~exporter.cleanup.replies`: what an answer means.
* :mod:`~exporter.cleanup.schedule`: when a policy runs.
* :mod:`~exporter.cleanup.limits`, :mod:`~exporter.cleanup.rules`: a policy's numbers.

What acts:

* :mod:`~exporter.cleanup.preflight` reads what a decision rests on.
* :mod:`~exporter.cleanup.deleter` deletes one package and follows what becomes of it;
  :mod:`~exporter.cleanup.cluster_jobs` reads the cluster's jobs; :mod:`~exporter.cleanup.uninterrupted` waits
  without being cancelled.
* :mod:`~exporter.cleanup.recovery` ends what an earlier life or configuration has begun.
* :mod:`~exporter.cleanup.run` is one run of one policy on one cluster.
* :mod:`~exporter.cleanup.policy_scheduler` runs one policy on one cluster at its times.
* :mod:`~exporter.cleanup.service` keeps them all; :mod:`~exporter.cleanup.kill_switch` is the kill switch.

What remembers and shows:

* :mod:`~exporter.cleanup.records`: runs, deletions and outcomes, as values.
* :mod:`~exporter.cleanup.journal` keeps them in SQLite or PostgreSQL.
* :mod:`~exporter.cleanup.cleanup_board`: the newest status; :mod:`~exporter.cleanup.report`: that as JSON.

The service and the journal are loaded only where cleanup is configured.
"""
