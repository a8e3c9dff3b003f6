"""The ``plan`` command: what every policy would do now.

* :mod:`~exporter.planning.fleet_plans` reads the clusters and makes the plans.
* :mod:`~exporter.planning.plan_tables` writes them for people.
* :mod:`~exporter.planning.saved_plans` writes them as JSON, and says what has changed since.
"""
