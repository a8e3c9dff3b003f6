// The rules and dashboards as a monitoring mixin, for those who deploy with jsonnet.
// To change them, change mixin.yaml and run `make mixin`: it writes what is imported here.
{
  grafanaDashboards+:: {
    'ontap-packages-cleanup.json': import 'dashboards/cleanup.json',
    'ontap-packages-cluster.json': import 'dashboards/cluster.json',
    'ontap-packages-exporter.json': import 'dashboards/exporter.json',
    'ontap-packages-fleet.json': import 'dashboards/fleet.json',
  },
  prometheusRules+:: { groups+: (import 'prometheus_rules.json').groups },
  prometheusAlerts+:: { groups+: (import 'prometheus_alerts.json').groups },
}
