"""Metrics that dashboards ask for although the exporter does not have them yet, and why."""

PENDING = {
    "ontap_exporter_cluster_files": "is added together with the watching of cluster_files",
    "ontap_exporter_cluster_files_failed": "is added together with the watching of cluster_files",
}
