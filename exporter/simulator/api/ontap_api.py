"""ONTAP's API as far as it is simulated: finds what a request asks for and carries it out.

Source: https://docs.netapp.com/us-en/ontap-restapi/
"""

from http import HTTPStatus

from exporter.simulator.api.cluster_endpoints import (
    cluster_document,
    download_document,
    job_document,
    jobs_document,
    nodes_document,
    software_document,
)
from exporter.simulator.api.ontap_replies import RefusedError
from exporter.simulator.api.package_endpoints import (
    delete_collection,
    delete_package,
    package_document,
    packages_document,
)
from exporter.simulator.state.received_requests import ReceivedRequest
from exporter.simulator.state.simulated_cluster import SimulatedCluster
from exporter.simulator.state.simulated_jobs import JobScript


async def carry_out(  # noqa: C901 - one case for each path
    cluster: SimulatedCluster, request: ReceivedRequest, script: JobScript | None = None
) -> tuple[int, object]:
    """Carry a request out and give the status and the document of its reply.

    If there is a script, a deletion's job goes as it says, not as the cluster says.

    Raises:
        RefusedError: ONTAP would refuse it.
    """
    if request.segments[:2] != ("api", "cluster"):
        raise RefusedError(3)
    status: int = HTTPStatus.OK
    document: object
    match request.method, *request.segments[2:]:
        case ("GET",):
            document = cluster_document(cluster, request)
        case "GET", "nodes":
            document = await nodes_document(cluster, request)
        case "GET", "jobs":
            document = await jobs_document(cluster, request)
        case "GET", "jobs", job_uuid:
            document = job_document(cluster, request, job_uuid)
        case "GET", "software":
            document = software_document(cluster, request)
        case "GET", "software", "download":
            document = download_document(cluster, request)
        case "GET", "software", "packages":
            document = await packages_document(cluster, request)
        case "GET", "software", "packages", version:
            document = package_document(cluster, request, version)
        case "DELETE", "software", "packages":
            status, document = delete_collection(cluster, request)
        case "DELETE", "software", "packages", version:
            status, document = await delete_package(cluster, request, version, script)
        case _:
            raise RefusedError(3)
    return status, document
