"""The client against simulated clusters: failures have their reasons, and only what may be sent is sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import pytest
import trustme
from aiohttp import ClientSession

from exporter.ontap import client as client_module
from exporter.ontap.client import OntapClient, RequestCounts
from exporter.ontap.cluster_settings import BasicLogin, Endpoint, Login, Secret, Tls, TlsVersion, TokenLogin
from exporter.ontap.credentials import Credentials
from exporter.ontap.errors import OntapError, Reason
from exporter.ontap.requests.facts import ClusterIdentity, read_identity
from exporter.ontap.requests.listing import PACKAGES_PATH, CollectionQuery, Listing, read_listing
from exporter.ontap.requests.messages import Conversation, Request, read_object
from exporter.ontap.session import KEEPALIVE_SECONDS, open_session
from exporter.ontap.tls import TlsContexts
from exporter.simulator import SERVER_NAME, Fault, FaultKind, SimulatedCluster, Simulator
from support.client_connections import forwarding
from support.waiting import eventually

DEADLINE_SECONDS = 60.0


def endpoint_of(cluster: SimulatedCluster) -> Endpoint:
    host, _, port = cluster.address.rpartition(":")
    return Endpoint(scheme="http" if cluster.plain_http else "https", host=host, port=int(port))


def login_of(cluster: SimulatedCluster) -> BasicLogin:
    return BasicLogin(username=cluster.username, password=Secret(value=cluster.password))


@dataclass(slots=True, kw_only=True)
class Bench:
    """One simulated cluster, and a client of it."""

    simulator: Simulator
    cluster: SimulatedCluster
    session: ClientSession
    login: Login
    counts: RequestCounts = field(default_factory=RequestCounts)
    client: OntapClient = field(init=False)

    def reach(self, endpoint: Endpoint | None = None, *, tls: Tls | None = None) -> None:
        """Make another client: by default of the cluster, whose certificate it trusts."""
        self.client = OntapClient(
            session=self.session,
            contexts=TlsContexts(),
            endpoint=endpoint or endpoint_of(self.cluster),
            credentials=Credentials(self.login),
            tls=tls or Tls(ca_file=self.simulator.ca_file),
            counts=self.counts,
        )

    async def list(self, *, return_timeout_seconds: int = 15, max_records: int = 500) -> Listing:
        query = CollectionQuery(
            endpoint=endpoint_of(self.cluster),
            return_timeout_seconds=return_timeout_seconds,
            max_records=max_records,
        )
        return await self.client.converse(read_listing(query), deadline=self.deadline())

    async def failure(self, *, seconds: float = DEADLINE_SECONDS) -> OntapError:
        query = CollectionQuery(
            endpoint=endpoint_of(self.cluster), return_timeout_seconds=15, max_records=500
        )
        with pytest.raises(OntapError) as caught:
            await self.client.converse(read_listing(query), deadline=self.deadline(seconds))
        return caught.value

    @staticmethod
    def deadline(seconds: float = DEADLINE_SECONDS) -> float:
        return asyncio.get_running_loop().time() + seconds


@asynccontextmanager
async def bench(
    cluster: SimulatedCluster, directory: Path, *, login: Login | str = "right", tls: Tls | None = None
) -> AsyncIterator[Bench]:
    """Serve a cluster and open a client of it, with the right password by default."""
    async with Simulator([cluster], directory=directory) as simulator, open_session() as session:
        it = Bench(
            simulator=simulator,
            cluster=cluster,
            session=session,
            login=login_of(cluster) if isinstance(login, str) else login,
        )
        it.reach(tls=tls)
        yield it


def small_cluster(**settings: object) -> SimulatedCluster:
    return SimulatedCluster("c1", packages=["9.12.1", "9.13.1", "9.14.1"], **settings)  # type: ignore[arg-type]


async def test_a_listing_is_read_over_pages(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        listing = await it.list(max_records=2)
        assert [package.version for package in listing.packages] == ["9.12.1", "9.13.1", "9.14.1"]
        assert all(package.create_timestamp_seconds for package in listing.packages)
        assert listing.pages == 2
        assert it.counts.totals() == {("GET", "200"): 2}


async def test_pages_that_return_timeout_ends_are_followed(tmp_path: Path) -> None:
    async with bench(small_cluster(record_seconds=0.4), tmp_path) as it:
        listing = await it.list(return_timeout_seconds=1)
        assert len(listing.packages) == 3
        assert listing.pages > 1


async def test_the_first_request_is_as_documented(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        await it.list()
        request = it.cluster.requests[0]
        assert (
            request.target == f"{PACKAGES_PATH}?fields=version,create_time&max_records=500&return_timeout=15"
        )
        assert request.headers["Accept"] == "application/json"
        assert request.headers["User-Agent"].startswith("ontap-packages-exporter/")
        assert request.body == b""


async def test_a_next_link_goes_on_the_wire_to_the_letter(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        href = f"{PACKAGES_PATH}?fields=%2A%2a&start.version=9.13%2E1&a=%7E,b&max_records=1"
        it.cluster.faults.add(Fault(FaultKind.FOREIGN_LINK, location=href, times=1))
        with contextlib.suppress(OntapError):
            await it.list(max_records=1)
        assert it.cluster.requests[1].target == href


async def test_one_connection_serves_a_whole_poll(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        await it.list(max_records=1)
        await it.client.converse(read_identity(), deadline=it.deadline())
        for before, after in pairwise(it.cluster.requests):
            was_idle = after.monotonic_seconds - before.monotonic_seconds > KEEPALIVE_SECONDS
            assert before.connection == after.connection or was_idle


async def test_a_password_is_sent_in_utf8(tmp_path: Path) -> None:
    async with bench(small_cluster(username="jürgen", password="pässwörd€🔑"), tmp_path) as it:
        assert len((await it.list()).packages) == 3


async def test_a_bearer_token_logs_in(tmp_path: Path) -> None:
    login = TokenLogin(credentials=Secret(value="a.b.c"))
    async with bench(small_cluster(bearer_token="a.b.c"), tmp_path, login=login) as it:
        assert len((await it.list()).packages) == 3
        assert it.cluster.requests[0].headers["Authorization"] == "Bearer a.b.c"


async def test_a_secret_comes_from_its_file_without_its_line_end(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("simulated\n")
    login = BasicLogin(username="monitor", password=Secret(file=file))
    async with bench(small_cluster(), tmp_path, login=login) as it:
        assert len((await it.list()).packages) == 3


async def test_a_token_that_expires_when_its_file_is_renewed_costs_no_request(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("token-1")
    login = TokenLogin(credentials=Secret(file=file))
    async with bench(small_cluster(bearer_token="token-1"), tmp_path, login=login) as it:
        for number in range(2, 5):
            await it.list()
            file.write_text(f"token-{number}")
            it.cluster.bearer_token = f"token-{number}"
        await it.list()
        assert it.counts.totals() == {("GET", "200"): 4}


async def test_a_secret_that_cannot_be_read_sends_nothing(tmp_path: Path) -> None:
    login = BasicLogin(username="monitor", password=Secret(file=tmp_path / "missing"))
    async with bench(small_cluster(), tmp_path, login=login) as it:
        failure = await it.failure()
        assert failure.reason is Reason.UNAUTHORIZED
        assert "missing" in str(failure)
        assert it.cluster.requests == ()


async def test_a_token_that_a_header_cannot_carry_sends_nothing(tmp_path: Path) -> None:
    login = TokenLogin(credentials=Secret(value="a\r\nHost: other"))
    async with bench(small_cluster(), tmp_path, login=login) as it:
        assert (await it.failure()).reason is Reason.UNAUTHORIZED
        assert it.cluster.requests == ()


PACKAGES_FAULT_REASONS = [
    (Fault(FaultKind.UNAUTHORIZED), Reason.UNAUTHORIZED),
    (Fault(FaultKind.FORBIDDEN), Reason.FORBIDDEN),
    (Fault(FaultKind.TOO_MANY_REQUESTS, retry_after="3600"), Reason.RATE_LIMITED),
    (Fault(FaultKind.SERVER_ERROR), Reason.API_ERROR),
    (Fault(FaultKind.ERROR, code=4, status=404), Reason.API_ERROR),
    (Fault(FaultKind.UNAVAILABLE, retry_after="3600"), Reason.API_ERROR),
    (Fault(FaultKind.HTML, status=502), Reason.BAD_RESPONSE),
    (Fault(FaultKind.HTML), Reason.BAD_RESPONSE),
    (Fault(FaultKind.REPLY, body=b""), Reason.BAD_RESPONSE),
    (Fault(FaultKind.REPLY), Reason.BAD_RESPONSE),
    (Fault(FaultKind.TRUNCATED_JSON), Reason.BAD_RESPONSE),
    (Fault(FaultKind.TRUNCATED_BODY), Reason.CONNECTION),
    (Fault(FaultKind.RESET), Reason.CONNECTION),
    (Fault(FaultKind.LOST_ANSWER), Reason.CONNECTION),
    (Fault(FaultKind.PAGING_LOOP), Reason.INCOMPLETE),
    (Fault(FaultKind.PAGING_BACK), Reason.INCOMPLETE),
    (Fault(FaultKind.EMPTY_PAGE), Reason.INCOMPLETE),
    (Fault(FaultKind.FOREIGN_LINK, location="https://127.0.0.1:1/api"), Reason.INCOMPLETE),
    (Fault(FaultKind.FOREIGN_LINK, location="//127.0.0.1:1/api"), Reason.INCOMPLETE),
    (Fault(FaultKind.FOREIGN_LINK, location="@127.0.0.1:1/api"), Reason.INCOMPLETE),
    *(
        (
            Fault(FaultKind.REDIRECT, status=status, location="https://127.0.0.1:1{target}"),
            Reason.BAD_RESPONSE,
        )
        for status in (301, 302, 303, 307, 308)
    ),
]


@pytest.mark.parametrize(
    ("fault", "reason"),
    PACKAGES_FAULT_REASONS,
    ids=[f"{fault.kind}-{fault.status or fault.location or ''}" for fault, _ in PACKAGES_FAULT_REASONS],
)
async def test_each_fault_has_its_reason(fault: Fault, reason: Reason, tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        it.cluster.faults.add(fault)
        assert (await it.failure()).reason is reason


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_even_on_the_cluster(status: int, tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        it.cluster.faults.add(Fault(FaultKind.REDIRECT, status=status, location="/api/cluster"))
        assert (await it.failure()).reason is Reason.BAD_RESPONSE
        assert len(it.cluster.requests) == 1


@pytest.mark.parametrize("prefix", ["https://", "//", "@"])
async def test_credentials_never_reach_another_host(prefix: str, tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        other = await it.simulator.add(SimulatedCluster("other", packages=["9.14.1"]))
        location = f"{prefix}{other.address}{PACKAGES_PATH}"
        it.cluster.faults.add(Fault(FaultKind.FOREIGN_LINK, location=location))
        assert (await it.failure()).reason is Reason.INCOMPLETE
        it.cluster.faults.clear()
        it.cluster.faults.add(Fault(FaultKind.REDIRECT, location=location))
        assert (await it.failure()).reason is Reason.BAD_RESPONSE
        assert other.requests == ()
        assert other.connections_opened == 0


async def test_an_absolute_link_to_the_cluster_itself_is_followed(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        it.cluster.faults.add(Fault(FaultKind.ABSOLUTE_LINK, times=2))
        assert len((await it.list(max_records=1)).packages) == 3


async def test_a_failing_second_page_fails_the_listing(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        it.cluster.faults.add(Fault(FaultKind.SERVER_ERROR, page=2))
        with pytest.raises(OntapError) as caught:
            await it.list(max_records=2)
        assert caught.value.reason is Reason.API_ERROR


async def test_paging_that_never_ends_is_incomplete(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        it.cluster.faults.add(Fault(FaultKind.ENDLESS_PAGING))
        query = CollectionQuery(
            endpoint=endpoint_of(it.cluster), return_timeout_seconds=15, max_records=500, max_pages=20
        )
        with pytest.raises(OntapError) as caught:
            await it.client.converse(read_listing(query), deadline=it.deadline())
        assert caught.value.reason is Reason.INCOMPLETE
        assert len(it.cluster.requests) == 20


async def test_a_body_without_end_is_cut_and_a_bad_response(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        it.cluster.faults.add(Fault(FaultKind.ENDLESS_BODY))
        failure = await it.failure()
        assert failure.reason is Reason.BAD_RESPONSE
        assert f"larger than {client_module.MAX_BODY_BYTES}" in str(failure)


async def test_a_listing_cut_short_is_incomplete(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        it.cluster.faults.add(Fault(FaultKind.CUT_SHORT_LISTING))
        with pytest.raises(OntapError) as caught:
            await it.list(return_timeout_seconds=1)
        assert caught.value.reason is Reason.INCOMPLETE


@pytest.mark.parametrize("kind", [FaultKind.HANG, FaultKind.SLOW_BODY])
async def test_a_deadline_ends_a_request_that_hangs(kind: FaultKind, tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        it.cluster.faults.add(Fault(kind, seconds=600))
        assert (await it.failure(seconds=0.3)).reason is Reason.TIMEOUT


async def test_the_deadline_covers_all_pages_together(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        it.cluster.faults.add(Fault(FaultKind.LATENCY, seconds=1.0))
        query = CollectionQuery(endpoint=endpoint_of(it.cluster), return_timeout_seconds=15, max_records=1)
        with pytest.raises(OntapError) as caught:
            await it.client.converse(read_listing(query), deadline=it.deadline(2.5))
        assert caught.value.reason is Reason.TIMEOUT
        assert 2 <= len(it.cluster.requests) <= 3


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.RESET, times=1),
        Fault(FaultKind.LOST_ANSWER, times=1),
        Fault(FaultKind.TRUNCATED_BODY, times=1),
        Fault(FaultKind.TOO_MANY_REQUESTS, times=1, retry_after="0"),
        Fault(FaultKind.UNAVAILABLE, times=1),
        Fault(FaultKind.UNAVAILABLE, times=1, retry_after="0"),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.retry_after}",
)
async def test_a_transient_failure_is_retried(fault: Fault, tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        it.cluster.faults.add(fault)
        assert len((await it.list()).packages) == 3
        assert len(it.cluster.requests) == 2


async def test_retry_after_is_respected(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        it.cluster.faults.add(Fault(FaultKind.TOO_MANY_REQUESTS, times=1, retry_after="1"))
        await it.list()
        first, second = it.cluster.requests
        assert second.monotonic_seconds - first.monotonic_seconds >= 1.0


async def test_a_retry_after_beyond_the_deadline_gives_up_at_once(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        it.cluster.faults.add(Fault(FaultKind.TOO_MANY_REQUESTS, retry_after="60"))
        failure = await it.failure()
        assert (failure.reason, failure.retry_after_seconds) == (Reason.RATE_LIMITED, 60)
        assert len(it.cluster.requests) == 1


@pytest.mark.parametrize("kind", [FaultKind.UNAUTHORIZED, FaultKind.FORBIDDEN, FaultKind.SERVER_ERROR])
async def test_a_permanent_failure_is_not_retried(kind: FaultKind, tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        it.cluster.faults.add(Fault(kind))
        await it.failure()
        assert len(it.cluster.requests) == 1


def send_once(method: str, target: str) -> Conversation[dict[str, object]]:
    return read_object((yield Request(method=method, target=target)))


@pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.LOST_ANSWER, FaultKind.UNAVAILABLE])
async def test_a_deletion_is_sent_once_whatever_happens_to_it(kind: FaultKind, tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        await it.list()
        it.cluster.faults.add(Fault(kind, method="DELETE"))
        with pytest.raises(OntapError):
            await it.client.converse(
                send_once("DELETE", f"{PACKAGES_PATH}/9.12.1?return_timeout=0"), deadline=it.deadline()
            )
        (deletion,) = it.cluster.requests_to(PACKAGES_PATH, method="DELETE")
        assert deletion.body == b""
        assert it.counts.totals()["DELETE", "503" if kind is FaultKind.UNAVAILABLE else "error"] == 1


async def test_an_echoed_password_is_redacted(tmp_path: Path) -> None:
    async with bench(small_cluster(password="hunter2-secret"), tmp_path) as it:
        await it.list()
        header = it.cluster.requests[0].headers["Authorization"]
        it.cluster.faults.add(Fault(FaultKind.ERROR, status=400, message=f"bad {header} or hunter2-secret"))
        failure = await it.failure()
        assert str(failure) == "HTTP 400: bad <secret> or <secret> (code 262145)"


PASSWORD = "it's\\my\\p\"ssword'"


@pytest.mark.parametrize("before", ["", "x" * 180])
@pytest.mark.parametrize(
    "body",
    [
        "{password}",
        "{header}",
        '{{"error": {{"message": {as_json}, "code": "{encoded}"}}}}',
        '{{"said": {as_json}}}',
    ],
)
async def test_no_part_of_an_echoed_secret_is_in_an_error(body: str, before: str, tmp_path: Path) -> None:
    async with bench(small_cluster(password=PASSWORD), tmp_path) as it:
        await it.list()
        header = it.cluster.requests[0].headers["Authorization"]
        echoed = body.format(
            password=PASSWORD, header=header, as_json=json.dumps(PASSWORD), encoded=header[6:].rstrip("=")
        )
        it.cluster.faults.add(Fault(FaultKind.REPLY, status=500, body=(before + echoed).encode()))
        failure = await it.failure()
        if not before:
            assert "<secret>" in str(failure)
        assert failure.code in {"", "unreadable"}
        for part in ("it's", "my", "ssword", "Basic", header[6:12]):
            assert part not in str(failure)


async def test_a_secret_that_has_changed_since_it_was_sent_is_redacted(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("simulated")
    login = BasicLogin(username="monitor", password=Secret(file=file))
    async with bench(small_cluster(), tmp_path, login=login) as it:
        await it.list()
        file.write_text("another")
        await it.client.renew_login()
        assert it.client.credentials.redact("another simulated") == "<secret> <secret>"


@asynccontextmanager
async def slow_to_connect(cluster: SimulatedCluster, seconds: float) -> AsyncIterator[Endpoint]:
    """Forward to a cluster, but delay the handshake of each new connection."""
    async with forwarding(cluster, before=lambda: asyncio.sleep(seconds)) as port:
        yield replace(endpoint_of(cluster), port=port)


async def test_connecting_is_no_part_of_the_time_that_ontap_took(tmp_path: Path) -> None:
    async with bench(SimulatedCluster("c1"), tmp_path) as it, slow_to_connect(it.cluster, 2.0) as endpoint:
        it.reach(endpoint, tls=Tls(ca_file=it.simulator.ca_file, server_name=SERVER_NAME))
        listing = await it.list(return_timeout_seconds=2)
        assert listing.packages == ()


async def test_a_connection_refused_is_no_connection(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        await it.simulator.stop("c1")
        assert (await it.failure()).reason is Reason.CONNECTION
        assert it.counts.totals() == {("GET", "error"): 1}


async def test_a_name_that_does_not_resolve_is_no_connection(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        it.reach(Endpoint(host="cluster..invalid"))
        assert (await it.failure()).reason in {Reason.CONNECTION, Reason.TIMEOUT}


async def test_an_idle_connection_is_closed_before_the_cluster_would_close_it(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        it.cluster.keepalive_seconds = 3600.0  # so that nobody but the client closes it
        await it.list()

        async def is_closed() -> bool:
            return it.cluster.open_connections == 0

        await eventually(is_closed, seconds=DEADLINE_SECONDS, what="the end of the connection")


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system has no TCP_USER_TIMEOUT")
async def test_what_a_cluster_does_not_acknowledge_is_given_up_after_20_s(tmp_path: Path) -> None:
    cluster = small_cluster(plain_http=True, faults=[Fault(FaultKind.ENDLESS_BODY)])
    async with (
        Simulator([cluster], directory=tmp_path),
        open_session() as session,
        session.get(f"{cluster.url}{PACKAGES_PATH}") as response,
    ):
        assert response.connection is not None
        assert response.connection.transport is not None
        connected = response.connection.transport.get_extra_info("socket")
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000


async def test_a_connection_closed_while_idle_is_opened_again(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        await it.list()
        await it.simulator.drop_connections("c1")
        assert len((await it.list()).packages) == 3


async def test_an_unknown_authority_is_a_tls_failure(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path, tls=Tls()) as it:
        failure = await it.failure()
        assert failure.reason is Reason.TLS
        assert "certificate verify failed" in str(failure)
        assert it.cluster.requests == ()


async def test_a_certificate_of_another_name_is_a_tls_failure(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        it.reach(tls=Tls(ca_file=it.simulator.ca_file, server_name="cluster.example"))
        assert (await it.failure()).reason is Reason.TLS


async def test_server_name_stands_in_for_the_address(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        it.reach(tls=Tls(ca_file=it.simulator.ca_file, server_name=SERVER_NAME))
        assert len((await it.list()).packages) == 3


async def test_insecure_skip_verify_trusts_any_certificate(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path, tls=Tls(insecure_skip_verify=True)) as it:
        assert len((await it.list()).packages) == 3


async def test_a_lower_tls_version_than_allowed_is_a_tls_failure(tmp_path: Path) -> None:
    async with bench(small_cluster(maximum_tls=ssl.TLSVersion.TLSv1_2), tmp_path) as it:
        assert len((await it.list()).packages) == 3
        it.reach(tls=Tls(ca_file=it.simulator.ca_file, min_version=TlsVersion.TLS13))
        assert (await it.failure()).reason is Reason.TLS


async def test_a_configured_client_certificate_is_shown(tmp_path: Path) -> None:
    cluster = small_cluster(require_client_certificate=True)
    async with bench(cluster, tmp_path, login=None) as it:
        await it.failure()
        certificate = it.simulator.issue_client_certificate("monitor")
        tls = Tls(
            ca_file=it.simulator.ca_file, cert_file=certificate.cert_file, key_file=certificate.key_file
        )
        it.reach(tls=tls)
        assert len((await it.list()).packages) == 3
        assert it.cluster.requests[-1].client_name == "monitor"


@contextlib.contextmanager
def strict_server(
    directory: Path, *, change: Callable[[ssl.SSLContext], object]
) -> Iterator[tuple[Endpoint, Path]]:
    """Serve TLS with OpenSSL's own alerts, which asyncio's server does not send; yield address and CA."""
    authority = trustme.CA()
    ca_file = directory / "strict-ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca_file)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    change(context)
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as threads:

        def accept() -> None:
            connection, _ = listening.accept()
            with context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as tls:
                with contextlib.suppress(OSError):
                    tls.do_handshake()
                # Closing at once would send a reset, which may overtake the alert.
                socket.socket.shutdown(tls, socket.SHUT_WR)
                while socket.socket.recv(tls, 4096):
                    pass

        accepted = threads.submit(accept)
        yield Endpoint(host="127.0.0.1", port=listening.getsockname()[1]), ca_file
        accepted.result(DEADLINE_SECONDS)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_an_alert_for_a_missing_client_certificate_is_a_tls_failure(
    version: ssl.TLSVersion, tmp_path: Path
) -> None:
    def demand_certificate(context: ssl.SSLContext) -> None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.maximum_version = version

    async with bench(small_cluster(), tmp_path) as it:
        with strict_server(tmp_path, change=demand_certificate) as (endpoint, ca_file):
            it.reach(endpoint, tls=Tls(ca_file=ca_file))
            assert (await it.failure()).reason is Reason.TLS


async def test_an_alert_for_a_tls_version_is_a_tls_failure(tmp_path: Path) -> None:
    def old(context: ssl.SSLContext) -> None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2

    async with bench(small_cluster(), tmp_path) as it:
        with strict_server(tmp_path, change=old) as (endpoint, ca_file):
            it.reach(endpoint, tls=Tls(ca_file=ca_file, min_version=TlsVersion.TLS13))
            assert (await it.failure()).reason is Reason.TLS


async def test_a_reset_before_the_handshake_is_no_connection(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path) as it:
        with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as threads:

            def reset() -> None:
                connection, _ = listening.accept()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.recv(1)
                connection.close()

            done = threads.submit(reset)
            it.reach(Endpoint(host="127.0.0.1", port=listening.getsockname()[1]))
            assert (await it.failure()).reason is Reason.CONNECTION
            done.result(DEADLINE_SECONDS)


async def test_tls_files_that_cannot_be_used_are_a_tls_failure(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path, tls=Tls(ca_file=tmp_path / "missing.pem")) as it:
        failure = await it.failure()
        assert failure.reason is Reason.TLS
        assert it.cluster.requests == ()


async def test_tls_files_that_cannot_be_used_count_no_request(tmp_path: Path) -> None:
    async with bench(small_cluster(), tmp_path, tls=Tls(ca_file=tmp_path / "missing.pem")) as it:
        await it.failure()
        assert it.counts.totals() == {}


async def test_plain_http_to_an_https_port_is_a_failure(tmp_path: Path) -> None:
    async with bench(small_cluster(plain_http=True), tmp_path) as it:
        assert len((await it.list()).packages) == 3
        host, _, port = it.cluster.address.rpartition(":")
        it.reach(Endpoint(host=host, port=int(port)))
        assert (await it.failure()).reason is Reason.TLS


async def test_the_identity_is_read(tmp_path: Path) -> None:
    async with bench(small_cluster(version="9.14.1P2"), tmp_path) as it:
        identity = await it.client.converse(read_identity(), deadline=it.deadline())
        assert identity == ClusterIdentity(name="c1", uuid=it.cluster.uuid, ontap_version="9.14.1P2")
