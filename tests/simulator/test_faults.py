"""Faults of simulated clusters: what goes wrong, with which requests, how often."""

import asyncio
import json

import aiohttp
import pytest
from yarl import URL

from exporter.simulator import Fault, FaultKind, SimulatedClock, SimulatedCluster, Simulator
from exporter.simulator.faults.fault import DELETE_KINDS, LISTING_KINDS
from support.simulated_api import PACKAGES, Client, Got, basic

LISTING = f"{PACKAGES}?fields=version,create_time&max_records=2&return_timeout=1"


async def listed(client: Client, cluster: SimulatedCluster, fault: Fault) -> Got:
    cluster.faults.add(fault)
    return await client.ask(cluster, LISTING)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault(FaultKind.UNAUTHORIZED), 401, "6691623"),
        (Fault(FaultKind.FORBIDDEN), 403, "6"),
        (Fault(FaultKind.TOO_MANY_REQUESTS), 429, "262160"),
        (Fault(FaultKind.SERVER_ERROR), 500, "262145"),
        (Fault(FaultKind.UNAVAILABLE), 503, "262145"),
        (Fault(FaultKind.ERROR, code=8), 409, "8"),
        (Fault(FaultKind.ERROR, code=99, status=418), 418, "99"),
        (Fault(FaultKind.ERROR, code=99), 500, "99"),
    ],
)
async def test_errors_have_ontaps_body(
    client: Client, cluster: SimulatedCluster, fault: Fault, status: int, code: str
) -> None:
    got = await listed(client, cluster, fault)
    assert got.error == (status, code, None)
    assert got.json["error"]["message"]


async def test_the_message_of_an_error_can_be_given(client: Client, cluster: SimulatedCluster) -> None:
    got = await listed(client, cluster, Fault(FaultKind.ERROR, code=4, message="not today"))
    assert got.json == {"error": {"message": "not today", "code": "4"}}


@pytest.mark.parametrize(
    ("fault", "header"),
    [
        (Fault(FaultKind.TOO_MANY_REQUESTS), "1"),
        (Fault(FaultKind.TOO_MANY_REQUESTS, retry_after=30), "30"),
        (Fault(FaultKind.UNAVAILABLE), None),
        (
            Fault(FaultKind.UNAVAILABLE, retry_after="Fri, 31 Dec 1999 23:59:59 GMT"),
            "Fri, 31 Dec 1999 23:59:59 GMT",
        ),
    ],
)
async def test_retry_after(
    client: Client, cluster: SimulatedCluster, fault: Fault, header: str | None
) -> None:
    assert (await listed(client, cluster, fault)).headers.get("Retry-After") == header


@pytest.mark.parametrize(
    ("fault", "head", "beginning"),
    [
        (Fault(FaultKind.HTML), (200, "text/html; charset=utf-8"), b"<!DOCTYPE html>"),
        (Fault(FaultKind.HTML, status=502), (502, "text/html; charset=utf-8"), b"<!DOCTYPE html>"),
        (Fault(FaultKind.REPLY, body=b""), (200, "application/hal+json"), b""),
        (Fault(FaultKind.REPLY), (200, "application/hal+json"), b"[]"),
        (
            Fault(FaultKind.REPLY, status=207, body=b"\xff", content_type="text/odd"),
            (207, "text/odd"),
            b"\xff",
        ),
    ],
)
async def test_bodies_that_are_not_the_apis(
    client: Client,
    cluster: SimulatedCluster,
    fault: Fault,
    head: tuple[int, str],
    beginning: bytes,
) -> None:
    got = await listed(client, cluster, fault)
    assert (got.status, got.headers["Content-Type"]) == head
    assert got.body.startswith(beginning)
    assert bool(got.body) is bool(beginning)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_lead_to_the_location(client: Client, cluster: SimulatedCluster, status: int) -> None:
    got = await listed(
        client, cluster, Fault(FaultKind.REDIRECT, status=status, location="https://other{target}")
    )
    assert (got.status, got.headers["Location"]) == (status, f"https://other{LISTING}")


async def test_truncated_json_has_a_length_that_agrees(client: Client, cluster: SimulatedCluster) -> None:
    got = await listed(client, cluster, Fault(FaultKind.TRUNCATED_JSON))
    assert got.body.startswith(b"{")
    assert int(got.headers["Content-Length"]) == len(got.body)
    with pytest.raises(json.JSONDecodeError):
        _ = got.json


async def test_a_truncated_body_ends_before_its_length(client: Client, cluster: SimulatedCluster) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        await listed(client, cluster, Fault(FaultKind.TRUNCATED_BODY))


async def test_an_endless_body_goes_on(client: Client, cluster: SimulatedCluster) -> None:
    cluster.faults.add(Fault(FaultKind.ENDLESS_BODY))
    headers = {"Authorization": basic("monitor", "simulated")}
    async with client.session.get(URL(cluster.url + LISTING, encoded=True), headers=headers) as response:
        assert (await response.content.read(1)) == b"{"
        assert len(await response.content.readexactly(2_000_000)) == 2_000_000


