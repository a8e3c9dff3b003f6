"""The dashboards of the exporter, as code that writes Grafana's JSON.

* :mod:`~ontap_dashboards.promql`: the expressions that several dashboards use.
* :mod:`~ontap_dashboards.frame`: what the dashboards share: identity, variables, links.
* :mod:`~ontap_dashboards.styles`: thresholds, value mappings and links to one cluster.
* :mod:`~ontap_dashboards.panels`: stats, graphs, bars and timelines.
* :mod:`~ontap_dashboards.tables`: tables made of several queries.
* :mod:`~ontap_dashboards.fleet_holdings`, :mod:`~ontap_dashboards.fleet_clusters`: rows of the fleet's board.
* :mod:`~ontap_dashboards.fleet`, :mod:`~ontap_dashboards.cluster`, :mod:`~ontap_dashboards.cleanup`,
  :mod:`~ontap_dashboards.exporter`: one dashboard each.
* :mod:`~ontap_dashboards.catalogue`: all of them, as the text of their files.
"""
