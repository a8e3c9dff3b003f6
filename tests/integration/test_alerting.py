"""An alert goes all the way: cluster, exporter, Prometheus with our rules, Alertmanager with our routes."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from exporter.metrics.clusters import CLUSTER_FAMILIES
from exporter.simulator import Package, SimulatedCluster, Simulator
from exporter.simulator.exporter_configuration import exporter_config, write_secret
from support.alertmanager import alertmanager, needs_alertmanager, webhook
from support.daemon import Daemon, program
from support.prometheus import needs_prometheus, prometheus
from support.rules import PROMETHEUS, quickened_alertmanager, quickened_rules

pytestmark = [needs_prometheus, needs_alertmanager]

OLD = "2019-02-04T19:00:00+00:00"
CLEANUP = """\
cleanup:
  policies:
    - name: retire-old
      clusters: {names: ["ams-*"]}
      every: 1s
      older_than: 1y
      dry_run: false
      seen_for: 0s
"""


def fleet() -> list[SimulatedCluster]:
    now = datetime.now(UTC).isoformat()
    return [
        SimulatedCluster(
            "ams-01",
            version="9.14.1P2",
            packages=[Package("9.12.1", OLD), Package("9.14.1P2", OLD), Package("9.15.1", now)],
            labels={"site": "ams"},
        ),
        SimulatedCluster("gone-01", reachable=False, labels={"site": "fra"}),
    ]


def example(name: str, daemon: Daemon) -> list[dict[str, Any]]:
    """Return the scrape configurations of an example, for this daemon."""
    text = (PROMETHEUS / name).read_text(encoding="utf-8")
    address = daemon.url.removeprefix("http://")
    scrape_configs: list[dict[str, Any]] = yaml.safe_load(text.replace("localhost:10910", address))[
        "scrape_configs"
    ]
    return scrape_configs


def named(name: str, status: str, **labels: str) -> Callable[[dict[str, Any]], bool]:
    wanted = {"alertname": name, **labels}
    return lambda alert: alert["status"] == status and wanted.items() <= alert["labels"].items()


async def test_an_old_package_and_its_deletion_are_reported(tmp_path: Path) -> None:
    async with (
        Simulator(fleet(), directory=tmp_path) as simulator,
        webhook() as hook,
        alertmanager(tmp_path, quickened_alertmanager(hook.url)) as manager,
    ):
        config = tmp_path / "config.yaml"
        write_secret(
            config, exporter_config(simulator, poll_interval="1s", poll_timeout="16s", extra=CLEANUP)
        )
        flags = (f"--config.file={config}", "--web.listen-address=127.0.0.1:0", "--cleanup.halted")
        async with (
            program("run", *flags) as daemon,
            prometheus(
                tmp_path,
                example("prometheus.yaml", daemon),
                rule_files=[quickened_rules(tmp_path / "rules")],
                alerting={"alertmanagers": [{"static_configs": [{"targets": [manager.address]}]}]},
            ),
        ):
            fired = await hook.until(named("OntapUnusedPackageOld", "firing"))
            assert fired["labels"] == {
                "alertname": "OntapUnusedPackageOld",
                "severity": "warning",
                "cluster": "ams-01",
                "version": "9.12.1",
                "site": "ams",
                "job": "ontap-packages",
            }
            assert fired["receiver"] == "storage-team"
            assert fired["annotations"]["summary"] == "The package 9.12.1 on ams-01 is old and not in use."
            assert fired["annotations"]["runbook_url"].endswith("/OntapUnusedPackageOld.md")
            halted = await hook.until(named("OntapCleanupHalted", "firing"))
            assert halted["labels"]["instance"] == daemon.url.removeprefix("http://")

            # The cluster that does not answer is reported once: the alert of its stale listing is inhibited.
            await hook.until(named("OntapClusterDown", "firing", cluster="gone-01", site="fra"))
            await manager.until_inhibited('alertname="OntapListingStale"', 'cluster="gone-01"')

            daemon.process.send_signal(signal.SIGUSR2)
            resolved = await hook.until(named("OntapUnusedPackageOld", "resolved"))
            assert resolved["labels"] == fired["labels"]
            assert simulator["ams-01"].versions == ("9.14.1P2", "9.15.1")
            assert not [a for a in hook.alerts if a["labels"].get("version") in {"9.14.1P2", "9.15.1"}]

            stopped = datetime.now(UTC)
            await daemon.stop()
            is_down = named("OntapAllExportersDown", "firing")
            down = await hook.until(
                lambda alert: is_down(alert) and datetime.fromisoformat(alert["startsAt"]) > stopped
            )
            assert down["receiver"] == "storage-on-call"


async def test_every_cluster_is_a_target_and_no_series_is_stored_twice(tmp_path: Path) -> None:
    async with Simulator(fleet(), directory=tmp_path) as simulator:
        config = tmp_path / "config.yaml"
        write_secret(config, exporter_config(simulator, poll_interval="1s", poll_timeout="16s"))
        flags = (f"--config.file={config}", "--web.listen-address=127.0.0.1:0")
        async with program("run", *flags) as daemon:
            await daemon.until_ready()
            metrics, clusters = example("prometheus-probe.yaml", daemon)
            rule_files = [quickened_rules(tmp_path / "rules")]
            async with prometheus(tmp_path, [metrics, clusters], rule_files=rule_files) as server:
                await server.until('up{job="ontap-packages-clusters", instance="ams-01"} == 1')
                await server.until('up{job="ontap-packages-clusters", instance="gone-01"} == 0')
                await server.until('ontap_up{cluster="gone-01", job="ontap-packages"} == 0')
                names = await server.until(
                    'count by (__name__) ({__name__=~"ontap_.+", job="ontap-packages-clusters"})'
                )
                assert {sample["metric"]["__name__"] for sample in names} == {
                    family.name for family in CLUSTER_FAMILIES if family.while_fresh
                }
                assert not await server.query(
                    "count by (__name__, cluster, version, reason, name, ontap_version, uuid)"
                    ' ({__name__=~"ontap_.+", cluster!=""}) > 1'
                )
                await server.until('ALERTS{alertname="OntapUnusedPackageOld", version="9.12.1"}')
                await server.until('ALERTS{alertname="OntapClusterDown", cluster="gone-01"}')
                await server.until('absent(ALERTS{alertname=~"OntapExporterDown|OntapAllExportersDown"})')
