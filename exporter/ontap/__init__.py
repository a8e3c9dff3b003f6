"""ONTAP's REST API: what to ask, what an answer means, and the client that sends the requests.

* :mod:`~exporter.ontap.endpoint`: the address, login and TLS settings of a cluster (values).
* :mod:`~exporter.ontap.errors`: what can go wrong, one class for each ``reason``.
* :mod:`~exporter.ontap.redaction`: removes secrets from messages of a cluster (no I/O).
* :mod:`~exporter.ontap.wire`: requests, responses, ONTAP's error bodies, and what may be sent again (no I/O).
* :mod:`~exporter.ontap.paging`: next links, and whether a listing may be incomplete (no I/O).
* :mod:`~exporter.ontap.listing`: the packages collection, page by page (no I/O).
* :mod:`~exporter.ontap.facts`: a cluster's identity and the versions that it runs (no I/O).
* :mod:`~exporter.ontap.jobs`: a cluster's jobs, and which one deletes a package (no I/O).
* :mod:`~exporter.ontap.deletion`: the deletion of one package (no I/O).
* :mod:`~exporter.ontap.versions`: the order of ONTAP releases (no I/O).
* :mod:`~exporter.ontap.refusals`: the pause after a 401 (no I/O).
* :mod:`~exporter.ontap.credentials`: reads passwords, tokens and client certificates; never shows them.
* :mod:`~exporter.ontap.tls`: TLS contexts, shared between clusters with equal settings.
* :mod:`~exporter.ontap.session`: the HTTP session of all clusters: names, connections, bounds of answers.
* :mod:`~exporter.ontap.client`: the client of one cluster; it sends all requests.
* :mod:`~exporter.ontap.access`: one cluster's client, and the pauses after its account was refused.

Nothing is imported here: reading a configuration needs the values, not the HTTP client.
"""
