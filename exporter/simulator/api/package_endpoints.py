"""The package repository's part of the API: listing it, reading one package, deleting.

Source: https://docs.netapp.com/us-en/ontap-restapi/cluster_software_packages_endpoint_overview.html
"""

import functools
import json
from http import HTTPStatus

from exporter.simulator.api.collection_pages import (
    INDEX,
    Collection,
    collection_document,
    envelope,
    wants_links,
    with_self,
)
from exporter.simulator.api.field_selection import parsed_fields, selected
from exporter.simulator.api.ontap_replies import refused, unexpected_argument
from exporter.simulator.api.page_collecting import next_link
from exporter.simulator.api.request_queries import (
    DEFAULT_RETURN_TIMEOUT,
    START_PREFIX,
    accepts,
    collection_query,
    return_timeout,
    whole_number,
)
from exporter.simulator.faults.fault import PACKAGES_PATH
from exporter.simulator.state.cluster_facts import UpdateState
from exporter.simulator.state.received_requests import ReceivedRequest
from exporter.simulator.state.simulated_cluster import SimulatedCluster
from exporter.simulator.state.simulated_jobs import Job, JobScript

PACKAGES = Collection(
    path=PACKAGES_PATH,
    key="version",
    default_fields=("version",),
    fields=frozenset({"version", "create_time", "_links"}),
    filterable=("version", "create_time"),
)

JOBS_PATH = "/api/cluster/jobs"


async def packages_document(cluster: SimulatedCluster, request: ReceivedRequest) -> dict[str, object]:
    """One page of the repository, or of the pages scripted for it.

    Raises:
        RefusedError: A parameter is not known, or its value is out of range.
    """
    if cluster.paging.script is not None:
        return _scripted_document(cluster, request, cluster.paging.script)
    cluster.jobs.settle()
    return await collection_document(
        cluster, request, PACKAGES, cluster.repository.entries, record_seconds=cluster.record_seconds
    )


def package_document(cluster: SimulatedCluster, request: ReceivedRequest, version: str) -> object:
    """The record of one package.

    Raises:
        RefusedError: There is none of that version, or a parameter is at fault.
    """
    given = dict(request.query)
    for name in given:
        if name not in ("fields", "return_timeout"):
            raise unexpected_argument(name)
    return_timeout(given, DEFAULT_RETURN_TIMEOUT)
    fields = parsed_fields(given.get("fields"), PACKAGES.fields)
    cluster.jobs.settle()
    package = cluster.repository.find(version)
    if package is None:
        raise refused(4, target="version")
    record = selected(package.record, fields or ("*",), keys=("version",))
    return with_self(record, PACKAGES_PATH, version, request)


async def delete_package(
    cluster: SimulatedCluster, request: ReceivedRequest, version: str, script: JobScript | None
) -> tuple[int, object]:
    """Start the job that deletes one package; give the status and the document.

    Raises:
        RefusedError: The package cannot be deleted now, or the request is at fault.
    """
    cluster.delete_attempts[version] += 1
    given = dict(request.query)
    for name in given:
        if name != "return_timeout":
            raise unexpected_argument(name)
    patience = return_timeout(given, 0)
    _refuse_body(request)
    _refuse_deletion(cluster, version)
    job = _start(cluster, version, script, by_collection=False)
    over = patience > 0 and await cluster.jobs.wait(job, patience)
    return (HTTPStatus.OK if over else HTTPStatus.ACCEPTED), {"job": job_link(job, request)}


async def delete_collection(cluster: SimulatedCluster, request: ReceivedRequest) -> tuple[int, object]:
    """Start a job for every package that matches, the whole repository where nothing is asked for.

    Raises:
        RefusedError: A parameter is not known, or its value is out of range.
    """
    cluster.collection_deletes += 1
    query = collection_query(request.query, filterable=PACKAGES.filterable, sortable=PACKAGES.filterable)
    _refuse_body(request)
    cluster.jobs.settle()
    versions = [
        str(entry.value("version"))
        for entry in cluster.repository.entries
        if all(accepts(entry.value(name), pattern) for name, pattern in query.filters.items())
    ]
    jobs = [_start(cluster, version, None, by_collection=True) for version in versions]
    return HTTPStatus.ACCEPTED, {
        "records": [{"version": version} for version in versions],
        "num_records": len(versions),
        "jobs": [job_link(job, request) for job in jobs],
    }


def job_link(job: Job, request: ReceivedRequest) -> dict[str, object]:
    """A job as the reply that starts it names it."""
    link: dict[str, object] = {"uuid": job.uuid}
    if wants_links(request):
        link["_links"] = {"self": {"href": f"{JOBS_PATH}/{job.uuid}"}}
    return link


def _start(cluster: SimulatedCluster, version: str, script: JobScript | None, *, by_collection: bool) -> Job:
    return cluster.jobs.start(
        f"DELETE {PACKAGES_PATH}/{version}",
        subject=version,
        script=script or cluster.job_scripts.get(version, cluster.job_script),
        seconds=cluster.job_seconds,
        retention_seconds=cluster.job_retention_seconds,
        effect=functools.partial(cluster.delete, by_collection=by_collection),
    )


def _refuse_body(request: ReceivedRequest) -> None:
    text = request.body.strip()
    try:
        empty = not text or json.loads(text) == {}
    except ValueError:
        empty = False
    if not empty:
        raise refused(262198)


def _refuse_deletion(cluster: SimulatedCluster, version: str) -> None:
    cluster.jobs.settle()
    if not cluster.repository.packages:
        raise refused(10551315, target="version")
    if cluster.repository.find(version) is None:
        raise refused(10551325, target="version")
    if version == cluster.version or any(node.version == version for node in cluster.nodes):
        raise refused(cluster.in_use_code, target="version")
    finished = {None, *(state.value for state in UpdateState if state.finished)}
    if cluster.refuses_during_update and cluster.update_state not in finished:
        raise refused(10551347)
    if any(job.subject == version for job in cluster.jobs.live()):
        raise refused(10551367)


def _scripted_document(
    cluster: SimulatedCluster, request: ReceivedRequest, script: tuple[tuple[object, ...], ...]
) -> dict[str, object]:
    query = collection_query(request.query, filterable=PACKAGES.filterable, sortable=PACKAGES.filterable)
    parsed_fields(query.fields, PACKAGES.fields)
    index = whole_number(
        {f"{START_PREFIX}{INDEX}": query.start.get(INDEX, "0")}, f"{START_PREFIX}{INDEX}", 0, 0, len(script)
    )
    link = (
        next_link(request.path, request.query, [(INDEX, str(index + 1))]) if index + 1 < len(script) else None
    )
    records = script[index] if index < len(script) else ()
    return envelope(cluster, request, records, link)
