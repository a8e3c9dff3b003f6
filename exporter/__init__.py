"""Prometheus exporter for the software package repositories of NetApp ONTAP clusters.

The rooms, in the order in which data flows through them:

* :mod:`exporter.cli` reads the command line, and :mod:`exporter.commands` does what it asks for.
* :mod:`exporter.app` is the daemon: it starts everything and owns the tasks.
* :mod:`exporter.config` turns YAML into a checked configuration.
* :mod:`exporter.ontap` speaks ONTAP's REST API: what to ask, what an answer means, how to reach a cluster.
* :mod:`exporter.sharding` tells which process looks after a cluster.
* :mod:`exporter.inventory` is what one poll saw of one cluster.
* :mod:`exporter.polling` polls every cluster at its time and keeps the newest result of each.
* :mod:`exporter.cleanup` deletes what a policy has retired, where one is configured.
* :mod:`exporter.metrics` turns those results into an exposition.
* :mod:`exporter.web` serves it, and :mod:`exporter.web.auth` says to whom.
* :mod:`exporter.planning`, :mod:`exporter.demo` and :mod:`exporter.health` are the commands of these names.
* :mod:`exporter.files` reads small files for all of them.
* :mod:`exporter.simulator` serves simulated clusters and imports nothing else of the package.
"""

__version__ = "0.1.0"
