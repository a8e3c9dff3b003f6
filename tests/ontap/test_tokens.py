"""Bearer tokens from a token endpoint: got once, renewed in time, and never shown."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from aiohttp import encode_basic_auth

from exporter.ontap.access import AccessOpener, ClusterAccess
from exporter.ontap.client import RequestCounts
from exporter.ontap.cluster_settings import OAuth2Login, Proxy, Secret, Tls
from exporter.ontap.errors import OntapError, Reason, Unauthorized
from exporter.ontap.requests.facts import read_identity
from exporter.ontap.session import open_session
from exporter.simulator import SimulatedCluster, Simulator
from support.connect_proxy import ConnectProxy, connect_proxy
from support.polled_fleet import cluster_config
from support.token_endpoint import TokenEndpoint, token_endpoint
from support.waiting import eventually

SECRET = "s3cr3t of/the+client"
WAIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Two clusters whose tokens come from one endpoint."""

    endpoint: TokenEndpoint
    clusters: tuple[SimulatedCluster, ...]
    accesses: tuple[ClusterAccess, ...]

    def accept(self, token: str) -> None:
        for cluster in self.clusters:
            cluster.bearer_token = token

    async def ask(self) -> None:
        for access in self.accesses:
            await access.ask(read_identity())

    async def failure(self) -> OntapError:
        with pytest.raises(OntapError) as caught:
            await self.accesses[0].ask(read_identity())
        return caught.value


@asynccontextmanager
async def scene(directory: Path, **changes: object) -> AsyncIterator[Scene]:
    clusters = tuple(SimulatedCluster(name, bearer_token="token-1") for name in ("c1", "c2"))
    async with (
        token_endpoint(directory) as endpoint,
        Simulator(clusters, directory=directory) as simulator,
        open_session() as session,
    ):
        login = OAuth2Login(
            client_id="the exporter",
            client_secret=Secret(value=SECRET),
            token_url=endpoint.url,
            tls=Tls(ca_file=endpoint.ca_file),
        )
        login = replace(login, **changes)  # type: ignore[arg-type]
        opener = AccessOpener(session=session, counts=RequestCounts())
        configs = [cluster_config(cluster, simulator.ca_file, login=login) for cluster in clusters]
        accesses = tuple(opener.open(configs).values())
        yield Scene(endpoint=endpoint, clusters=clusters, accesses=accesses)


