"""A real Prometheus scrapes the real program, which polls simulated clusters."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from exporter.simulator import Fault, FaultKind, Package, SimulatedCluster, Simulator
from exporter.simulator.exporter_configuration import exporter_config, write_secret
from support.daemon_process import Daemon, program
from support.prometheus import needs_prometheus, prometheus

pytestmark = needs_prometheus

AWKWARD = 'quote " backslash \\ newline \n umlaut ü'


def fleet() -> list[SimulatedCluster]:
    return [
        SimulatedCluster(
            "ams-01",
            version="9.14.1P2",
            packages=[
                Package("9.13.1", "2023-06-22T12:00:00+02:00"),
                Package("9.14.1P2", "2024-03-03 01:32:05 +0000"),
                Package("9.15.1", None),
            ],
            labels={"site": "ams"},
        ),
        SimulatedCluster("empty-01", labels={"site": AWKWARD}),
        SimulatedCluster("gone-01", reachable=False),
    ]


def scrape(daemon: Daemon) -> list[dict[str, object]]:
    target = daemon.url.removeprefix("http://")
    return [{"job_name": "ontap", "static_configs": [{"targets": [target]}], "honor_labels": True}]


async def test_prometheus_sees_what_the_clusters_hold(tmp_path: Path) -> None:
    async with Simulator(fleet(), directory=tmp_path) as simulator:
        config = tmp_path / "config.yaml"
        text = exporter_config(simulator, poll_interval="1s", poll_timeout="16s")
        write_secret(config, text.replace("tls_config:", "stale_after: 3s\n  tls_config:", 1))
        async with program("run", f"--config.file={config}", "--web.listen-address=127.0.0.1:0") as daemon:
            await daemon.until_ready()
            async with prometheus(tmp_path, scrape(daemon)) as server:
                await server.until('ontap_software_packages{cluster="ams-01"} == 3')
                labels = {"cluster": "ams-01", "job": "ontap", "site": "ams"}

                ages = await server.query(
                    'abs(time() - ontap_software_package_create_timestamp_seconds{cluster="ams-01"}'
                    " - ontap_software_package_age_seconds)"
                )
                assert {sample["metric"]["version"] for sample in ages} == {"9.13.1", "9.14.1P2"}
                assert all(sample["value"] < 2 for sample in ages)
                created = await server.query(
                    'ontap_software_package_create_timestamp_seconds{version="9.13.1"}'
                )
                assert created[0]["value"] == 1687428000
                assert labels.items() <= created[0]["metric"].items()
                in_use = await server.query('ontap_software_package_in_use{cluster="ams-01"}')
                assert {sample["metric"]["version"]: sample["value"] for sample in in_use} == {
                    "9.13.1": 0,
                    "9.14.1P2": 1,
                    "9.15.1": 0,
                }

                empty = await server.query('ontap_software_packages{cluster="empty-01"}')
                assert [sample["value"] for sample in empty] == [0]
                assert empty[0]["metric"]["site"] == AWKWARD

                up = {s["metric"]["cluster"]: s["value"] for s in await server.query("ontap_up")}
                assert up == {"ams-01": 1, "empty-01": 1, "gone-01": 0}
                failures = await server.query(
                    'ontap_poll_failures_total{cluster="gone-01",reason="connection"} > 0'
                )
                assert failures

                simulator["ams-01"].faults.add(Fault(FaultKind.SERVER_ERROR))
                await server.until('ontap_up{cluster="ams-01"} == 0')
                await server.until('absent(ontap_software_packages{cluster="ams-01"})')
                assert not await server.query('{__name__=~"ontap_software_package_.+",cluster="ams-01"}')
                last_good = await server.query(
                    'ontap_last_successful_poll_timestamp_seconds{cluster="ams-01"}'
                )
                assert 3 < time.time() - last_good[0]["value"] < 60
                assert await server.query('ontap_software_packages{cluster="empty-01"}')

                simulator["ams-01"].faults.clear()
                await server.until('ontap_software_packages{cluster="ams-01"} == 3')


async def test_promtool_finds_nothing_to_say_about_the_output(tmp_path: Path) -> None:
    async with Simulator(fleet(), directory=tmp_path) as simulator:
        config = tmp_path / "config.yaml"
        write_secret(config, exporter_config(simulator))
        async with program("run", f"--config.file={config}", "--web.listen-address=127.0.0.1:0") as daemon:
            await daemon.until_ready()
            status, metrics = await daemon.get("/metrics")
            assert status == 200
    promtool = await asyncio.create_subprocess_exec(
        "promtool",
        "check",
        "metrics",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await promtool.communicate(metrics.encode())
    assert (promtool.returncode, said.decode()) == (0, "")
