"""An alert goes all the way: cluster, exporter, Prometheus with our rules, Alertmanager with our routes."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from exporter.metrics.cluster_metrics import CLUSTER_FAMILIES, update_cluster
from exporter.metrics.exposition import Exposition
from exporter.metrics.text import Format
from exporter.ontap.errors import Reason
from exporter.ontap.requests.inventory import Inventory
from exporter.ontap.requests.listing import Listing
from exporter.ontap.requests.listing import Package as ListedPackage
from exporter.polling.board import ClusterStatus, Poll, PollFailure
from exporter.simulator import Package, SimulatedCluster, Simulator
from exporter.simulator.exporter_configuration import exporter_config, write_secret
from support.alertmanager import alertmanager, needs_alertmanager, webhook
from support.daemon_process import Daemon, program
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
                "severity": "info",
                "cluster": "ams-01",
                "site": "ams",
            }
            assert fired["receiver"] == "storage-team"
            assert fired["annotations"]["summary"] == "ams-01 holds old packages that are not in use."
            assert "not in use: 1." in fired["annotations"]["description"]
            assert fired["annotations"]["runbook_url"].endswith("/OntapUnusedPackageOld.md")
            halted = await hook.until(named("OntapCleanupHalted", "firing"))
            assert halted["labels"]["job"] == "ontap-packages"

            # The cluster that does not answer is reported once: the alert of its stale listing is inhibited.
            await hook.until(named("OntapClusterDown", "firing", cluster="gone-01", site="fra"))
            await manager.until_inhibited('alertname="OntapListingStale"', 'cluster="gone-01"')

            daemon.process.send_signal(signal.SIGUSR2)
            resolved = await hook.until(named("OntapUnusedPackageOld", "resolved"))
            assert resolved["labels"] == fired["labels"]
            assert simulator["ams-01"].versions == ("9.14.1P2", "9.15.1")

            stopped = datetime.now(UTC)
            await daemon.stop()
            is_down = named("OntapAllExportersDown", "firing")
            down = await hook.until(
                lambda alert: is_down(alert) and datetime.fromisoformat(alert["startsAt"]) > stopped
            )
            assert down["receiver"] == "storage-on-call"


FLEET = 300
STORM_SECONDS = 12.0
"""Longer than any time that a hundredth of the rules' times comes to here."""


def status(number: int) -> ClusterStatus:
    """Return a cluster that was polled well a moment ago."""
    packages = (ListedPackage(version="9.14.1P2", create_timestamp_seconds=time.time()),)
    inventory = Inventory(
        listing=Listing(packages=packages, unnamed=0, pages=1),
        identity=None,
        versions_in_use=frozenset({"9.14.1P2"}),
    )
    good = Poll(ended_timestamp_seconds=time.time(), duration_seconds=0.1, failure=None)
    return ClusterStatus(
        name=f"c{number:03}", address="https://10.20.0.5:443", labels=(), stale_after_seconds=900.0
    ).after_success(good, inventory)


def refused(good: ClusterStatus) -> ClusterStatus:
    """Return the cluster after a poll whose login it refused."""
    failure = PollFailure(reason=Reason.UNAUTHORIZED, message="HTTP 401")
    poll = Poll(ended_timestamp_seconds=time.time(), duration_seconds=0.1, failure=failure)
    return good.after_failure(poll, failure)


@asynccontextmanager
async def served(exposition: Exposition[ClusterStatus]) -> AsyncIterator[str]:
    """Serve the metrics of clusters alone, and give the address."""

    async def metrics(_: web.Request) -> web.Response:
        body = b"".join(exposition.all().blocks(now=time.time(), form=Format.TEXT))
        return web.Response(body=body, headers={"Content-Type": str(Format.TEXT)})

    application = web.Application()
    application.add_routes([web.get("/metrics", metrics)])
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"{host}:{port}"
    finally:
        await runner.cleanup()


async def test_a_password_that_changes_on_300_clusters_is_at_most_three_messages(tmp_path: Path) -> None:
    fleet = [status(number) for number in range(FLEET)]
    exposition = Exposition(CLUSTER_FAMILIES)
    for one in fleet:
        update_cluster(exposition, one)
    async with (
        served(exposition) as address,
        webhook() as hook,
        alertmanager(tmp_path, quickened_alertmanager(hook.url, group_wait_seconds=0.6)) as manager,
        prometheus(
            tmp_path,
            [
                {
                    "job_name": "ontap-packages",
                    "honor_labels": True,
                    "static_configs": [{"targets": [address]}],
                }
            ],
            rule_files=[quickened_rules(tmp_path / "rules", most_seconds=STORM_SECONDS)],
            alerting={"alertmanagers": [{"static_configs": [{"targets": [manager.address]}]}]},
        ) as server,
    ):
        await server.until(f"job:ontap_up:count == {FLEET}")
        for one in fleet:
            update_cluster(exposition, refused(one))
        told = await hook.until(named("OntapManyPasswordsRefused", "firing"))
        assert told["receiver"] == "storage-team"
        assert f"{FLEET} clusters" in told["annotations"]["description"]
        for name in ("OntapPasswordRefused", "OntapClusterDown"):
            await server.until(f'count(ALERTS{{alertname="{name}", alertstate="firing"}}) == {FLEET}')
            await manager.until_inhibited(f'alertname="{name}"')
        for one in fleet:
            update_cluster(exposition, one)
        await hook.until(named("OntapManyPasswordsRefused", "resolved"))
        await server.until('absent(ALERTS{alertname=~"Ontap(PasswordRefused|ClusterDown)"})')
    assert len(hook.messages) <= 3, hook.messages
    assert {name for _, names in hook.messages for name in names} == {"OntapManyPasswordsRefused"}
    assert {receiver for receiver, _ in hook.messages} == {"storage-team"}


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
                await server.until('ALERTS{alertname="OntapUnusedPackageOld", cluster="ams-01"}')
                await server.until('ALERTS{alertname="OntapClusterDown", cluster="gone-01"}')
                await server.until('absent(ALERTS{alertname=~"OntapExporterDown|OntapAllExportersDown"})')
