"""One exchange with a simulated cluster: faults, sign-in, the API, and the reply.

Nothing here knows sockets: `reply_to` gives a value, and how it is to be delivered.
"""

import asyncio
import base64
import binascii
import dataclasses
import hmac
from http import HTTPStatus
from typing import cast

from exporter.simulator.api.collection_pages import envelope, wants_links
from exporter.simulator.api.ontap_api import PACKAGES_SEGMENTS, carry_out
from exporter.simulator.api.ontap_replies import (
    Delivery,
    RefusedError,
    Reply,
    error_reply,
    json_body,
    refused,
)
from exporter.simulator.api.request_queries import DEFAULT_RETURN_TIMEOUT, return_timeout
from exporter.simulator.faults.altered_listings import distorted
from exporter.simulator.faults.fault import LISTING_KINDS, Fault, FaultKind
from exporter.simulator.faults.replaced_replies import instead
from exporter.simulator.state.received_requests import ReceivedRequest
from exporter.simulator.state.simulated_cluster import SimulatedCluster
from exporter.simulator.state.simulated_jobs import JobOutcome, JobScript


async def reply_to(cluster: SimulatedCluster, request: ReceivedRequest, gone: asyncio.Event) -> Reply:
    """Give the reply to a request, having carried it out where no fault forbids it.

    Args:
        cluster: The cluster that it reached.
        request: The request.
        gone: Set when the client has gone away.
    """
    page = page_number(cluster, request)
    fault: Fault | None = None
    for struck in cluster.faults.strike(request.method, request.path, page):
        if struck.kind is FaultKind.LATENCY:
            await cluster.clock.sleep(struck.seconds)
        else:
            fault = struck
    if fault is not None and fault.kind is FaultKind.HANG:
        await _hang(cluster, fault, gone)
    content_type = "application/hal+json" if wants_links(request) else "application/json"
    try:
        reply = None if fault is None else instead(fault, request.target)
        if reply is None:
            authorize(cluster, request)
            reply = await _carried_out(cluster, request, fault, page, content_type)
    except RefusedError as error:
        reply = error_reply(error, code_as_number=cluster.code_as_number, content_type=content_type)
    return reply if fault is None else _spoiled(reply, fault)


def page_number(cluster: SimulatedCluster, request: ReceivedRequest) -> int | None:
    """Which page of the packages listing a request asks for, from 1; None for any other request."""
    if request.method != "GET" or request.segments != PACKAGES_SEGMENTS:
        return None
    return cluster.paging.page(request.query)


def authorize(cluster: SimulatedCluster, request: ReceivedRequest) -> None:
    """Check who asks: a password in UTF-8, a bearer token, or the name in the client's certificate.

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
    error = refused(6691623)
    error.headers = (("WWW-Authenticate", 'Basic realm="ONTAP"'),)
    raise error


def _known(cluster: SimulatedCluster, header: str | None, client_name: str | None) -> bool:
    if header is None:
        return client_name == cluster.username
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() == "bearer":
        return cluster.bearer_token is not None and _same(credentials, cluster.bearer_token)
    try:
        pair = base64.b64decode(credentials, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return False
    return scheme.lower() == "basic" and _same(pair, f"{cluster.username}:{cluster.password}")


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())


async def _hang(cluster: SimulatedCluster, fault: Fault, gone: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(cluster.faults.until_removed(fault)), asyncio.ensure_future(gone.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def _carried_out(
    cluster: SimulatedCluster,
    request: ReceivedRequest,
    fault: Fault | None,
    page: int | None,
    content_type: str,
) -> Reply:
    if fault is not None and fault.kind is FaultKind.CUT_SHORT_LISTING:
        await cluster.clock.sleep(return_timeout(dict(request.query), DEFAULT_RETURN_TIMEOUT))
        return Reply(
            status=HTTPStatus.OK,
            body=json_body(envelope(cluster, request, (), None)),
            content_type=content_type,
        )
    status, document = await carry_out(cluster, request, _script(fault))
    if page is not None:
        listing = cast("dict[str, object]", document)
        if fault is not None and fault.kind in LISTING_KINDS:
            listing = distorted(listing, fault, cluster, request)
        _remember_page(cluster, request, listing, page)
        document = listing
    return Reply(status=status, body=json_body(document), content_type=content_type)


def _script(fault: Fault | None) -> JobScript | None:
    if fault is None or fault.kind is not FaultKind.JOB_FAILURE:
        return None
    return JobScript(outcome=JobOutcome.FAILURE, code=fault.code, message=fault.message)


def _remember_page(
    cluster: SimulatedCluster, request: ReceivedRequest, document: dict[str, object], page: int
) -> None:
    """Remember which page the next link leads to, unless it leads to this very page."""
    links = document.get("_links")
    following = links.get("next") if isinstance(links, dict) else None
    if isinstance(following, dict) and following["href"].partition("?")[2] != request.raw_query:
        cluster.paging.remember_page(following["href"], page + 1)


def _spoiled(reply: Reply, fault: Fault) -> Reply:
    """The reply as a fault of the delivery leaves it."""
    match fault.kind:
        case FaultKind.RESET | FaultKind.LOST_ANSWER:
            return dataclasses.replace(reply, delivery=Delivery.RESET)
        case FaultKind.TRUNCATED_BODY:
            return dataclasses.replace(reply, delivery=Delivery.CUT)
        case FaultKind.ENDLESS_BODY:
            return dataclasses.replace(reply, delivery=Delivery.ENDLESS)
        case FaultKind.SLOW_BODY:
            return dataclasses.replace(reply, delivery=Delivery.SLOW, delivery_seconds=fault.seconds)
        case FaultKind.TRUNCATED_JSON:
            return dataclasses.replace(reply, body=reply.body[: len(reply.body) // 2])
        case _:
            return reply
