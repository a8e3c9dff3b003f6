"""The packages listing of a simulated cluster."""

from datetime import UTC, datetime

import pytest

from exporter.simulator import ABSENT, Package, SimulatedClock, SimulatedCluster
from support.simulated_api import PACKAGES, Client


async def test_without_fields_a_record_has_its_version_and_a_link_alone(
    client: Client, cluster: SimulatedCluster
) -> None:
    got = await client.ask(cluster, PACKAGES)
    assert got.json["records"][0] == {
        "version": "9.12.1",
        "_links": {"self": {"href": "/api/cluster/software/packages/9.12.1"}},
    }
    assert got.json["num_records"] == 5
    assert got.json["_links"] == {"self": {"href": PACKAGES}}
    assert got.headers["Content-Type"] == "application/hal+json"


@pytest.mark.parametrize("fields", ["version%2Ccreate_time", "create_time", "*", "%2A%2A"])
async def test_create_time_comes_when_it_is_asked_for(
    client: Client, cluster: SimulatedCluster, fields: str
) -> None:
    got = await client.ask(cluster, f"{PACKAGES}?fields={fields}", headers={"Accept": "application/json"})
    assert got.json["records"][1] == {"version": "9.13.1", "create_time": "2023-06-01T10:00:00+02:00"}


async def test_with_plain_json_next_is_the_only_link(client: Client, cluster: SimulatedCluster) -> None:
    headers = {"Accept": "application/json"}
    first = await client.ask(cluster, f"{PACKAGES}?max_records=4", headers=headers)
    assert set(first.json["_links"]) == {"next"}
    assert "_links" not in first.json["records"][0]
    assert first.next is not None
    last = await client.ask(cluster, first.next, headers=headers)
    assert "_links" not in last.json
    assert last.headers["Content-Type"] == "application/json"


async def test_a_next_link_is_a_path_with_the_original_parameters_encoded(
    client: Client, cluster: SimulatedCluster
) -> None:
    got = await client.ask(cluster, f"{PACKAGES}?fields=version,create_time&max_records=2&return_timeout=15")
    assert got.next == (
        f"{PACKAGES}?start.number=3&start.page=2&fields=version%2Ccreate_time&max_records=2&return_timeout=15"
    )


async def test_requests_are_recorded_exactly_as_on_the_wire(
    client: Client, cluster: SimulatedCluster
) -> None:
    await client.pages(cluster, f"{PACKAGES}?fields=%2A&max_records=3")
    assert [request.target for request in cluster.requests] == [
        f"{PACKAGES}?fields=%2A&max_records=3",
        f"{PACKAGES}?start.number=4&start.page=2&fields=%2A&max_records=3",
    ]
    assert {request.connection for request in cluster.requests} == {1}
    assert cluster.requests[0].headers["accept-encoding"] == "gzip, deflate"
    assert cluster.requests[0].monotonic_seconds <= cluster.requests[1].monotonic_seconds


async def test_pages_together_hold_every_package_once(client: Client, cluster: SimulatedCluster) -> None:
    pages = await client.pages(cluster, f"{PACKAGES}?max_records=2")
    assert [page.versions for page in pages] == [["9.12.1", "9.13.1"], ["9.13.1P4", "9.14.1"], ["9.14.1P2"]]
    assert [page.json["num_records"] for page in pages] == [2, 2, 1]


async def test_a_page_goes_on_though_its_first_package_was_deleted_meanwhile(
    client: Client, cluster: SimulatedCluster
) -> None:
    first = await client.ask(cluster, f"{PACKAGES}?max_records=2")
    cluster.remove_package("9.13.1P4")
    cluster.remove_package("9.12.1")
    assert first.next is not None
    assert (await client.ask(cluster, first.next)).versions == ["9.14.1", "9.14.1P2"]


