"""The pods of the chart run and share their work, as real processes with a real PostgreSQL and Prometheus."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from exporter.simulator import Package, SimulatedCluster, Simulator
from support.daemon_process import FOR_CLIENTS_WITH_CERTIFICATE, Daemon
from support.kubernetes import needs_helm, of_kind, render
from support.pods import Pods
from support.postgresql_server import PostgresqlServer
from support.prometheus import needs_prometheus, prometheus
from support.waiting import eventually

pytestmark = [needs_helm, needs_prometheus]

OLD = "2019-02-04T19:00:00+00:00"
TAKEOVER_SECONDS = 120.0
NAME = "ontap-ontap-packages-exporter"
CLUSTERS = 6


def fleet() -> list[SimulatedCluster]:
    return [
        SimulatedCluster(f"c{number}", packages=["9.13.1"], bearer_token="first", labels={"site": "ams"})
        for number in range(CLUSTERS)
    ]


def entry(cluster: SimulatedCluster) -> dict[str, Any]:
    return {"name": cluster.name, "address": cluster.address, "labels": dict(cluster.labels)}


def values_of(**more: Any) -> dict[str, Any]:
    """Return values as an operator writes them: secrets mounted, and the journal in PostgreSQL."""
    return {
        "config": {
            "defaults": {
                "poll_interval": "1s",
                "poll_timeout": "20s",
                "stale_after": "5s",
                "authorization": {"credentials_file": "../secrets/ontap-login/token"},
                "tls_config": {"ca_file": "../secrets/ontap-login/ca.pem"},
            },
            "cleanup": {
                "takeover_after": "2s",
                "policies": [
                    {
                        "name": "retire-old",
                        "every": "1s",
                        "older_than": "30d",
                        "dry_run": False,
                        "seen_for": "0s",
                    }
                ],
            },
        },
        "secrets": ["ontap-login"],
        "clusterFiles": ["fleet"],
        "postgresql": {"existingSecret": "journal"},
        "podMonitor": {"enabled": True, "perCluster": True, "interval": "1s"},
        **more,
    }


@asynccontextmanager
async def namespace(
    directory: Path, clusters: list[SimulatedCluster], server: PostgresqlServer, values: dict[str, Any]
) -> AsyncIterator[tuple[Pods, Simulator]]:
    """Serve the clusters, and have the Secrets and the ConfigMap that the values name."""
    async with Simulator(clusters, directory=directory) as simulator:
        login = {"token": "first", "ca.pem": simulator.ca_file.read_text()}
        objects: dict[tuple[str, str], Mapping[str, str]] = {
            ("Secret", "ontap-login"): login,
            ("Secret", "journal"): {"url": await server.new_database()},
            ("ConfigMap", "fleet"): {"clusters.json": json.dumps([entry(cluster) for cluster in clusters])},
        }
        yield Pods(directory=directory, manifests=render(values), objects=objects), simulator


def scrape_configs(pods: Pods, daemons: Mapping[str, Daemon]) -> list[dict[str, Any]]:
    """Return the jobs that the Prometheus Operator makes of the manifests; only addresses are others here."""
    jobs = []
    for config in of_kind(pods.manifests, "ScrapeConfig"):
        (discovery,) = config["spec"]["httpSDConfigs"]
        match = re.fullmatch(r"http://((.+?)\.(?:.+\.svc):10910)/sd", discovery["url"])
        assert match is not None
        address = daemons[match[2]].url.removeprefix("http://")
        relabelings = json.loads(json.dumps(config["spec"]["relabelings"]).replace(match[1], address))
        jobs.append(
            {
                "job_name": config["metadata"]["name"],
                "metrics_path": config["spec"]["metricsPath"],
                "honor_labels": config["spec"]["honorLabels"],
                "http_sd_configs": [{"url": f"http://{address}/sd", "refresh_interval": "1s"}],
                "relabel_configs": snake_case(relabelings),
                "metric_relabel_configs": snake_case(config["spec"]["metricRelabelings"]),
            }
        )
    (monitor,) = of_kind(pods.manifests, "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    targets = [
        {"targets": [daemon.url.removeprefix("http://")], "labels": {"pod": name}}
        for name, daemon in daemons.items()
    ]
    jobs.append(
        {
            "job_name": "monitoring/ontap",
            "metrics_path": endpoint["path"],
            "honor_labels": endpoint["honorLabels"],
            "static_configs": targets,
            "relabel_configs": snake_case(endpoint["relabelings"]),
            "metric_relabel_configs": snake_case(endpoint.get("metricRelabelings", [])),
        }
    )
    return jobs


def snake_case(relabelings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {re.sub(r"(?=[A-Z])", "_", key).lower(): value for key, value in one.items()} for one in relabelings
    ]


async def test_three_shards_divide_the_clusters_and_see_every_update_of_their_files(
    tmp_path: Path, postgresql: PostgresqlServer
) -> None:
    clusters = fleet()
    async with AsyncExitStack() as stack:
        pods, simulator = await stack.enter_async_context(
            namespace(tmp_path, clusters, postgresql, values_of(replicas=3))
        )
        assert pods.names() == [f"{NAME}-{number}" for number in range(3)]
        lives = {name: await stack.enter_async_context(AsyncExitStack()) for name in pods.names()}
        starting = (lives[name].enter_async_context(pods.run(name)) for name in lives)
        daemons = dict(zip(lives, await asyncio.gather(*starting), strict=True))
        server = await stack.enter_async_context(prometheus(tmp_path, scrape_configs(pods, daemons)))
        await server.until(f'count(up{{job="ontap-packages-clusters"}} == 1) == {CLUSTERS}')
        await server.until('count(up{job="ontap-packages"} == 1) == 3')
        await server.until(f'count(ontap_up{{site="ams",job="ontap-packages"}} == 1) == {CLUSTERS}')
        assert await server.query('ontap_software_packages{job="ontap-packages"}') == []

        # A cluster that the ConfigMap gains is found, and a token that the Secret gains is sent.
        late = await simulator.add(SimulatedCluster("late", packages=["9.14.1"], bearer_token="second"))
        pods.update(
            "ConfigMap", "fleet", {"clusters.json": json.dumps([entry(one) for one in (*clusters, late)])}
        )
        await server.until('ontap_up{cluster="late"} == 0')
        for cluster in clusters:
            cluster.bearer_token = "second"
        pods.update("Secret", "ontap-login", {**pods.objects["Secret", "ontap-login"], "token": "second"})
        await server.until('ontap_up{cluster="late"} == 1')
        await server.until(f"count(ontap_up == 1) == {CLUSTERS + 1}")

        # A shard that is killed takes its clusters with it, and no others.
        share = set(await daemons[f"{NAME}-1"].by_cluster("ontap_up"))
        assert share
        await lives[f"{NAME}-1"].aclose()
        await server.until(f'count(up{{job="ontap-packages-clusters"}} == 0) == {len(share)}')
        assert len(await server.query('up{job="ontap-packages-clusters"} == 1')) == CLUSTERS + 1 - len(share)


async def test_a_pod_whose_pages_are_protected_is_healthy_and_scraped_with_a_certificate(
    tmp_path: Path,
) -> None:
    authority = trustme.CA()
    server, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("prometheus")
    secret = {
        "web-config.yaml": FOR_CLIENTS_WITH_CERTIFICATE,
        "ca.pem": authority.cert_pem.bytes().decode(),
        "server.pem": server.private_key_and_cert_chain_pem.bytes().decode(),
    }
    values = {
        "config": {
            "clusters": [{"address": "127.0.0.1:9", "basic_auth": {"username": "u", "password": "p"}}]
        },
        "web": {"existingSecret": "web", "externalUrl": "https://ontap.example.com/exporter"},
        "podMonitor": {"enabled": True, "endpoint": {"scheme": "https"}},
    }
    pods = Pods(directory=tmp_path, manifests=render(values), objects={("Secret", "web"): secret})
    async with pods.run(*pods.names()) as daemon:
        context = ssl.create_default_context(cadata=secret["ca.pem"])
        (monitor,) = of_kind(pods.manifests, "PodMonitor")
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        url = daemon.url.replace("http", endpoint["scheme"], 1) + endpoint["path"]
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectionError):
                await session.get(url, ssl=context)
            client.configure_cert(context)
            async with session.get(url, ssl=context) as response:
                assert response.status == 200
                assert "ontap_up{" in await response.text()


async def test_of_two_replicas_one_is_killed_and_the_other_takes_over_its_clusters(
    tmp_path: Path, postgresql: PostgresqlServer
) -> None:
    clusters = fleet()
    values = values_of(mode="replicas", replicas=2, podMonitor={"enabled": True})
    async with AsyncExitStack() as stack:
        pods, _ = await stack.enter_async_context(namespace(tmp_path, clusters, postgresql, values))
        first, second = pods.names()
        life = await stack.enter_async_context(AsyncExitStack())
        doomed, other = await asyncio.gather(
            life.enter_async_context(pods.run(first)), stack.enter_async_context(pods.run(second))
        )
        jobs = scrape_configs(pods, {first: doomed, second: other})
        server = await stack.enter_async_context(prometheus(tmp_path, jobs))
        await server.until(f"count(ontap_up == 1) == {2 * CLUSTERS}")

        async def shared() -> bool:
            held = [await daemon.by_cluster("ontap_cleanup_lease_held") for daemon in (doomed, other)]
            return (
                all(any(one.values()) for one in held) and sum(sum(one.values()) for one in held) == CLUSTERS
            )

        await eventually(shared, seconds=TAKEOVER_SECONDS, what="both to clean some of the clusters")
        before = await doomed.by_cluster("ontap_cleanup_lease_held")
        orphans = [cluster for cluster in clusters if before[cluster.name]]
        await life.aclose()

        async def taken_over() -> bool:
            held = await other.by_cluster("ontap_cleanup_lease_held")
            return sum(held.values()) == CLUSTERS

        await eventually(taken_over, seconds=TAKEOVER_SECONDS, what="the other to clean all of them")
        assert await other.value("ontap_cleanup_takeovers_total") >= len(orphans)
        await server.until(f'up{{pod="{first}"}} == 0')
        await server.until(f"sum(ontap_cleanup_lease_held) == {CLUSTERS}")
        await server.until(f"count(ontap_up == 1) == {CLUSTERS}")
        for cluster in orphans:
            cluster.add_package(Package("9.9.1", create_time=OLD))

        async def deleted() -> bool:
            return all(cluster.delete_attempts["9.9.1"] for cluster in orphans)

        await eventually(deleted, seconds=TAKEOVER_SECONDS, what="packages of the orphans to be deleted")
