"""ONTAP's REST API: what to ask, what an answer means, and the client that sends the requests.

* :mod:`~exporter.ontap.requests`: what to ask, and what the answers mean (no I/O).
* :mod:`~exporter.ontap.cluster_settings`: the address, login, proxy and TLS settings of a cluster (values).
* :mod:`~exporter.ontap.errors`: what can go wrong, one class for each ``reason``.
* :mod:`~exporter.ontap.redaction`: removes secrets from messages of a cluster (no I/O).
* :mod:`~exporter.ontap.refusals`: the pause after a 401 (no I/O).
* :mod:`~exporter.ontap.credentials`: reads passwords, tokens and client certificates; never shows them.
* :mod:`~exporter.ontap.tokens`: gets bearer tokens from token endpoints (OAuth 2.0).
* :mod:`~exporter.ontap.proxy_headers`: what is sent to a proxy alone.
* :mod:`~exporter.ontap.tls`: TLS contexts, shared between clusters with equal settings.
* :mod:`~exporter.ontap.session`: the HTTP session of all clusters: names, connections, bounds of answers.
* :mod:`~exporter.ontap.client`: the client of one cluster; it sends all requests.
* :mod:`~exporter.ontap.access`: one cluster's client, and the pauses that refusals and Retry-After ask for.

Nothing is imported here: reading a configuration needs the values, not the HTTP client.
"""