async def test_a_slow_body_is_whole_in_the_end(client: Client, cluster: SimulatedCluster) -> None:
    clock = cluster.clock = SimulatedClock(speed=1000)
    got = await listed(client, cluster, Fault(FaultKind.SLOW_BODY, seconds=60))
    assert got.versions == ["9.12.1", "9.13.1"]
    assert clock.seconds() >= 60


async def test_a_reset_carries_nothing_out(client: Client, cluster: SimulatedCluster) -> None:
    fault = Fault(FaultKind.RESET, method="DELETE", path=PACKAGES)
    cluster.faults.add(fault)
    with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
        await client.delete(cluster, "9.12.1")
    assert "9.12.1" in cluster.versions
    assert not cluster.delete_attempts
    assert (await client.ask(cluster, PACKAGES)).status == 200


async def test_a_lost_answer_is_carried_out(client: Client, cluster: SimulatedCluster) -> None:
    cluster.faults.add(Fault(FaultKind.LOST_ANSWER, method="DELETE"))
    with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
        await client.delete(cluster, "9.12.1")
    assert [deletion.version for deletion in await cluster.wait_for_deletions()] == ["9.12.1"]


async def test_latency_comes_on_top(client: Client, cluster: SimulatedCluster) -> None:
    clock = cluster.clock = SimulatedClock(speed=1000)
    cluster.faults.add(Fault(FaultKind.LATENCY, seconds=20), Fault(FaultKind.LATENCY, seconds=20))
    got = await listed(client, cluster, Fault(FaultKind.FORBIDDEN))
    assert got.status == 403
    assert clock.seconds() >= 40


async def test_a_hanging_request_is_carried_out_once_the_fault_is_removed(
    client: Client, cluster: SimulatedCluster
) -> None:
    fault = Fault(FaultKind.HANG, method="DELETE")
    cluster.faults.add(fault)
    asking = asyncio.create_task(client.delete(cluster, "9.12.1"))
    await cluster.wait_for_requests(1)
    assert not cluster.delete_attempts
    assert cluster.faults.struck(fault) == 1
    cluster.faults.remove(fault)
    assert (await asking).status == 202


async def test_a_hanging_request_ends_when_its_client_goes_away(
    client: Client, cluster: SimulatedCluster
) -> None:
    cluster.faults.add(Fault(FaultKind.HANG))
    asking = asyncio.create_task(client.delete(cluster, "9.12.1"))
    await cluster.wait_for_requests(1)
    asking.cancel()
    assert [deletion.version for deletion in await cluster.wait_for_deletions()] == ["9.12.1"]


async def test_a_simulator_closes_over_a_hanging_request(
    client: Client, cluster: SimulatedCluster, simulator: Simulator
) -> None:
    cluster.faults.add(Fault(FaultKind.HANG))
    asking = asyncio.create_task(client.delete(cluster, "9.12.1"))
    await cluster.wait_for_requests(1)
    await simulator.close()
    with pytest.raises(aiohttp.ClientError):
        await asking


async def test_a_fault_strikes_as_often_as_times_says(client: Client, cluster: SimulatedCluster) -> None:
    fault = Fault(FaultKind.SERVER_ERROR, path="/api/cluster/n", skip=1, times=2)
    cluster.faults.add(fault)
    statuses = [(await client.ask(cluster, "/api/cluster/nodes")).status for _ in range(4)]
    assert statuses == [200, 500, 500, 200]
    assert cluster.faults.struck(fault) == 2
    assert cluster.faults.active == (fault,)
    assert (await client.ask(cluster, "/api/cluster")).status == 200
    cluster.faults.clear()
    assert not cluster.faults.active


async def test_a_fault_strikes_one_page_of_a_listing(client: Client, cluster: SimulatedCluster) -> None:
    cluster.faults.add(Fault(FaultKind.UNAVAILABLE, page=2))
    first = await client.ask(cluster, LISTING)
    assert first.next is not None
    assert (await client.ask(cluster, first.next)).status == 503
    cluster.faults.clear()
    second = await client.ask(cluster, first.next)
    cluster.faults.add(Fault(FaultKind.UNAVAILABLE, page=2))
    assert second.next is not None
    assert (await client.ask(cluster, second.next)).status == 200
    assert (await client.ask(cluster, f"{PACKAGES}/9.12.1")).status == 200


async def test_an_empty_page_leads_to_the_page_asked_for(client: Client, cluster: SimulatedCluster) -> None:
    cluster.faults.add(Fault(FaultKind.EMPTY_PAGE, times=2))
    pages = await client.pages(cluster, LISTING)
    assert [page.versions for page in pages] == [
        [],
        [],
        ["9.12.1", "9.13.1"],
        ["9.13.1P4", "9.14.1"],
        ["9.14.1P2"],
    ]
    assert pages[0].json["num_records"] == 0


