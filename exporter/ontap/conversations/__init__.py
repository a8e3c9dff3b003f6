"""What to ask a cluster, and what its answers mean. No I/O: a conversation yields requests and gets answers.

* :mod:`~exporter.ontap.conversations.wire`: requests, answers, ONTAP's error bodies, what may be sent again.
* :mod:`~exporter.ontap.conversations.paging`: the pages of a collection, and whether one may be incomplete.
* :mod:`~exporter.ontap.conversations.listing`: the packages collection, page by page.
* :mod:`~exporter.ontap.conversations.facts`: a cluster's identity and the versions that it runs.
* :mod:`~exporter.ontap.conversations.inventory`: what a poll has found: a listing and the facts.
* :mod:`~exporter.ontap.conversations.jobs`: a cluster's jobs, and which one deletes a package.
* :mod:`~exporter.ontap.conversations.deletion`: the deletion of one package.
* :mod:`~exporter.ontap.conversations.versions`: the order of ONTAP releases, and whether one is in use.
"""
