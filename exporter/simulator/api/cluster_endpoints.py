"""The rest of the API: the cluster, its nodes, its software, downloads and jobs.

Source: https://docs.netapp.com/us-en/ontap-restapi/get-cluster.html
"""

import json
import re
from collections.abc import Iterable
from http import HTTPStatus

from exporter.simulator.api.collection_pages import Collection, collection_document, with_self
from exporter.simulator.api.field_selection import parsed_fields, selected
from exporter.simulator.api.ontap_replies import RefusedError, refused, unexpected_argument
from exporter.simulator.api.package_endpoints import JOBS_PATH, job_link
from exporter.simulator.api.request_queries import DEFAULT_RETURN_TIMEOUT, return_timeout
from exporter.simulator.state.cluster_facts import DownloadState, version_document
from exporter.simulator.state.package_repository import Entry
from exporter.simulator.state.received_requests import ReceivedRequest
from exporter.simulator.state.simulated_cluster import SimulatedCluster

VERSION_FIELDS = ("version", "version.full", "version.generation", "version.major", "version.minor")
CLUSTER_FIELDS = frozenset({"name", "uuid", "location", "contact", "_links", *VERSION_FIELDS})
SOFTWARE_FIELDS = frozenset(
    {
        "version",
        "pending_version",
        "state",
        "nodes",
        "nodes.name",
        "nodes.node",
        "nodes.version",
        "elapsed_duration",
        "estimated_duration",
        "status_details",
        "update_details",
        "validation_results",
        "metrocluster",
        "_links",
    }
)
DOWNLOAD_FIELDS = frozenset({"state", "message", "code", "_links"})
JOB_FIELDS = frozenset(
    {
        "uuid",
        "description",
        "state",
        "message",
        "code",
        "start_time",
        "end_time",
        "error",
        "error.message",
        "error.code",
        "error.arguments",
        "node",
        "node.name",
        "svm",
        "_links",
    }
)
NODES = Collection(
    path="/api/cluster/nodes",
    key="uuid",
    default_fields=("name",),
    fields=frozenset({"name", "uuid", "state", "membership", "_links", *VERSION_FIELDS}),
    filterable=("name", "uuid", "state"),
)
JOBS = Collection(
    path=JOBS_PATH,
    key="uuid",
    default_fields=("uuid",),
    fields=JOB_FIELDS,
    filterable=("uuid", "description", "state"),
)

DOWNLOAD_MESSAGES: dict[str, tuple[int, str]] = {
    DownloadState.RUNNING: (10551382, "The package download is in progress."),
    DownloadState.SUCCESS: (0, "The package download is completed."),
    DownloadState.FAILURE: (262145, "The package download failed."),
}

_DOTTED = re.compile(r"\d+\.\d+(?:\.\d+)?(?:(?:P|RC|D|X)\d+)*")
_COMPACT = re.compile(r"(9)(\d{1,2})(\d)((?:(?:P|RC|D|X)\d+)*)_")


def cluster_document(cluster: SimulatedCluster, request: ReceivedRequest) -> object:
    """The document of `GET /api/cluster`."""
    document: dict[str, object] = {
        "name": cluster.name,
        "uuid": cluster.uuid,
        "version": version_document(cluster.version),
    }
    return _single(document, request, CLUSTER_FIELDS, keys=("name", "uuid"))


async def nodes_document(cluster: SimulatedCluster, request: ReceivedRequest) -> object:
    """One page of `GET /api/cluster/nodes`."""
    entries = (
        Entry(
            number,
            {
                "uuid": node.uuid,
                "name": node.name,
                "state": node.state,
                "membership": "member",
                "version": version_document(node.version),
            },
        )
        for number, node in enumerate(cluster.nodes)
    )
    return await collection_document(cluster, request, NODES, entries)


def software_document(cluster: SimulatedCluster, request: ReceivedRequest) -> object:
    """The document of `GET /api/cluster/software`."""
    if cluster.software_document is not None:
        return dict(cluster.software_document)
    document: dict[str, object] = {"version": cluster.version}
    if cluster.pending_version is not None:
        document["pending_version"] = cluster.pending_version
    if cluster.update_state is not None:
        document["state"] = str(cluster.update_state)
    document["nodes"] = [{cluster.node_key: node.name, "version": node.version} for node in cluster.nodes]
    return _single(document, request, SOFTWARE_FIELDS)


def download_document(cluster: SimulatedCluster, request: ReceivedRequest) -> object:
    """The document of `GET /api/cluster/software/download`."""
    state = str(cluster.download_state)
    document: dict[str, object] = {"state": state}
    if state in DOWNLOAD_MESSAGES:
        code, message = DOWNLOAD_MESSAGES[state]
        document |= {"message": message, "code": code}
    return _single(document, request, DOWNLOAD_FIELDS)


async def start_download(cluster: SimulatedCluster, request: ReceivedRequest) -> tuple[int, object]:
    """Start the job that downloads a package; give the status and the document.

    Raises:
        RefusedError: The body names no URL, or a download is running.

    Source: https://docs.netapp.com/us-en/ontap-restapi/post-cluster-software-download.html
    """
    given = dict(request.query)
    for name in given:
        if name not in ("return_timeout", "return_records"):
            raise unexpected_argument(name)
    patience = return_timeout(given, 0)
    version = _downloaded_version(request.body)
    if cluster.download_state == DownloadState.RUNNING:
        raise refused(10551367)
    job = cluster.download(version)
    over = patience > 0 and await cluster.jobs.wait(job, patience)
    return (HTTPStatus.OK if over else HTTPStatus.ACCEPTED), {"job": job_link(job, request)}


async def jobs_document(cluster: SimulatedCluster, request: ReceivedRequest) -> object:
    """One page of `GET /api/cluster/jobs`."""
    return await collection_document(
        cluster,
        request,
        JOBS,
        (Entry(number, record) for number, record in enumerate(cluster.job_documents())),
    )


def job_document(cluster: SimulatedCluster, request: ReceivedRequest, job_uuid: str) -> object:
    """The document of `GET /api/cluster/jobs/{uuid}`.

    Raises:
        RefusedError: There is no such job, or none any more.
    """
    job = cluster.jobs.find(job_uuid)
    if job is None:
        raise refused(4, target="uuid")
    document = cluster.job_document(job)
    return with_self(_single(document, request, JOB_FIELDS, keys=("uuid",)), JOBS_PATH, job.uuid, request)


def _single(
    document: dict[str, object], request: ReceivedRequest, known: frozenset[str], *, keys: Iterable[str] = ()
) -> object:
    """The part of a single object that was asked for; everything where nothing was."""
    given = dict(request.query)
    for name in given:
        if name not in ("fields", "return_timeout"):
            raise unexpected_argument(name)
    return_timeout(given, DEFAULT_RETURN_TIMEOUT)
    fields = parsed_fields(given.get("fields"), known)
    return selected(document, fields or ("*",), keys=keys)


def _downloaded_version(body: bytes) -> str:
    try:
        document = json.loads(body or b"{}")
    except ValueError as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, 262199, "The body is no valid JSON.") from error
    url = document.get("url") if isinstance(document, dict) else None
    if not isinstance(url, str) or not url:
        raise refused(2, target="url", message='The field "url" is required.')
    name = url.rstrip("/").rpartition("/")[2]
    compact = _COMPACT.match(name)
    if compact is not None:
        return f"{compact[1]}.{compact[2]}.{compact[3]}{compact[4]}"
    dotted = _DOTTED.search(name)
    return dotted[0] if dotted is not None else name