async def test_a_package_downloaded_again_while_paging_comes_twice(
    client: Client, cluster: SimulatedCluster
) -> None:
    first = await client.ask(cluster, f"{PACKAGES}?max_records=3")
    cluster.remove_package("9.12.1")
    cluster.add_package("9.12.1")
    assert first.next is not None
    rest = await client.ask(cluster, first.next)
    assert first.versions + rest.versions == [
        "9.12.1",
        "9.13.1",
        "9.13.1P4",
        "9.14.1",
        "9.14.1P2",
        "9.12.1",
    ]


@pytest.mark.parametrize(
    ("return_timeout", "pages"),
    [(15, [["9.12.1"], ["9.13.1"], ["9.13.1P4"]]), (60, [["9.12.1", "9.13.1"], ["9.13.1P4"]])],
)
async def test_return_timeout_ends_pages_but_none_is_empty(
    client: Client, cluster: SimulatedCluster, return_timeout: int, pages: list[list[str]]
) -> None:
    cluster.record_seconds = 25.0
    for version in cluster.versions[3:]:
        cluster.remove_package(str(version))
    clock = cluster.clock = SimulatedClock(speed=5000)
    got = await client.pages(cluster, f"{PACKAGES}?return_timeout={return_timeout}")
    assert [page.versions for page in got] == pages
    assert clock.seconds() >= 75


async def test_odd_records_are_served_as_they_are(client: Client, cluster: SimulatedCluster) -> None:
    for version in cluster.versions:
        cluster.remove_package(str(version))
    cluster.add_package(Package("9.1", ABSENT))
    cluster.add_package(Package("9.2", None))
    cluster.add_package(Package("9.3", datetime(2024, 5, 1, 12, tzinfo=UTC)))
    cluster.add_package(Package(None, 7))
    cluster.add_package("9.1")
    got = await client.ask(cluster, f"{PACKAGES}?fields=*", headers={"Accept": "application/json"})
    assert got.json["records"] == [
        {"version": "9.1"},
        {"version": "9.2", "create_time": None},
        {"version": "9.3", "create_time": "2024-05-01T12:00:00+00:00"},
        {"version": None, "create_time": 7},
        {"version": "9.1", "create_time": "2019-02-04T19:00:00+00:00"},
    ]
    pages = await client.pages(cluster, f"{PACKAGES}?max_records=1")
    assert [page.versions for page in pages] == [["9.1"], ["9.2"], ["9.3"], [None], ["9.1"]]


async def test_num_records_can_be_left_out(client: Client, cluster: SimulatedCluster) -> None:
    cluster.num_records = False
    assert "num_records" not in (await client.ask(cluster, PACKAGES)).json


@pytest.mark.parametrize(
    ("query", "code", "target"),
    [
        ("return_timeout=121", "262197", "return_timeout"),
        ("return_timeout=-1", "262197", "return_timeout"),
        ("return_timeout=1.5", "262197", "return_timeout"),
        ("max_records=0", "262197", "max_records"),
        ("max_records=many", "262197", "max_records"),
        ("fields=version,size", "262197", "fields"),
        ("start.number=first", "262197", "start.number"),
        ("start.version=9.0", "262179", "start.version"),
        ("size=7", "262179", "size"),
        ("version=9.13*", "262179", "version"),
    ],
)
async def test_bad_parameters_are_refused_as_ontap_does(
    client: Client, cluster: SimulatedCluster, query: str, code: str, target: str
) -> None:
    assert (await client.ask(cluster, f"{PACKAGES}?{query}")).error == (400, code, target)


async def test_one_package_is_read_whole(client: Client, cluster: SimulatedCluster) -> None:
    got = await client.ask(cluster, f"{PACKAGES}/9.13%2E1", headers={"Accept": "application/json"})
    assert got.json == {"version": "9.13.1", "create_time": "2023-06-01T10:00:00+02:00"}
    got = await client.ask(
        cluster, f"{PACKAGES}/9.13.1?fields=version", headers={"Accept": "application/json"}
    )
    assert got.json == {"version": "9.13.1"}
    assert (await client.ask(cluster, f"{PACKAGES}/9.0")).error == (404, "4", "version")
    assert (await client.ask(cluster, f"{PACKAGES}/9.13.1?max_records=1")).error == (
        400,
        "262179",
        "max_records",
    )
