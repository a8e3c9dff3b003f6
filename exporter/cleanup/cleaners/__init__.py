"""The clusters that this process may clean, and the cleaner of each.

* :mod:`~exporter.cleanup.cleaners.known_clusters`: who the polled clusters are, and what they list.
* :mod:`~exporter.cleanup.cleaners.cleaned_clusters`: gives each its cleaner and assignment.
* :mod:`~exporter.cleanup.cleaners.cleaner`: one cluster: wait for the lease, recover, run what is due.
* :mod:`~exporter.cleanup.cleaners.recovery`: brings what was left unfinished to its end.
* :mod:`~exporter.cleanup.cleaners.lease_sharing`: this process's share of the leases.
"""
