"""The daemon: builds everything, keeps the configuration in force, and takes it all down in order.

* :mod:`~exporter.daemon.app`: the composition root.
* :mod:`~exporter.daemon.force`: puts a configuration in force, over the one before it.
* :mod:`~exporter.daemon.cleaning`: cleanup, which a configuration may switch on, change and switch off.
* :mod:`~exporter.daemon.reload`: reads the configuration again, on demand and when cluster files change.
* :mod:`~exporter.daemon.signals`: what the operating system's signals do.
* :mod:`~exporter.daemon.garbage`: keeps Python's garbage collector from stopping everything.
* :mod:`~exporter.daemon.systemd`: sockets from systemd, and telling it how things stand.
"""
