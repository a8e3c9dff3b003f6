"""Serves what is known. No handler ever waits for a cluster.

* :mod:`~exporter.web.listen`: addresses to listen on, as Prometheus writes them.
* :mod:`~exporter.web.sources`: what the handlers read, given by the composition root.
* :mod:`~exporter.web.accept`: what a client accepts (pure).
* :mod:`~exporter.web.sending`: answers that are made as their client takes them.
* :mod:`~exporter.web.scrape`: ``/metrics`` and ``/probe``, in either format, compressed where asked for.
* :mod:`~exporter.web.discovery`: ``/sd``.
* :mod:`~exporter.web.pages`: the status page, ``/api/v1/clusters`` and ``/config``.
* :mod:`~exporter.web.connection`: how long a connection of a client may take for what, and its mistakes.
* :mod:`~exporter.web.listeners`: sockets on which connections are taken, with TLS or without, and how many.
* :mod:`~exporter.web.server`: the routes, health checks and the listening server.
"""
