"""A real Prometheus discovers every cluster at ``/sd``, and has a real ``up`` for each of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from exporter.simulator import Fault, FaultKind, SimulatedCluster, Simulator
from exporter.simulator.exporter_configuration import exporter_config, write_secret
from support.daemon_process import program
from support.prometheus import needs_prometheus, prometheus

pytestmark = needs_prometheus

LISTEN = "--web.listen-address=127.0.0.1:0"


def discovered(*addresses: str) -> list[dict[str, Any]]:
    """Return the jobs that discover at these exporters, as the documentation has them."""
    return [
        {
            "job_name": f"ontap-{number}",
            "metrics_path": "/probe",
            "honor_labels": True,
            "http_sd_configs": [{"url": f"http://{address}/sd", "refresh_interval": "1s"}],
            "relabel_configs": [
                {"source_labels": ["__address__"], "target_label": "__param_target"},
                {"source_labels": ["__param_target"], "target_label": "instance"},
                {"target_label": "__address__", "replacement": address},
            ],
        }
        for number, address in enumerate(addresses)
    ]


async def test_every_cluster_is_a_target_with_an_up_of_its_own(tmp_path: Path) -> None:
    clusters = [
        SimulatedCluster("ams-01", packages=["9.13.1"], labels={"site": "ams"}),
        SimulatedCluster('awkward "name" / ü & co', packages=["9.14.1"]),
    ]
    async with Simulator(clusters, directory=tmp_path) as simulator:
        config = tmp_path / "config.yaml"
        text = exporter_config(simulator, poll_interval="1s", poll_timeout="16s")
        write_secret(config, text.replace("tls_config:", "stale_after: 3s\n  tls_config:", 1))
        async with program("run", f"--config.file={config}", LISTEN, "--web.enable-lifecycle") as daemon:
            await daemon.until_ready()
            address = daemon.url.removeprefix("http://")
            async with prometheus(tmp_path, discovered(address)) as server:
                await server.until("count(up == 1) == 2")
                ups = {
                    sample["metric"]["cluster"]: sample["metric"] for sample in await server.query("up == 1")
                }
                assert set(ups) == {cluster.name for cluster in clusters}
                assert ups["ams-01"]["site"] == "ams"
                assert ups["ams-01"]["instance"] == "ams-01"
                assert not [label for label in ups["ams-01"] if label.startswith(("__meta", "exported_"))]
                await server.until('ontap_software_packages{cluster="ams-01",instance="ams-01"} == 1')

                simulator["ams-01"].faults.add(Fault(FaultKind.SERVER_ERROR))
                await server.until('up{cluster="ams-01"} == 0')
                assert await server.query('up{cluster!="ams-01"} == 1')

                third = await simulator.add(SimulatedCluster("fra-01"))
                (tmp_path / "more.json").write_text(
                    json.dumps([{"name": "fra-01", "address": third.address}])
                )
                write_secret(config, config.read_text() + "cluster_files: [more.json]\n")
                assert (await daemon.post("/-/reload"))[0] == 200
                await server.until('up{cluster="fra-01"} == 1')
                await server.until('ontap_software_packages{cluster="fra-01"} == 0')


@pytest.mark.parametrize("total", [3])
async def test_shards_divide_the_clusters_and_each_exposes_its_share(total: int, tmp_path: Path) -> None:
    clusters = [SimulatedCluster(f"c{number:02d}", packages=["9.13.1"]) for number in range(24)]
    async with Simulator(clusters, directory=tmp_path) as simulator:
        config = tmp_path / "config.yaml"
        write_secret(config, exporter_config(simulator, poll_interval="30d"))
        run = ("run", f"--config.file={config}", LISTEN, f"--total-shards={total}")
        async with (
            program(*run, "--shard=0") as first,
            program(*run, "--shard=auto", environ={"POD_NAME": "exporter-1"}) as second,
            program(*run, "--shard=2") as third,
        ):
            shards = (first, second, third)
            shares = []
            for ordinal, shard in enumerate(shards):
                await shard.until_ready()
                assert await shard.value("ontap_exporter_shard_ordinal") == ordinal
                assert await shard.value("ontap_exporter_total_shards") == total
                share = await shard.by_cluster("ontap_up")
                assert await shard.value("ontap_exporter_clusters") == len(share)
                shares.append(set(share))
            assert all(shares)
            assert sorted(name for share in shares for name in share) == [one.name for one in clusters]
            assert {len(cluster.requests_to("/api/cluster/software/packages")) for cluster in clusters} == {1}
            elsewhere = min(shares[1])
            assert (await first.get(f"/probe?target={elsewhere}"))[0] == 404
            addresses = [shard.url.removeprefix("http://") for shard in shards]
            async with prometheus(tmp_path, discovered(*addresses)) as server:
                await server.until(f"count(count by (cluster) (up == 1)) == {len(clusters)}")
                await server.until(f"count(up) == {len(clusters)}")


async def test_a_share_that_there_is_not_ends_the_program_with_2(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        'clusters: [{address: 127.0.0.1, basic_auth: {username: u, password: p}, name: "c1"}]\n'
    )
    for flags, says in (
        (["--shard=3", "--total-shards=3"], "--shard: there is no shard 3 of 3: they go from 0 to 2"),
        (["--shard=auto", "--total-shards=3"], "does not end in an ordinal"),
        (["--shard=one"], "not a shard: 'one'; write a number from 0, or auto"),
    ):
        arguments = ("run", f"--config.file={config}", LISTEN, *flags)
        async with program(*arguments, environ={"POD_NAME": "exporter"}) as daemon:
            assert await daemon.process.wait() == 2
            assert says in daemon.output
