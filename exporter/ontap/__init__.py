"""ONTAP's REST API: what to ask, what an answer means, and one client that sends it.

* :mod:`~exporter.ontap.endpoint`: where a cluster is, how to log in, how to trust it (values).
* :mod:`~exporter.ontap.errors`: what can go wrong, one class for each ``reason``.
* :mod:`~exporter.ontap.redaction`: secrets in what a cluster says (no I/O).
* :mod:`~exporter.ontap.wire`: requests, responses, ONTAP's error bodies, and what may be sent again (no I/O).
* :mod:`~exporter.ontap.paging`: next links, and the rule for listings cut short (no I/O).
* :mod:`~exporter.ontap.listing`: the packages collection, page by page (no I/O).
* :mod:`~exporter.ontap.facts`: a cluster's identity and the versions that it runs (no I/O).
* :mod:`~exporter.ontap.jobs`: a cluster's jobs, and which one deletes a package (no I/O).
* :mod:`~exporter.ontap.deletion`: the deletion of one package (no I/O).
* :mod:`~exporter.ontap.versions`: the order of ONTAP releases (no I/O).
* :mod:`~exporter.ontap.refusals`: how long to leave a cluster alone after a 401 (no I/O).
* :mod:`~exporter.ontap.credentials`: what a login sends, read from its files and never shown.
* :mod:`~exporter.ontap.tls`: TLS contexts, shared between clusters with equal settings.
* :mod:`~exporter.ontap.client`: the only HTTP client; it carries out everything above.
* :mod:`~exporter.ontap.access`: one cluster's client, and the lock-out of the account it uses.

Nothing is imported here: reading a configuration needs the values, not the HTTP client.
"""
