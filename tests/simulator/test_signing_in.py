"""Who may ask a simulated cluster: passwords, tokens, certificates, TLS versions."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from exporter.simulator import SERVER_NAME, SimulatedCluster, Simulator
from support.simulated_api import Client, basic


@asynccontextmanager
async def connected(context: ssl.SSLContext) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield Client(session)


def trusting(simulator: Simulator) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(simulator.ca_file))


async def test_a_password_is_read_as_utf_8(client: Client, cluster: SimulatedCluster) -> None:
    cluster.username, cluster.password = "opérateur", "pass:wörd €"
    assert (await client.ask(cluster, "/api/cluster")).status == 200


@pytest.mark.parametrize(
    "authorization",
    [
        basic("monitor", "wrong"),
        basic("someone", "simulated"),
        basic("monitor", ""),
        "Basic ???",
        "Basic bW9uaXRvctg6/w==",
        "Basic",
        "Bearer simulated",
        "Digest x",
    ],
)
async def test_anything_else_is_unauthorized(
    client: Client, cluster: SimulatedCluster, authorization: str
) -> None:
    got = await client.ask(cluster, "/api/cluster", headers={"Authorization": authorization})
    assert got.error == (401, "6691623", None)
    assert cluster.failed_logins == 1


async def test_asking_without_credentials_is_unauthorized_but_no_wrong_password(
    client: Client, cluster: SimulatedCluster
) -> None:
    async with client.session.get(f"{cluster.url}/api/cluster") as response:
        assert response.status == 401
    assert cluster.failed_logins == 0


async def test_an_account_is_locked_after_wrong_passwords(client: Client, cluster: SimulatedCluster) -> None:
    cluster.lock_after_failures = 2
    for _ in range(2):
        await client.ask(cluster, "/api/cluster", headers={"Authorization": basic("monitor", "wrong")})
    assert (await client.ask(cluster, "/api/cluster")).status == 401
    cluster.failed_logins = 0
    assert (await client.ask(cluster, "/api/cluster")).status == 200


async def test_a_configured_bearer_token_is_accepted(client: Client, cluster: SimulatedCluster) -> None:
    cluster.bearer_token = "abc.def"
    good, bad = {"Authorization": "Bearer abc.def"}, {"Authorization": "Bearer abc"}
    assert (await client.ask(cluster, "/api/cluster", headers=good)).status == 200
    assert (await client.ask(cluster, "/api/cluster", headers=bad)).status == 401


async def test_a_client_certificate_signs_in_by_its_common_name(tmp_path: Path) -> None:
    cluster = SimulatedCluster("ams-01", require_client_certificate=True, username="exporter")
    async with Simulator([cluster], directory=tmp_path) as simulator:
        statuses = {}
        for name in ("exporter", "another"):
            certificate = simulator.issue_client_certificate(name)
            context = trusting(simulator)
            context.load_cert_chain(certificate.cert_file, certificate.key_file)
            async with (
                connected(context) as client,
                client.session.get(f"{cluster.url}/api/cluster") as response,
            ):
                statuses[name] = response.status
            assert certificate.key_file.stat().st_mode & 0o777 == 0o600
        assert statuses == {"exporter": 200, "another": 401}
        assert [request.client_name for request in cluster.requests] == ["exporter", "another"]
        async with connected(trusting(simulator)) as client:
            with pytest.raises(aiohttp.ClientError):
                await client.ask(cluster, "/api/cluster")


@pytest.mark.parametrize(
    ("highest", "accepted"),
    [
        (ssl.TLSVersion.TLSv1_2, {"TLSv1_2"}),
        (None, {"TLSv1_2", "TLSv1_3"}),
    ],
)
async def test_a_cluster_speaks_no_higher_tls_version_than_its_highest(
    tmp_path: Path, highest: ssl.TLSVersion | None, accepted: set[str]
) -> None:
    cluster = SimulatedCluster("old", maximum_tls=highest)
    taken = set()
    async with Simulator([cluster], directory=tmp_path) as simulator:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = trusting(simulator)
            context.minimum_version = context.maximum_version = version
            async with connected(context) as client:
                with suppress(aiohttp.ClientConnectorError):
                    taken.add(version.name if (await client.ask(cluster, "/api/cluster")).json else "")
    assert taken == accepted


async def test_a_client_that_does_not_trust_the_authority_is_left_alone(tmp_path: Path) -> None:
    async with Simulator([SimulatedCluster("ams-01")], directory=tmp_path) as simulator:
        async with connected(ssl.create_default_context()) as client:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await client.ask(simulator["ams-01"], "/api/cluster")
        assert simulator["ams-01"].requests == ()


async def test_the_certificate_names_addresses_and_one_name_for_all(
    cluster: SimulatedCluster, client: Client
) -> None:
    async with client.session.get(
        f"{cluster.url}/api/cluster",
        headers={"Authorization": basic("monitor", "simulated")},
        server_hostname=SERVER_NAME,
    ) as response:
        assert response.status == 200


async def test_plain_http_needs_no_certificate(tmp_path: Path) -> None:
    cluster = SimulatedCluster("lab-01", plain_http=True)
    async with Simulator([cluster], directory=tmp_path), connected(ssl.create_default_context()) as client:
        assert cluster.url.startswith("http://127.")
        assert (await client.ask(cluster, "/api/cluster")).status == 200
