"""The daemon: starts everything, applies the configuration, and ends everything in order.

* :mod:`~exporter.app.daemon`: the composition root.
* :mod:`~exporter.app.applied`: the applied configuration: which clusters are polled and cleaned.
* :mod:`~exporter.app.sharding`: which of several processes has a cluster.
* :mod:`~exporter.app.cleanup_manager`: starts, changes and stops cleanup as the configuration says.
* :mod:`~exporter.app.reload`: reads the configuration again, on demand and when cluster files change.
* :mod:`~exporter.app.signals`: what the operating system's signals do.
* :mod:`~exporter.app.once`: polls every cluster once, for ``run --once``.
* :mod:`~exporter.app.event_loop`: which event loop runs, and what it reports by itself.
* :mod:`~exporter.app.garbage_collection`: when garbage is collected.
* :mod:`~exporter.app.systemd`: sockets from systemd, and notifications to it.
"""
