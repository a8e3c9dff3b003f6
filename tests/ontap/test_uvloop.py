"""On uvloop, on which the daemon runs, a failure has the same reason as in the other tests, on asyncio."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine
from pathlib import Path

import pytest
import uvloop

from exporter.ontap.client import OntapClient, RequestCounts
from exporter.ontap.cluster_settings import BasicLogin, Endpoint, Secret, Tls, TlsVersion
from exporter.ontap.credentials import Credentials
from exporter.ontap.errors import OntapError, Reason
from exporter.ontap.requests.listing import CollectionQuery, Listing, read_listing
from exporter.ontap.session import open_session
from exporter.ontap.tls import TlsContexts
from exporter.simulator import Fault, FaultKind, SimulatedCluster, Simulator


def run(main: Coroutine[None, None, object]) -> object:
    """Run a coroutine on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


async def ask(
    cluster: SimulatedCluster,
    directory: Path,
    *,
    tls: Tls | None = None,
    stopped: bool = False,
    seconds: float = 60.0,
) -> Listing | OntapError:
    async with Simulator([cluster], directory=directory) as simulator, open_session() as session:
        host, _, port = cluster.address.rpartition(":")
        endpoint = Endpoint(host=host, port=int(port))
        client = OntapClient(
            session=session,
            contexts=TlsContexts(),
            endpoint=endpoint,
            credentials=Credentials(
                BasicLogin(username=cluster.username, password=Secret(value=cluster.password))
            ),
            tls=tls or Tls(ca_file=simulator.ca_file),
            counts=RequestCounts(),
        )
        if stopped:
            await simulator.stop(cluster.name)
        query = CollectionQuery(endpoint=endpoint, return_timeout_seconds=15, max_records=2)
        try:
            deadline = asyncio.get_running_loop().time() + seconds
            return await client.converse(read_listing(query), deadline=deadline)
        except OntapError as exc:
            return exc


def cluster(*faults: Fault, **settings: object) -> SimulatedCluster:
    packages = ["9.12.1", "9.13.1", "9.14.1"]
    return SimulatedCluster("c1", packages=packages, faults=list(faults), **settings)  # type: ignore[arg-type]


def test_a_listing_is_read_over_pages(tmp_path: Path) -> None:
    listing = run(ask(cluster(), tmp_path))
    assert isinstance(listing, Listing)
    assert [package.version for package in listing.packages] == ["9.12.1", "9.13.1", "9.14.1"]
    assert listing.pages == 2


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (FaultKind.HANG, Reason.TIMEOUT),
        (FaultKind.RESET, Reason.CONNECTION),
        (FaultKind.TRUNCATED_JSON, Reason.BAD_RESPONSE),
        (FaultKind.UNAUTHORIZED, Reason.UNAUTHORIZED),
    ],
)
def test_a_fault_has_its_reason(kind: FaultKind, reason: Reason, tmp_path: Path) -> None:
    seconds = 0.5 if kind is FaultKind.HANG else 60.0
    failure = run(ask(cluster(Fault(kind)), tmp_path, seconds=seconds))
    assert isinstance(failure, OntapError)
    assert failure.reason is reason


def test_nobody_who_listens_is_no_connection(tmp_path: Path) -> None:
    failure = run(ask(cluster(), tmp_path, stopped=True))
    assert isinstance(failure, OntapError)
    assert failure.reason is Reason.CONNECTION
    assert "refused" in str(failure)


def test_a_certificate_that_is_not_trusted_is_a_tls_failure(tmp_path: Path) -> None:
    failure = run(ask(cluster(), tmp_path, tls=Tls()))
    assert isinstance(failure, OntapError)
    assert failure.reason is Reason.TLS


def test_a_server_that_is_too_old_is_a_tls_failure(tmp_path: Path) -> None:
    old = cluster(maximum_tls=ssl.TLSVersion.TLSv1_2)
    failure = run(ask(old, tmp_path, tls=Tls(insecure_skip_verify=True, min_version=TlsVersion.TLS13)))
    assert isinstance(failure, OntapError)
    assert failure.reason is Reason.TLS