async def test_one_token_serves_all_requests_of_all_clusters(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        await it.ask()
        await it.ask()
        assert len(it.endpoint.requests) == 1
        sent = [request.headers["Authorization"] for cluster in it.clusters for request in cluster.requests]
        assert sent == ["Bearer token-1"] * 4


async def test_the_request_is_that_of_the_grant_for_client_credentials(tmp_path: Path) -> None:
    parameters = (("audience", Secret(value="https://ontap")), ("scope2", Secret(value="x y")))
    async with scene(tmp_path, scopes=("read", "write"), parameters=parameters) as it:
        await it.ask()
        (request,) = it.endpoint.requests
        assert request.parameters == {
            "grant_type": "client_credentials",
            "scope": "read write",
            "audience": "https://ontap",
            "scope2": "x y",
        }
        assert request.client == ("the+exporter", "s3cr3t+of%2Fthe%2Bclient")


async def test_an_endpoint_that_wants_the_secret_in_the_body_gets_it_there_from_then_on(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as it:
        it.endpoint.wants_secret_in_body = True
        await it.ask()
        first, second = it.endpoint.requests
        assert (first.client is None, "client_secret" in first.parameters) == (False, False)
        assert second.client is None
        assert second.parameters["client_id"] == "the exporter"
        assert second.parameters["client_secret"] == SECRET
        it.accept("token-2")
        assert (await it.failure()).reason is Reason.UNAUTHORIZED
        await it.accesses[0].ask(read_identity())
        assert [request.client for request in it.endpoint.requests[2:]] == [None]


async def test_the_secret_is_read_from_its_file_for_each_token(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"\xef\xbb\xbffirst\n")
    async with scene(tmp_path, client_secret=Secret(file=file)) as it:
        await it.ask()
        file.write_text("second")
        it.accept("token-2")
        await it.failure()
        await it.accesses[0].ask(read_identity())
        assert [request.client for request in it.endpoint.requests] == [
            ("the+exporter", "first"),
            ("the+exporter", "second"),
        ]


async def test_a_token_is_renewed_before_it_expires(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        it.endpoint.lifetime_seconds = 1

        async def is_renewed() -> bool:
            it.accept(f"token-{len(it.endpoint.requests) or 1}")
            try:
                await it.accesses[0].ask(read_identity())
            except Unauthorized:
                return True  # the next token was sent, before the cluster was told of it
            return False

        await it.ask()
        await eventually(is_renewed, seconds=WAIT_SECONDS, what="another token")
        assert len(it.endpoint.requests) == 2


async def test_a_token_that_a_cluster_refuses_is_replaced_at_the_next_request(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        await it.ask()
        it.accept("token-2")
        assert (await it.failure()).reason is Reason.UNAUTHORIZED
        await it.ask()
        assert len(it.endpoint.requests) == 2


@pytest.mark.parametrize(
    ("status", "body", "reason", "said"),
    [
        (
            401,
            f'{{"error": "invalid_client", "error_description": "not {SECRET}"}}',
            Reason.UNAUTHORIZED,
            "the token endpoint gives no token: HTTP 401: invalid_client: not <secret>",
        ),
        (401, "<html>", Reason.UNAUTHORIZED, "the token endpoint gives no token: HTTP 401"),
        (
            400,
            '{"error": "invalid_scope"}',
            Reason.UNAUTHORIZED,
            "HTTP 400: invalid_scope: no description",
        ),
        (429, "<html>", Reason.RATE_LIMITED, "the token endpoint gives no token: HTTP 429"),
        (429, '{"error": "slow_down"}', Reason.RATE_LIMITED, "HTTP 429: slow_down"),
        (403, "<html>", Reason.BAD_RESPONSE, "the token endpoint gives no token: HTTP 403"),
        (503, '{"error": "server_error"}', Reason.BAD_RESPONSE, "HTTP 503: server_error"),
        (200, '{"token": 1}', Reason.BAD_RESPONSE, "the token endpoint gives no token: HTTP 200"),
        (200, "<html>", Reason.BAD_RESPONSE, "the token endpoint gives no token: HTTP 200"),
        (200, "[]", Reason.BAD_RESPONSE, "the token endpoint's answer is not a token response: HTTP 200"),
        (200, '{"access_token": "a\\nb"}', Reason.BAD_RESPONSE, "a token that a header cannot carry"),
        (200, '{"access_token": 7}', Reason.BAD_RESPONSE, "a token that a header cannot carry"),
        (503, "busy", Reason.BAD_RESPONSE, "the token endpoint gives no token: HTTP 503"),
        (
            200,
            '{"access_token": "a", "expires_in": 1e400}',
            Reason.BAD_RESPONSE,
            "answer is not a token response: HTTP 200",
        ),
        (
            200,
            "[" * 60_000,
            Reason.BAD_RESPONSE,
            "the token endpoint's answer is not a token response: HTTP 200",
        ),
        (200, "x" * 100_000, Reason.BAD_RESPONSE, "the token endpoint: the body is larger than 65536 bytes"),
    ],
    ids=[
        *("refused", "a page of 401", "scope", "a page of 429", "too often", "a page of 403", "server error"),
        *("no token", "html", "list", "line break", "number", "busy", "endless", "deep", "large"),
    ],
)
async def test_without_a_token_nothing_is_sent_and_the_endpoint_is_left_alone_for_a_while(
    status: int, body: str, reason: Reason, said: str, tmp_path: Path
) -> None:
    async with scene(tmp_path) as it:
        it.endpoint.answer = status, body
        failure = await it.failure()
        assert failure.reason is reason
        assert said in str(failure)
        assert SECRET not in str(failure)
        asked = len(it.endpoint.requests)
        with pytest.raises(OntapError):
            await it.accesses[1].ask(read_identity())
        assert len(it.endpoint.requests) == asked
        assert [cluster.requests for cluster in it.clusters] == [(), ()]


@pytest.mark.parametrize(("status", "lifetime"), [(201, "60"), (200, '"60"'), (200, "60.0"), (200, "null")])
async def test_an_answer_is_read_as_go_reads_it(status: int, lifetime: str, tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        it.endpoint.answer = status, f'{{"access_token": "token-1", "expires_in": {lifetime}}}'
        await it.ask()
        assert len(it.endpoint.requests) == 1


async def test_a_redirect_of_the_endpoint_is_not_followed(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        it.endpoint.answer, it.endpoint.headers = (307, "{}"), {"Location": it.endpoint.url}
        assert (await it.failure()).reason in {Reason.UNAUTHORIZED, Reason.BAD_RESPONSE}
        assert len(it.endpoint.requests) == 1


async def test_an_endpoint_that_is_not_trusted_does_not_get_the_secret(tmp_path: Path) -> None:
    async with scene(tmp_path, tls=Tls()) as it:
        failure = await it.failure()
        assert failure.reason is Reason.TLS
        assert str(failure).startswith("the token endpoint: the TLS handshake failed: ")
        assert it.endpoint.requests == []


async def test_tokens_come_through_the_proxy_of_the_endpoint_alone(tmp_path: Path) -> None:
    async with connect_proxy() as proxy, scene(tmp_path, proxy=_at(proxy)) as it:
        await it.ask()
        assert proxy.targets == [it.endpoint.url.split("/")[2]]
        assert SECRET.encode() not in proxy.seen


def _at(proxy: ConnectProxy) -> Proxy:
    return Proxy(host="127.0.0.1", port=proxy.port)


async def test_a_cluster_that_echoes_the_token_does_not_get_it_into_a_message(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        await it.ask()
        assert it.accesses[0].client.credentials.redact("got token-1") == "got <secret>"
        assert SECRET not in repr(it.accesses[0].config)


async def test_an_endpoint_that_echoes_the_header_does_not_get_it_into_a_message(tmp_path: Path) -> None:
    sent = encode_basic_auth(quote_plus("the exporter"), quote_plus(SECRET))
    async with scene(tmp_path) as it:
        document = {"error": "invalid_client", "error_description": f"got {sent}, or {sent[6:].rstrip('=')}"}
        it.endpoint.answer = 401, json.dumps(document)
        failure = str(await it.failure())
        assert "got <secret>" in failure
        assert sent[6:].rstrip("=") not in failure


async def test_a_client_secret_on_a_mount_that_hangs_occupies_one_thread(tmp_path: Path) -> None:
    answers, secrets = threading.Event(), [SECRET]

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Hanging(Secret):
        def read(self, check: Callable[[str], str] = str) -> str:
            secret = secrets[-1]
            assert answers.wait(WAIT_SECONDS)
            return check(secret)

    async def no_thread() -> bool:
        return "client secret" not in [one.name for one in threading.enumerate()]

    async with scene(tmp_path, client_secret=Hanging(file=tmp_path / "secret")) as it:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await it.accesses[0].ask(read_identity())
        assert [one.name for one in threading.enumerate()].count("client secret") == 1
        answers.set()
        await eventually(no_thread, seconds=WAIT_SECONDS, what="the end of the thread")
        secrets.append("the-second")
        await it.ask()
        assert it.endpoint.requests[-1].client == ("the+exporter", "the-second")
