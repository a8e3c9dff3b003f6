"""NetApp's own SDK works with the simulator: an independent check of its API."""

import asyncio
from typing import Any

import pytest
from netapp_ontap.error import NetAppRestError
from netapp_ontap.host_connection import HostConnection
from netapp_ontap.resources.cluster import Cluster
from netapp_ontap.resources.node import Node
from netapp_ontap.resources.software import Software
from netapp_ontap.resources.software_package import SoftwarePackage

from exporter.simulator import JobOutcome, JobScript, SimulatedCluster
from support.simulated_api import PACKAGES

pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request is being made")


def connection(cluster: SimulatedCluster) -> HostConnection:
    host, port = cluster.address.split(":")
    return HostConnection(
        host, port=int(port), username=cluster.username, password=cluster.password, verify=False
    )


async def test_the_sdk_lists_packages_page_by_page(cluster: SimulatedCluster) -> None:
    def listed() -> list[tuple[str, str]]:
        with connection(cluster):
            packages = SoftwarePackage.get_collection(fields="*", max_records=2)
            return [(package.version, str(package.create_time)) for package in packages]

    assert await asyncio.to_thread(listed) == [
        ("9.12.1", "2022-02-04 19:00:00+00:00"),
        ("9.13.1", "2023-06-01 10:00:00+02:00"),
        ("9.13.1P4", "2023-09-11 08:30:00+00:00"),
        ("9.14.1", "2024-01-15 12:00:00+00:00"),
        ("9.14.1P2", "2024-03-20 09:15:00+00:00"),
    ]
    assert len(cluster.requests_to(PACKAGES)) == 3


async def test_the_sdk_reads_one_package(cluster: SimulatedCluster) -> None:
    def read() -> Any:
        with connection(cluster):
            package = SoftwarePackage(version="9.13.1")
            package.get()
            return package.create_time.isoformat()

    assert await asyncio.to_thread(read) == "2023-06-01T10:00:00+02:00"


async def test_the_sdk_deletes_a_package(cluster: SimulatedCluster) -> None:
    def delete() -> None:
        with connection(cluster):
            SoftwarePackage(version="9.12.1").delete(poll_interval=1)

    await asyncio.to_thread(delete)
    assert [deletion.version for deletion in cluster.deletions] == ["9.12.1"]
    assert [(one.method, one.body) for one in cluster.requests_to(method="DELETE")] == [("DELETE", b"{}")]
    assert cluster.requests_to("/api/cluster/jobs/")


async def test_the_sdk_sees_a_job_fail(cluster: SimulatedCluster) -> None:
    cluster.job_script = JobScript(outcome=JobOutcome.FAILURE, code=10551367)

    def delete() -> None:
        with connection(cluster):
            SoftwarePackage(version="9.12.1").delete(poll_interval=1)

    with pytest.raises(NetAppRestError, match="busy"):
        await asyncio.to_thread(delete)
    assert not cluster.deletions


async def test_the_sdk_sees_a_refusal(cluster: SimulatedCluster) -> None:
    def delete() -> None:
        with connection(cluster):
            SoftwarePackage(version="9.14.1P2").delete()

    with pytest.raises(NetAppRestError) as refused:
        await asyncio.to_thread(delete)
    assert refused.value.status_code == 409
    assert "The entry is in use." in str(refused.value)
    assert not cluster.deletions


async def test_the_sdk_reads_the_facts(cluster: SimulatedCluster) -> None:
    cluster.update_state, cluster.pending_version = "in_progress", "9.15.1"

    def read() -> tuple[Any, ...]:
        with connection(cluster):
            one, software = Cluster(), Software()
            one.get()
            software.get()
            nodes = [node.name for node in Node.get_collection(fields="name,version", max_records=1)]
            return one.name, one.version.minor, software.pending_version, software.state, nodes

    assert await asyncio.to_thread(read) == (
        "ams-01",
        1,
        "9.15.1",
        "in_progress",
        ["ams-01-01", "ams-01-02"],
    )
