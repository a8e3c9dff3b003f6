"""Turns the newest results into an exposition.

* :mod:`~exporter.metrics.families`: the table of all metrics; docs/metrics.md is held to it.
* :mod:`~exporter.metrics.text`: label values, numbers and headers as Prometheus and OpenMetrics write them.
* :mod:`~exporter.metrics.exposition`: each cluster's lines, rendered once per poll and joined at the scrape.
* :mod:`~exporter.metrics.process`: the process's own memory, CPU time and interpreter.
"""
