"""Turns the newest results into an exposition.

* :mod:`~exporter.metrics.family`: what a row of a table of metrics says.
* :mod:`~exporter.metrics.text`: label values, numbers and headers as Prometheus and OpenMetrics write them.
* :mod:`~exporter.metrics.exposition`: lines that are rendered when a value changes and joined at the scrape.
* :mod:`~exporter.metrics.clusters`, :mod:`~exporter.metrics.cleanup`, :mod:`~exporter.metrics.exporter`: the
  tables, to which docs/metrics.md is held.
* :mod:`~exporter.metrics.process`: the process's own memory, CPU time and interpreter.
"""
