"""One exchange with a simulated cluster: faults, sign-in, the API, and the reply.

Nothing here uses sockets: `reply_to` returns a value, which says how it is delivered.
"""

import asyncio
import base64
import dataclasses
from http import HTTPStatus
from typing import cast

from exporter.simulator.api.collection_pages import envelope, wants_links
from exporter.simulator.api.ontap_api import carry_out
from exporter.simulator.api.ontap_replies import RefusedError, Reply, json_body
from exporter.simulator.api.package_endpoints import PACKAGES_PATH
from exporter.simulator.api.request_queries import CollectionQuery, page_number, parsed_query
from exporter.simulator.faults.fault import LISTING_KINDS, Fault, FaultKind
from exporter.simulator.faults.faulty_replies import altered_listing, replaced_reply
from exporter.simulator.state.received_requests import ReceivedRequest
from exporter.simulator.state.simulated_cluster import SimulatedCluster
from exporter.simulator.state.simulated_jobs import JobOutcome, JobScript


async def reply_to(cluster: SimulatedCluster, request: ReceivedRequest, gone: asyncio.Event) -> Reply:
    """Carry a request out, unless a fault forbids it; `gone` is set when the client has gone away."""
    lists = request.method == "GET" and request.path == PACKAGES_PATH
    page = page_number(request) if lists else None
    latency_seconds, fault = cluster.faults.strike(request.method, request.path, page)
    await cluster.clock.sleep(latency_seconds)
    if fault is not None and fault.kind is FaultKind.HANG:
        await _hang(cluster, fault, gone)
    content_type = "application/hal+json" if wants_links(request) else "application/json"
    try:
        reply = None if fault is None else replaced_reply(fault, request.target)
        if reply is None:
            _authorize(cluster, request)
            status, document = await _carried_out(cluster, request, fault)
            reply = Reply(status=status, body=json_body(document), content_type=content_type)
    except RefusedError as error:
        reply = error.reply(content_type)
    return reply if fault is None else _damaged(reply, fault)


def _authorize(cluster: SimulatedCluster, request: ReceivedRequest) -> None:
    """Check the login: a password in UTF-8, a bearer token, or the name in the client's certificate.

    Raises:
        RefusedError: 401, code 6691623; wrong passwords are counted, and may lock the account.
    """
    header = request.headers.get("Authorization")
    locked = cluster.lock_after_failures is not None and cluster.failed_logins >= cluster.lock_after_failures
    if not locked and _known(cluster, header, request.client_name):
        cluster.failed_logins = 0
        return
    if header is not None:
        cluster.failed_logins += 1
    raise RefusedError(6691623, headers=(("WWW-Authenticate", 'Basic realm="ONTAP"'),))


def _known(cluster: SimulatedCluster, header: str | None, client_name: str | None) -> bool:
    if header is None:
        return client_name == cluster.username
    if cluster.bearer_token is not None and header == f"Bearer {cluster.bearer_token}":
        return True
    pair = f"{cluster.username}:{cluster.password}".encode()
    return header == f"Basic {base64.b64encode(pair).decode()}"


async def _hang(cluster: SimulatedCluster, fault: Fault, gone: asyncio.Event) -> None:
    """Wait until the fault is removed or the client goes away."""
    waits = [
        asyncio.ensure_future(cluster.faults.wait_until_removed(fault)),
        asyncio.ensure_future(gone.wait()),
    ]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def _carried_out(
    cluster: SimulatedCluster, request: ReceivedRequest, fault: Fault | None
) -> tuple[int, object]:
    """The status and the document of the API's reply, maybe changed by a fault."""
    kind = None if fault is None else fault.kind
    if kind is FaultKind.CUT_SHORT_LISTING:
        await cluster.clock.sleep(parsed_query(CollectionQuery, request).return_timeout)
        return HTTPStatus.OK, envelope(cluster, request, (), None)
    script = None
    if fault is not None and kind is FaultKind.JOB_FAILURE:
        script = JobScript(outcome=JobOutcome.FAILURE, code=fault.code, message=fault.message)
    status, document = await carry_out(cluster, request, script)
    if fault is not None and kind in LISTING_KINDS:
        document = altered_listing(cast("dict[str, object]", document), fault, request, origin=cluster.url)
    return status, document


def _damaged(reply: Reply, fault: Fault) -> Reply:
    """The reply after a fault of the delivery has changed it."""
    if fault.kind is FaultKind.TRUNCATED_JSON:
        return dataclasses.replace(reply, body=reply.body[: len(reply.body) // 2])
    return dataclasses.replace(reply, damage=fault)
