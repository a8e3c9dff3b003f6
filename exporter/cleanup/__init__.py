"""Deletes packages that a policy has retired, and accounts for every deletion.

What decides is pure:

* :mod:`~exporter.cleanup.releases`: the order of ONTAP releases.
* :mod:`~exporter.cleanup.plan`: what a plan is made from and consists of.
* :mod:`~exporter.cleanup.policy`: makes the plan.
* :mod:`~exporter.cleanup.replies`: what an answer means.
* :mod:`~exporter.cleanup.schedule`: when a policy runs.
* :mod:`~exporter.cleanup.limits`, :mod:`~exporter.cleanup.rules`: a policy's numbers.

What acts:

* :mod:`~exporter.cleanup.evidence` reads what a decision rests on.
* :mod:`~exporter.cleanup.deleter` deletes one package and follows what becomes of it;
  :mod:`~exporter.cleanup.jobs` is what the cluster's jobs tell, :mod:`~exporter.cleanup.outlasting` a wait
  that nothing hurries.
* :mod:`~exporter.cleanup.leftovers` ends what an earlier life or configuration has begun.
* :mod:`~exporter.cleanup.run` is one run of one policy on one cluster.
* :mod:`~exporter.cleanup.keeper` runs one policy on one cluster at its times.
* :mod:`~exporter.cleanup.service` keeps them all; :mod:`~exporter.cleanup.halt` is the brake.

What remembers and shows:

* :mod:`~exporter.cleanup.records`: runs, deletions and outcomes, as values.
* :mod:`~exporter.cleanup.journal` keeps them in SQLite or PostgreSQL.
* :mod:`~exporter.cleanup.board`: the newest state; :mod:`~exporter.cleanup.report`: the account as JSON.

The service and the journal are loaded only where cleanup is configured.
"""
