"""What to ask a cluster, and what its answers mean. No I/O: a conversation yields requests and gets answers.

* :mod:`~exporter.ontap.requests.messages`: requests, answers, ONTAP's error bodies, what may be sent again.
* :mod:`~exporter.ontap.requests.paging`: the pages of a collection, and whether one may be incomplete.
* :mod:`~exporter.ontap.requests.listing`: the packages collection, page by page.
* :mod:`~exporter.ontap.requests.facts`: a cluster's identity and the versions that it runs.
* :mod:`~exporter.ontap.requests.inventory`: what a poll has found: a listing and the facts.
* :mod:`~exporter.ontap.requests.jobs`: a cluster's jobs, and which one deletes a package.
* :mod:`~exporter.ontap.requests.deletion`: the deletion of one package.
* :mod:`~exporter.ontap.requests.versions`: the order of ONTAP releases, and whether one is in use.
"""
