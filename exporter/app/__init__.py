"""The daemon: starts everything, applies the configuration, and ends everything in order.

* :mod:`~exporter.app.daemon`: the composition root.
* :mod:`~exporter.app.applied`: applies a configuration: polls and cleans its clusters from then on.
* :mod:`~exporter.app.cleaning`: cleanup, which a configuration may switch on, change and switch off.
* :mod:`~exporter.app.reload`: reads the configuration again, on demand and when cluster files change.
* :mod:`~exporter.app.signals`: what the operating system's signals do.
* :mod:`~exporter.app.systemd`: sockets from systemd, and notifications to it.
"""
