"""Several polls use the same facts while nothing changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from exporter.ontap.requests.facts import CLUSTER_PATH, DOWNLOAD_PATH, SOFTWARE_PATH, ClusterIdentity
from exporter.ontap.requests.inventory import Inventory
from exporter.ontap.requests.listing import PACKAGES_PATH, Listing, Package
from exporter.polling.board import ClusterStatus
from exporter.polling.cluster_reading import FACTS_SERVE_POLLS, FACTS_SERVE_SECONDS, Reading
from exporter.simulator import Fault, FaultKind, SimulatedCluster
from support.polled_fleet import polled

FACTS = (CLUSTER_PATH, SOFTWARE_PATH, DOWNLOAD_PATH)
LISTING = Listing(packages=(Package(version="9.7", create_timestamp_seconds=1.0),), unnamed=0, pages=1)
READING = Reading(
    inventory=Inventory(
        listing=LISTING,
        identity=ClusterIdentity(name="c1", uuid="u", ontap_version="9.7"),
        versions_in_use=frozenset({"9.7"}),
    ),
    facts_read=100.0,
    facts_served=1,
    nothing_under_way=True,
)


def cluster(**settings: object) -> SimulatedCluster:
    return SimulatedCluster("c1", packages=["9.13.1", "9.14.1P2"], **settings)  # type: ignore[arg-type]


def asked(simulated: SimulatedCluster) -> list[str]:
    return [request.path for request in simulated.requests]


def in_use(status: ClusterStatus) -> frozenset[str] | None:
    assert status.inventory is not None
    return status.inventory.versions_in_use


def test_another_poll_may_use_the_facts_while_the_packages_are_the_same_and_nothing_is_under_way() -> None:
    assert READING.facts_may_serve(LISTING, now=101.0)


@pytest.mark.parametrize(
    ("reading", "now"),
    [
        (replace(READING, nothing_under_way=False), 101.0),
        (replace(READING, facts_served=FACTS_SERVE_POLLS), 101.0),
        (READING, 100.0 + FACTS_SERVE_SECONDS),
        (READING, 99.0),
    ],
    ids=["something is under way", "used often enough", "too old", "from the future"],
)
def test_another_poll_may_not_use_the_facts_if(reading: Reading, now: float) -> None:
    assert not reading.facts_may_serve(LISTING, now=now)


def test_facts_do_not_serve_beside_other_packages() -> None:
    other = replace(LISTING, packages=(Package(version="9.8", create_timestamp_seconds=1.0),))
    assert not READING.facts_may_serve(other, now=101.0)


async def test_every_third_poll_asks_for_facts(tmp_path: Path) -> None:
    async with polled([cluster()], tmp_path) as it:
        await it.watch.polls("c1", 7)
        assert asked(it.simulator["c1"])[:14] == [
            *(PACKAGES_PATH, *FACTS, PACKAGES_PATH, PACKAGES_PATH),
            *(PACKAGES_PATH, *FACTS, PACKAGES_PATH, PACKAGES_PATH),
            *(PACKAGES_PATH, CLUSTER_PATH),
        ]
        assert it.counts.totals().keys() == {("GET", "200")}


async def test_while_a_package_is_downloaded_every_poll_asks_for_facts(tmp_path: Path) -> None:
    async with polled([cluster(download_state="running")], tmp_path) as it:
        status = await it.watch.polls("c1", 4)
        assert asked(it.simulator["c1"])[:12] == [PACKAGES_PATH, *FACTS] * 3
        assert status.inventory is not None
        assert status.inventory.download_in_progress is True


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.FORBIDDEN, path=DOWNLOAD_PATH),
        Fault(FaultKind.ERROR, path=DOWNLOAD_PATH, status=404, code=3),
        Fault(FaultKind.ERROR, path=DOWNLOAD_PATH, status=404, code=4, message="temporarily locked"),
    ],
    ids=["forbidden", "no such API", "locked"],
)
async def test_a_download_that_cannot_be_read_is_unknown_and_costs_no_other_fact(
    fault: Fault, tmp_path: Path
) -> None:
    async with polled([cluster(faults=[fault])], tmp_path) as it:
        status = await it.watch.polls("c1", 1)
        assert status.inventory is not None
        assert status.inventory.download_in_progress is None
        assert status.inventory.identity is not None
        assert status.inventory.versions_in_use == frozenset({"9.14.1P2"})
        await it.watch.polls("c1", 2)
        after = asked(it.simulator["c1"])[1 + len(FACTS) :]
        assert [path for path in after if path != DOWNLOAD_PATH][:2] == [PACKAGES_PATH, CLUSTER_PATH]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.ERROR, path=DOWNLOAD_PATH, status=404, code=4),
        Fault(FaultKind.REPLY, path=DOWNLOAD_PATH, body=b"{}"),
    ],
    ids=["no entry", "no state"],
)
async def test_where_no_package_was_ever_downloaded_no_download_is_in_progress(
    fault: Fault, tmp_path: Path
) -> None:
    async with polled([cluster(faults=[fault])], tmp_path) as it:
        status = await it.watch.polls("c1", 3)
        assert status.inventory is not None
        assert status.inventory.download_in_progress is False
        assert asked(it.simulator["c1"])[:6] == [PACKAGES_PATH, *FACTS, PACKAGES_PATH, PACKAGES_PATH]


async def test_the_code_for_a_running_download_counts_whatever_the_state(tmp_path: Path) -> None:
    simulated = cluster(download_state="success")
    simulated.download_code = 10551382
    async with polled([simulated], tmp_path) as it:
        status = await it.watch.polls("c1", 1)
        assert status.inventory is not None
        assert status.inventory.download_in_progress is True
        simulated.download_code = 0
        await it.watch.until(
            "c1", lambda status: status.inventory is not None and not status.inventory.download_in_progress
        )


async def test_a_cluster_of_the_first_release_with_the_api_is_polled(tmp_path: Path) -> None:
    async with polled([cluster(version="9.6")], tmp_path) as it:
        status = await it.watch.polls("c1", 1)
        assert status.up
        assert status.inventory is not None
        assert status.inventory.versions_in_use == frozenset({"9.6"})
        assert status.inventory.download_in_progress is None


async def test_unchanged_packages_are_not_decoded_again(tmp_path: Path) -> None:
    async with polled([cluster()], tmp_path) as it:
        first = (await it.watch.polls("c1", 1)).inventory
        later = (await it.watch.polls("c1", 5)).inventory
        assert first is not None
        assert later is not None
        assert later.listing.packages is first.listing.packages


async def test_an_upgrade_shows_within_three_polls(tmp_path: Path) -> None:
    async with polled([cluster(version="9.13.1")], tmp_path) as it:
        before = await it.watch.polls("c1", 1)
        assert in_use(before) == frozenset({"9.13.1"})
        it.simulator["c1"].version = "9.14.1P2"
        polls = it.board.statuses()[0].polls
        after = await it.watch.until("c1", lambda status: "9.14.1P2" in (in_use(status) or ()))
        assert after.polls <= polls + FACTS_SERVE_POLLS + 1


async def test_while_an_update_is_pending_every_poll_asks_for_facts(tmp_path: Path) -> None:
    async with polled([cluster(version="9.13.1", pending_version="9.14.1P2")], tmp_path) as it:
        await it.watch.polls("c1", 4)
        assert asked(it.simulator["c1"])[:12] == [PACKAGES_PATH, *FACTS] * 3


async def test_another_package_has_facts_asked_for_at_once(tmp_path: Path) -> None:
    async with polled([cluster(version="9.13.1")], tmp_path) as it:
        await it.watch.polls("c1", 1)
        it.simulator["c1"].version = "9.15.1"
        it.simulator["c1"].add_package("9.15.1")

        def lists_it(status: ClusterStatus) -> bool:
            return status.inventory is not None and len(status.inventory.listing.packages) == 3

        assert "9.15.1" in (in_use(await it.watch.until("c1", lists_it)) or ())


async def test_after_a_failed_poll_facts_are_asked_for_again(tmp_path: Path) -> None:
    async with polled([cluster(version="9.13.1")], tmp_path) as it:
        await it.watch.polls("c1", 1)
        simulated = it.simulator["c1"]
        simulated.faults.add(Fault(FaultKind.SERVER_ERROR, path=PACKAGES_PATH))
        await it.watch.until("c1", lambda status: not status.up)
        simulated.version = "9.14.1P2"
        simulated.faults.clear()
        back = await it.watch.until("c1", lambda status: status.up)
        assert "9.14.1P2" in (in_use(back) or ())


async def test_facts_that_can_no_longer_be_read_are_gone_within_three_polls(tmp_path: Path) -> None:
    async with polled([cluster(version="9.13.1")], tmp_path) as it:
        await it.watch.polls("c1", 1)
        it.simulator["c1"].faults.add(Fault(FaultKind.FORBIDDEN, path=SOFTWARE_PATH, exact=True))
        polls = it.board.statuses()[0].polls
        gone = await it.watch.until("c1", lambda status: status.up and in_use(status) is None)
        assert gone.polls <= polls + FACTS_SERVE_POLLS + 1
        still = await it.watch.more_polls("c1", 3)
        assert in_use(still) is None
