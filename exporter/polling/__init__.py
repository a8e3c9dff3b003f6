"""Polls every cluster at its time and keeps the newest status of each.

* :mod:`~exporter.polling.due_times`: when polls of a cluster are due (pure).
* :mod:`~exporter.polling.board`: the newest status of every cluster, as immutable values.
* :mod:`~exporter.polling.cluster_reading`: one poll: the listing, then the facts.
* :mod:`~exporter.polling.limiter`: how many polls run at once.
* :mod:`~exporter.polling.lateness`: whether polls start when they are due, and the event loop's lag.
* :mod:`~exporter.polling.poller`: one cluster's endless loop, and what it logs.
* :mod:`~exporter.polling.fleet`: the pollers of all clusters.
"""
