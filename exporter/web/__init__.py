"""Serves what is known. No handler ever waits for a cluster.

* :mod:`~exporter.web.routes`: the routes, the health checks, and serving them.
* :mod:`~exporter.web.site`: where browsers find the pages, and what protects the pages from other sites.
* :mod:`~exporter.web.connections`: the time limits of a client's connection.
* :mod:`~exporter.web.admission`: how many connections there may be.
* :mod:`~exporter.web.auth`: who may see the pages.
* :mod:`~exporter.web.sources`: what the handlers read, given by the composition root.
* :mod:`~exporter.web.parameters`: what a request asks for.
* :mod:`~exporter.web.answers`: long answers, shared by all who ask for them.
* :mod:`~exporter.web.scrape`: ``/metrics`` and ``/probe``, in either format, compressed if asked for.
* :mod:`~exporter.web.json_api`: ``/api/v1/clusters``, ``/api/v1/cleanup``, ``/sd`` and ``/config``.
* :mod:`~exporter.web.cleanup_json`: the report on cleanup, page by page.
* :mod:`~exporter.web.pages`: the pages for people.
* :mod:`~exporter.web.addresses`: addresses to listen on, and which address counts as one client.
"""
