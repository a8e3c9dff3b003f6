"""The API of the cluster, its nodes, its software, downloads and jobs.

All of it raises `RefusedError` where ONTAP would refuse the request.

Source: https://docs.netapp.com/us-en/ontap-restapi/get-cluster.html
"""

import re

from exporter.simulator.api.collection_pages import (
    Collection,
    Record,
    collection_document,
    single_object,
    with_self,
)
from exporter.simulator.api.ontap_replies import RefusedError
from exporter.simulator.api.package_endpoints import JOBS_PATH, PACKAGES_PATH
from exporter.simulator.state.cluster_facts import stable_uuid
from exporter.simulator.state.received_requests import ReceivedRequest
from exporter.simulator.state.simulated_cluster import SimulatedCluster
from exporter.simulator.state.simulated_jobs import Job, JobOutcome

NODES = Collection(
    path="/api/cluster/nodes",
    key="uuid",
    default_field="name",
    fields=("uuid", "name", "version"),
    later_fields={"state": (9, 7)},
)
JOBS = Collection(
    path=JOBS_PATH,
    key="uuid",
    default_field="uuid",
    fields=("uuid", "description", "state", "message", "code", "start_time", "end_time"),
    later_fields={"error": (9, 9), "node": (9, 11)},
)
_DOWNLOAD_SINCE = (9, 7)


def cluster_document(cluster: SimulatedCluster, request: ReceivedRequest) -> object:
    """The document of `GET /api/cluster`."""
    document = {"name": cluster.name, "uuid": cluster.uuid, "version": _version_document(cluster.version)}
    return single_object(document, request, ("name", "uuid", "version"), key="uuid")


async def nodes_document(cluster: SimulatedCluster, request: ReceivedRequest) -> object:
    """One page of `GET /api/cluster/nodes`."""
    records = (
        {
            "uuid": stable_uuid(f"node/{node.name}"),
            "name": node.name,
            "state": node.state,
            **({"version": _version_document(node.version)} if node.state == "up" else {}),
        }
        for node in cluster.nodes
    )
    return await collection_document(cluster, request, NODES, enumerate(records))


def software_document(cluster: SimulatedCluster, request: ReceivedRequest) -> object:
    """The document of `GET /api/cluster/software`."""
    if cluster.software_document is not None:
        return cluster.software_document
    document: dict[str, object] = {"version": cluster.version}
    if cluster.pending_version is not None:
        document["pending_version"] = cluster.pending_version
    if cluster.update_state is not None:
        document["state"] = cluster.update_state
    up = [node for node in cluster.nodes if node.state == "up"]
    document["nodes"] = [{"name": node.name, "version": node.version} for node in up]
    return single_object(document, request, ("version", "pending_version", "state", "nodes"))


def download_document(cluster: SimulatedCluster, request: ReceivedRequest) -> object:
    """The document of `GET /api/cluster/software/download`."""
    if cluster.release < _DOWNLOAD_SINCE:
        raise RefusedError(3)
    document: dict[str, object] = {"state": cluster.download_state}
    if cluster.download_code is not None:
        document["code"] = cluster.download_code
    return single_object(document, request, ("state", "message", "code"))


async def jobs_document(cluster: SimulatedCluster, request: ReceivedRequest) -> object:
    """One page of `GET /api/cluster/jobs`."""
    records = (_job_record(cluster, job) for job in cluster.jobs.readable())
    return await collection_document(cluster, request, JOBS, enumerate(records))


def job_document(cluster: SimulatedCluster, request: ReceivedRequest, job_uuid: str) -> object:
    """The document of `GET /api/cluster/jobs/{uuid}`."""
    job = cluster.jobs.find(job_uuid)
    if job is None:
        raise RefusedError(4, target="uuid")
    record = single_object(_job_record(cluster, job), request, JOBS.fields_of(cluster), key="uuid")
    return with_self(record, f"{JOBS_PATH}/{job.uuid}", request)


def _job_record(cluster: SimulatedCluster, job: Job) -> Record:
    script = job.script
    failed = job.over and script.outcome is JobOutcome.FAILURE
    message = script.message or (RefusedError(script.code).message if failed else "success")
    record: dict[str, object] = {
        "uuid": job.uuid,
        "description": f"DELETE {PACKAGES_PATH}/{job.subject}",
        "state": job.state(cluster.clock.seconds()),
        "message": message if job.over else "The job is in progress.",
        "code": script.code if failed else 0,
        "start_time": cluster.clock.time_at(job.started_seconds).isoformat(timespec="seconds"),
        "node": {"name": cluster.nodes[0].name if cluster.nodes else cluster.name},
    }
    if job.ended_seconds is not None:
        record["end_time"] = cluster.clock.time_at(job.ended_seconds).isoformat(timespec="seconds")
    if failed and not script.old_style:
        record["error"] = {"message": message, "code": str(script.code)}
    return record


def _version_document(version: str) -> Record:
    document: dict[str, object] = {"full": f"NetApp Release {version}: Sun Feb 04 19:00:00 UTC 2024"}
    release = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    if release is not None:
        names = ("generation", "major", "minor")
        document |= {name: int(number or 0) for name, number in zip(names, release.groups(), strict=True)}
    return document
