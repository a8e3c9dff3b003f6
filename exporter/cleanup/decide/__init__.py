"""What is deleted, and when: pure functions of values.

* :mod:`~exporter.cleanup.decide.plan`: a plan, and what it is made from.
* :mod:`~exporter.cleanup.decide.policy`: the rule that deletes: every package with its verdict and reason.
* :mod:`~exporter.cleanup.decide.schedule`: when a policy runs.
"""
