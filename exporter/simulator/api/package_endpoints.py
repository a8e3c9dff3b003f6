"""The package repository's part of the API: listing it, reading one package, deleting.

All of it raises `RefusedError` where ONTAP would refuse the request.

Source: https://docs.netapp.com/us-en/ontap-restapi/cluster_software_packages_endpoint_overview.html
"""

from fnmatch import fnmatchcase
from http import HTTPStatus

from exporter.simulator.api.collection_pages import (
    Collection,
    Record,
    collection_document,
    single_object,
    with_self,
)
from exporter.simulator.api.ontap_replies import RefusedError
from exporter.simulator.api.request_queries import CollectionDeleteQuery, DeleteQuery, parsed_query
from exporter.simulator.state.cluster_facts import FINISHED_UPDATES
from exporter.simulator.state.received_requests import ReceivedRequest
from exporter.simulator.state.simulated_cluster import SimulatedCluster
from exporter.simulator.state.simulated_jobs import Job, JobScript

PACKAGES_PATH = "/api/cluster/software/packages"
JOBS_PATH = "/api/cluster/jobs"
PACKAGES = Collection(
    path=PACKAGES_PATH,
    key="version",
    default_field="version",
    fields=("version", "create_time"),
    later_fields={},
)


async def packages_document(cluster: SimulatedCluster, request: ReceivedRequest) -> dict[str, object]:
    """One page of the repository."""
    numbered = ((number, package.record) for number, package in cluster.numbered_packages.items())
    return await collection_document(
        cluster, request, PACKAGES, numbered, record_seconds=cluster.record_seconds
    )


def package_document(cluster: SimulatedCluster, request: ReceivedRequest, version: str) -> object:
    """The record of one package."""
    package = next((one for one in cluster.packages if one.version == version), None)
    if package is None:
        raise RefusedError(4, target="version")
    record = single_object(package.record, request, PACKAGES.fields, key="version")
    return with_self(record, request.path, request)


async def delete_package(
    cluster: SimulatedCluster, request: ReceivedRequest, version: str, script: JobScript | None
) -> tuple[int, object]:
    """Start the job that deletes one package; give the status and the document."""
    cluster.delete_attempts[version] += 1
    wait_seconds = parsed_query(DeleteQuery, request).return_timeout
    _refuse_body(request)
    _refuse_deletion(cluster, version)
    job = cluster.start_deletion(version, script)
    await cluster.clock.sleep(min(wait_seconds, job.seconds))
    cluster.jobs.end_due()
    over = wait_seconds > 0 and job.over
    return (HTTPStatus.OK if over else HTTPStatus.ACCEPTED), {"job": _job_link(job, request)}


def delete_collection(cluster: SimulatedCluster, request: ReceivedRequest) -> tuple[int, object]:
    """Start a job for every package whose version matches: without a pattern, for the whole repository."""
    cluster.collection_deletes += 1
    pattern = parsed_query(CollectionDeleteQuery, request).version
    _refuse_body(request)
    versions = [str(version) for version in cluster.versions if fnmatchcase(str(version), pattern)]
    jobs = [cluster.start_deletion(version) for version in versions]
    return HTTPStatus.ACCEPTED, {"jobs": [_job_link(job, request) for job in jobs]}


def _job_link(job: Job, request: ReceivedRequest) -> Record:
    return with_self({"uuid": job.uuid}, f"{JOBS_PATH}/{job.uuid}", request)


def _refuse_body(request: ReceivedRequest) -> None:
    """Refuse any body but an empty one or `{}`, which NetApp's SDK sends."""
    if b"".join(request.body.split()) not in (b"", b"{}"):
        raise RefusedError(262198)


def _refuse_deletion(cluster: SimulatedCluster, version: str) -> None:
    if not cluster.packages:
        raise RefusedError(10551315, target="version")
    if version not in cluster.versions:
        raise RefusedError(10551325, target="version")
    if version == cluster.version or any(node.version == version for node in cluster.nodes):
        raise RefusedError(8, target="version")
    if cluster.refuses_during_update and cluster.update_state not in (None, *FINISHED_UPDATES):
        raise RefusedError(10551347)
    if any(job.subject == version for job in cluster.jobs.live()):
        raise RefusedError(10551367)
