"""Renders the newest results as an exposition.

* :mod:`~exporter.metrics.family`: a row of a table of metrics.
* :mod:`~exporter.metrics.text`: label values, numbers and headers as Prometheus and OpenMetrics write them.
* :mod:`~exporter.metrics.exposition`: lines that are rendered when a value changes and joined at the scrape.
* :mod:`~exporter.metrics.cluster_metrics`, :mod:`~exporter.metrics.cleanup_metrics` and
  :mod:`~exporter.metrics.exporter_metrics`: the tables of metrics; a test compares them with docs/metrics.md.
* :mod:`~exporter.metrics.process`: the process's own memory, CPU time and interpreter.
"""
