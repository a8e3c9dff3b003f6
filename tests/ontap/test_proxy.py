"""Requests through a proxy: in a tunnel to the cluster alone, and neither side learns the other's secrets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import encode_basic_auth

from exporter.ontap.access import AccessOpener, ClusterAccess
from exporter.ontap.client import RequestCounts
from exporter.ontap.cluster_settings import BasicLogin, Endpoint, Header, Proxy, Secret, Tls
from exporter.ontap.errors import OntapError, Reason
from exporter.ontap.requests.facts import read_identity
from exporter.ontap.session import open_session
from exporter.simulator import SERVER_NAME, SimulatedCluster, Simulator
from support.connect_proxy import ConnectProxy, connect_proxy
from support.polled_fleet import cluster_config

PASSWORD = "s3cr3t-of-the-proxy"
TOKEN = "s3cr3t-token-of-the-proxy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One cluster that is reached through a proxy."""

    cluster: SimulatedCluster
    proxy: ConnectProxy
    access: ClusterAccess

    async def failure(self) -> OntapError:
        with pytest.raises(OntapError) as caught:
            await self.access.ask(read_identity())
        return caught.value


@asynccontextmanager
async def scene(directory: Path, *, password: str = PASSWORD, **changes: object) -> AsyncIterator[Scene]:
    cluster = SimulatedCluster("c1")
    async with (
        connect_proxy() as proxy,
        Simulator([cluster], directory=directory) as simulator,
        open_session() as session,
    ):
        named = Proxy(
            host="127.0.0.1",
            port=proxy.port,
            login=BasicLogin(username="exporter", password=Secret(value=password)),
            headers=(Header(name="X-Proxy-Token", value=Secret(value=TOKEN)),),
        )
        config = cluster_config(cluster, simulator.ca_file, **{"proxy": named} | changes)
        opener = AccessOpener(session=session, counts=RequestCounts())
        yield Scene(cluster=cluster, proxy=proxy, access=opener.open([config])["c1"])


async def test_requests_go_through_a_tunnel_to_the_cluster_alone(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        await it.access.ask(read_identity())
        assert it.proxy.targets == [it.cluster.address]
        assert it.proxy.heads[0].startswith(f"CONNECT {it.cluster.address} HTTP/1.1\r\n")
        assert len(it.cluster.requests) == 1


async def test_the_proxy_gets_its_own_login_and_nothing_of_the_cluster(tmp_path: Path) -> None:
    headers = (Header(name="X-Api-Key", value=Secret(value="s3cr3t-of-the-cluster")),)
    async with scene(tmp_path, headers=headers) as it:
        await it.access.ask(read_identity())
        (request,) = it.cluster.requests
        assert request.headers["X-Api-Key"] == "s3cr3t-of-the-cluster"
        names = {line.partition(":")[0].lower() for line in it.proxy.heads[0].splitlines()[1:] if line}
        assert names >= {"proxy-authorization", "x-proxy-token"}
        assert not names & {"authorization", "x-api-key"}
        sent = request.headers["Authorization"].partition(" ")[2]
        for secret in ("s3cr3t-of-the-cluster", it.cluster.password, sent):
            assert secret.encode() not in it.proxy.seen


async def test_a_user_name_alone_is_sent_with_an_empty_password(tmp_path: Path) -> None:
    async with scene(tmp_path, password="") as it:
        await it.access.ask(read_identity())
        assert f"Proxy-Authorization: {encode_basic_auth('exporter', '')}\r\n" in it.proxy.heads[0]


async def test_secret_headers_are_redacted_and_read_from_their_file_for_each_request(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("s3cr3t-first\n")
    headers = (
        Header(name="X-Key", value=Secret(file=file)),
        Header(name="X-Key", value=Secret(value="s3cr3t-inline")),
        Header(name="X-Team", value=Secret(value="storage"), is_secret=False),
    )
    async with scene(tmp_path, headers=headers) as it:
        await it.access.ask(read_identity())
        file.write_text("s3cr3t-second\n")
        await it.access.client.renew_login()
        await it.access.ask(read_identity())
        redact = it.access.client.credentials.redact
        echoed = "s3cr3t-first s3cr3t-second s3cr3t-inline storage"
        assert redact(echoed) == "<secret> <secret> <secret> storage"
        assert "s3cr3t-inline" not in repr(it.access.config)


async def test_the_cluster_gets_nothing_of_what_is_for_the_proxy(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        await it.access.ask(read_identity())
        (request,) = it.cluster.requests
        assert not {"proxy-authorization", "x-proxy-token"} & {name.lower() for name in request.headers}
        assert not any(secret in str(request) for secret in (PASSWORD, TOKEN))


async def test_a_name_is_looked_up_by_the_proxy_and_the_certificate_must_have_it(tmp_path: Path) -> None:
    for name, reason in ((SERVER_NAME, None), ("other.invalid", Reason.TLS)):
        async with scene(tmp_path, endpoint=Endpoint(host=name, port=4443)) as it:
            host, _, port = it.cluster.address.rpartition(":")
            it.proxy.destinations[f"{name}:4443"] = (host, int(port))
            if reason is None:
                await it.access.ask(read_identity())
            else:
                assert (await it.failure()).reason is reason
                assert it.cluster.requests == ()
            assert it.proxy.targets == [f"{name}:4443"]


async def test_an_authority_that_is_not_trusted_gets_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path, tls=Tls()) as it:
        assert (await it.failure()).reason is Reason.TLS
        assert it.cluster.requests == ()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required", "HTTP 407 Proxy Authentication Required"),
        (b"HTTP/1.1 403 not " + PASSWORD.encode() + b" nor " + TOKEN.encode(), "not <secret> nor <secret>"),
        (b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:1/", "HTTP 302 Found"),
    ],
    ids=["407", "echo", "redirect"],
)
async def test_a_tunnel_that_the_proxy_refuses_is_no_connection(
    answer: bytes, said: str, tmp_path: Path
) -> None:
    async with scene(tmp_path) as it:
        it.proxy.refusal = answer + b"\r\nContent-Length: 0\r\n\r\n"
        failure = await it.failure()
        assert failure.reason is Reason.CONNECTION
        assert str(failure).startswith("no connection: the proxy answers HTTP ")
        assert said in str(failure)
        assert (len(it.proxy.heads), it.cluster.requests) == (1, ())


async def test_a_proxy_that_is_not_there_is_named(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    server.close()
    async with scene(tmp_path, proxy=Proxy(host="127.0.0.1", port=port)) as it:
        failure = await it.failure()
        assert failure.reason is Reason.CONNECTION
        assert str(failure) == f"no connection: the proxy 127.0.0.1:{port}: Connection refused"
        assert it.cluster.requests == ()
