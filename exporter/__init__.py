"""Prometheus exporter for the software package repositories of NetApp ONTAP clusters.

Each room is one step of the flow. CONTRIBUTING.md draws the flows and says which room may import which.

Observe:

* :mod:`exporter.config` turns YAML into a checked configuration.
* :mod:`exporter.polling` polls every cluster at its time and keeps the newest status of each.
* :mod:`exporter.ontap` speaks ONTAP's REST API: what to ask, what an answer means, how to send it.
* :mod:`exporter.metrics` turns statuses into the lines of a scrape.
* :mod:`exporter.web` serves the metrics and pages; :mod:`exporter.web.auth` decides who may see them.

Act:

* :mod:`exporter.cleanup` deletes the packages that a policy has retired, and records every step.

Around them:

* :mod:`exporter.cli` reads the command line, :mod:`exporter.commands` runs the command, and
  :mod:`exporter.planning` makes the plans of ``plan``.
* :mod:`exporter.app` is the daemon: it builds everything and owns the tasks.
* :mod:`exporter.terminal` writes what commands say to a person.
* :mod:`exporter.held_signals` holds signals while the program is loaded.
* :mod:`exporter.logs` writes log lines, :mod:`exporter.files` reads small files, :mod:`exporter.pem`
  certificates and keys.
* :mod:`exporter.background` runs blocking work in threads, and long work in slices;
  :mod:`exporter.concurrency` limits what runs at once.
* :mod:`exporter.simulator` serves simulated clusters and imports nothing else of the package.
"""

PROGRAM = "ontap-packages-exporter"
"""The name of the command and of the distribution."""
__version__ = "0.1.0"