@pytest.mark.parametrize("page", [1, 2])
async def test_a_listing_cut_short_has_neither_records_nor_next(
    client: Client, cluster: SimulatedCluster, page: int
) -> None:
    clock = cluster.clock = SimulatedClock(speed=1000)
    cluster.faults.add(Fault(FaultKind.CUT_SHORT_LISTING, page=page))
    pages = await client.pages(cluster, f"{PACKAGES}?max_records=2")
    assert len(pages) == page
    assert pages[-1].json["records"] == []
    assert pages[-1].next is None
    assert clock.seconds() >= 15


@pytest.mark.parametrize("page", [1, 2])
async def test_a_paging_loop_leads_to_the_very_page(
    client: Client, cluster: SimulatedCluster, page: int
) -> None:
    cluster.faults.add(Fault(FaultKind.PAGING_LOOP, page=page))
    pages = await client.pages(cluster, LISTING, most=6)
    assert len(pages) == 6
    assert len({request.target for request in cluster.requests}) == page


async def test_paging_back_leads_to_the_first_page(client: Client, cluster: SimulatedCluster) -> None:
    cluster.faults.add(Fault(FaultKind.PAGING_BACK, page=2))
    pages = await client.pages(cluster, LISTING, most=6)
    assert [page.versions[0] for page in pages] == ["9.12.1", "9.13.1P4"] * 3


async def test_endless_paging_never_repeats_a_link(client: Client, cluster: SimulatedCluster) -> None:
    cluster.faults.add(Fault(FaultKind.ENDLESS_PAGING))
    pages = await client.pages(cluster, LISTING, most=30)
    assert len({page.next for page in pages}) == len(pages) == 30
    assert pages[-1].versions == ["9.12.1", "9.13.1"]


@pytest.mark.parametrize(
    ("location", "link"),
    [
        ("https://other.invalid/api", "https://other.invalid/api"),
        ("//other.invalid{target}", "//other.invalid" + PACKAGES),
        ("@other.invalid{target}", "@other.invalid" + PACKAGES),
    ],
)
async def test_a_foreign_link_leads_off_the_cluster(
    client: Client, cluster: SimulatedCluster, location: str, link: str
) -> None:
    got = await listed(client, cluster, Fault(FaultKind.FOREIGN_LINK, location=location))
    assert got.next is not None
    assert got.next.startswith(link)


async def test_an_absolute_link_names_the_clusters_origin(client: Client, cluster: SimulatedCluster) -> None:
    got = await listed(client, cluster, Fault(FaultKind.ABSOLUTE_LINK))
    assert got.next == (
        f"{cluster.url}{PACKAGES}?start.number=3&start.page=2"
        "&fields=version%2Ccreate_time&max_records=2&return_timeout=1"
    )


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (10551315, 404),
        (10551325, 404),
        (10551346, 409),
        (10551347, 409),
        (10551367, 409),
        (10551388, 500),
        (10551322, 500),
        (10551323, 500),
        (10551324, 500),
        (10551326, 500),
        (10551892, 500),
    ],
)
async def test_every_code_of_delete_comes_in_the_reply_or_in_the_job(
    client: Client, cluster: SimulatedCluster, code: int, status: int
) -> None:
    cluster.faults.add(Fault(FaultKind.DELETE_ERROR, code=code, times=1))
    cluster.faults.add(Fault(FaultKind.JOB_FAILURE, code=code))
    assert (await client.delete(cluster, "9.12.1")).error == (status, str(code), None)
    accepted = await client.delete(cluster, "9.12.1")
    job = (await client.job(cluster, accepted.json["job"]["uuid"])).json
    assert (job["state"], job["code"], job["error"]["code"]) == ("failure", code, str(code))
    assert not cluster.deletions
    assert (await client.ask(cluster, PACKAGES)).status == 200


@pytest.mark.parametrize("kind", sorted(LISTING_KINDS))
async def test_faults_of_the_listing_strike_nothing_else(
    client: Client, cluster: SimulatedCluster, kind: FaultKind
) -> None:
    fault = Fault(kind)
    cluster.faults.add(fault)
    for path in ("/api/cluster", "/api/cluster/nodes", f"{PACKAGES}/9.12.1"):
        assert (await client.ask(cluster, path)).status == 200
    assert cluster.faults.struck(fault) == 0


@pytest.mark.parametrize("kind", sorted(DELETE_KINDS))
async def test_faults_of_delete_strike_nothing_else(
    client: Client, cluster: SimulatedCluster, kind: FaultKind
) -> None:
    cluster.faults.add(Fault(kind))
    assert (await client.pages(cluster, LISTING))[-1].status == 200


async def test_an_undated_answer_does_not_show_the_clock(client: Client, cluster: SimulatedCluster) -> None:
    cluster.faults.add(Fault(FaultKind.UNDATED, times=1))
    undated, dated = [await client.ask(cluster, "/api/cluster") for _ in range(2)]
    assert (undated.headers["Date"], undated.json) == ("", dated.json)
    assert dated.headers["Date"] != ""
