"""The mixin: from ``mixin.yaml`` come the rules for Prometheus and the dashboards.

* :mod:`~ontap_mixin.settings`: ``mixin.yaml`` as a value.
* :mod:`~ontap_mixin.rules`: what a rule is, and how expressions are put together.
* :mod:`~ontap_mixin.cluster_rules`, :mod:`~ontap_mixin.package_rules`, :mod:`~ontap_mixin.cleanup_rules`,
  :mod:`~ontap_mixin.exporter_rules`: the rules.
* :mod:`~ontap_mixin.output`: all files that are made from them, as texts.
"""
