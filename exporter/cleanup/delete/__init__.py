"""One deletion, from the decision to the outcome.

* :mod:`~exporter.cleanup.delete.lifecycle`: its life as a machine (pure).
* :mod:`~exporter.cleanup.delete.steps`: its events and actions, as values (pure).
* :mod:`~exporter.cleanup.delete.replies`: what an answer of ONTAP means for it (pure).
* :mod:`~exporter.cleanup.delete.limits`: how long it is tried and followed, and the pauses (pure).
* :mod:`~exporter.cleanup.delete.driver`: the loop that performs what the machine asks for.
"""
