"""ONTAP's API as far as it is simulated: finds what a request asks for and carries it out.

| path | methods |
| --- | --- |
| `/api/cluster` | GET |
| `/api/cluster/nodes` | GET |
| `/api/cluster/jobs`, `/api/cluster/jobs/{uuid}` | GET |
| `/api/cluster/software` | GET |
| `/api/cluster/software/download` | GET, POST |
| `/api/cluster/software/packages` | GET, DELETE (of every match) |
| `/api/cluster/software/packages/{version}` | GET, DELETE |

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
    start_download,
)
from exporter.simulator.api.ontap_replies import RefusedError, refused
from exporter.simulator.api.package_endpoints import (
    delete_collection,
    delete_package,
    package_document,
    packages_document,
)
from exporter.simulator.state.received_requests import ReceivedRequest
from exporter.simulator.state.simulated_cluster import SimulatedCluster
from exporter.simulator.state.simulated_jobs import JobScript

PACKAGES_SEGMENTS = ("api", "cluster", "software", "packages")


async def carry_out(
    cluster: SimulatedCluster, request: ReceivedRequest, script: JobScript | None = None
) -> tuple[int, object]:
    """Carry a request out and give the status and the document of its reply.

    Args:
        cluster: The cluster that it reached.
        request: The request.
        script: How a deletion's job goes, instead of what the cluster says.

    Raises:
        RefusedError: ONTAP would refuse it.
    """
    if request.method == "GET":
        return HTTPStatus.OK, await _read(cluster, request)
    match (request.method, *request.segments):
        case ("DELETE", "api", "cluster", "software", "packages"):
            return await delete_collection(cluster, request)
        case ("DELETE", "api", "cluster", "software", "packages", version):
            return await delete_package(cluster, request, version, script)
        case ("POST", "api", "cluster", "software", "download"):
            return await start_download(cluster, request)
        case _ if _known(request.segments):
            raise RefusedError(
                HTTPStatus.METHOD_NOT_ALLOWED, 3, f"{request.method} is not supported on this path"
            )
        case _:
            raise refused(3)


async def _read(cluster: SimulatedCluster, request: ReceivedRequest) -> object:  # noqa: PLR0911 - one per path
    match request.segments:
        case ("api", "cluster"):
            return cluster_document(cluster, request)
        case ("api", "cluster", "nodes"):
            return await nodes_document(cluster, request)
        case ("api", "cluster", "jobs"):
            return await jobs_document(cluster, request)
        case ("api", "cluster", "jobs", job_uuid):
            return job_document(cluster, request, job_uuid)
        case ("api", "cluster", "software"):
            return software_document(cluster, request)
        case ("api", "cluster", "software", "download"):
            return download_document(cluster, request)
        case ("api", "cluster", "software", "packages"):
            return await packages_document(cluster, request)
        case ("api", "cluster", "software", "packages", version):
            return package_document(cluster, request, version)
        case _:
            raise refused(3)


def _known(segments: tuple[str, ...]) -> bool:
    match segments:
        case ("api", "cluster") | ("api", "cluster", "nodes" | "software" | "jobs"):
            return True
        case ("api", "cluster", "jobs", _) | ("api", "cluster", "software", "download" | "packages"):
            return True
        case ("api", "cluster", "software", "packages", _):
            return True
        case _:
            return False
