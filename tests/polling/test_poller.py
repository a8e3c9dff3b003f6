"""One cluster's loop: what a poll puts on the board, and when the next one is due."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from exporter.ontap.access import AccessOpener
from exporter.ontap.client import RequestCounts
from exporter.ontap.cluster_settings import BasicLogin, ClusterSettings, Header, Login, Secret
from exporter.ontap.credentials import LoginContent, read_login
from exporter.ontap.errors import Reason
from exporter.ontap.requests.facts import CLUSTER_PATH, NODES_PATH, SOFTWARE_PATH
from exporter.ontap.requests.listing import PACKAGES_PATH
from exporter.ontap.session import open_session
from exporter.polling.board import Board, ClusterStatus, PollFailure
from exporter.polling.fleet import Fleet
from exporter.simulator import Fault, FaultKind, Node, SimulatedCluster
from support.polled_fleet import WAIT_SECONDS, cluster_config, polled
from support.waiting import eventually


def cluster(name: str = "c1", **settings: object) -> SimulatedCluster:
    return SimulatedCluster(name, packages=["9.13.1", "9.14.1P2"], **settings)  # type: ignore[arg-type]


def versions(status: ClusterStatus) -> list[str]:
    assert status.inventory is not None
    return [package.version for package in status.inventory.listing.packages]


def failed(reason: Reason) -> Callable[[ClusterStatus], bool]:
    return lambda status: not status.up and status.failures[reason] > 0


async def test_a_good_poll_gives_packages_identity_and_use(tmp_path: Path) -> None:
    async with polled([cluster(version="9.14.1P2", pending_version="9.15.1")], tmp_path) as it:
        status = await it.watch.polls("c1", 1)
        assert status.up
        assert versions(status) == ["9.13.1", "9.14.1P2"]
        assert status.inventory is not None
        assert status.inventory.identity is not None
        assert status.inventory.identity.name == "c1"
        assert status.inventory.versions_in_use == frozenset({"9.14.1P2", "9.15.1"})
        assert it.counts.totals() == {("GET", "200"): 4}


async def test_an_empty_repository_is_a_good_poll_of_no_package(tmp_path: Path) -> None:
    async with polled([SimulatedCluster("c1")], tmp_path) as it:
        status = await it.watch.polls("c1", 1)
        assert status.up
        assert versions(status) == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(FaultKind.FORBIDDEN, path=PACKAGES_PATH), Reason.FORBIDDEN),
        (Fault(FaultKind.SERVER_ERROR, path=PACKAGES_PATH, page=2), Reason.API_ERROR),
        (Fault(FaultKind.TRUNCATED_JSON, path=PACKAGES_PATH, page=2), Reason.BAD_RESPONSE),
        (Fault(FaultKind.PAGING_BACK), Reason.INCOMPLETE),
    ],
    ids=lambda value: str(getattr(value, "kind", value)),
)
async def test_a_failed_poll_keeps_the_last_good_listing(
    fault: Fault, reason: Reason, tmp_path: Path
) -> None:
    def one_record_a_page(simulated: SimulatedCluster, ca_file: Path) -> ClusterSettings:
        return cluster_config(simulated, ca_file, max_records=1)

    async with polled([cluster()], tmp_path, configure=one_record_a_page) as it:
        good = await it.watch.polls("c1", 1)
        it.simulator["c1"].add_package("9.15.1")
        it.simulator["c1"].faults.add(fault)
        bad = await it.watch.until("c1", failed(reason))
        assert not bad.up
        assert versions(bad) in (versions(good), ["9.13.1", "9.14.1P2", "9.15.1"])
        last_good = bad.inventory_timestamp_seconds
        later = await it.watch.more_polls("c1", 2)
        assert later.inventory == bad.inventory
        assert later.inventory_timestamp_seconds == last_good
        assert later.last_poll is not None
        assert later.last_poll.ended_timestamp_seconds > last_good
        it.simulator["c1"].faults.clear()
        again = await it.watch.until("c1", lambda status: status.up)
        assert versions(again) == ["9.13.1", "9.14.1P2", "9.15.1"]


async def test_a_refused_password_is_not_sent_again_soon(tmp_path: Path) -> None:
    async with polled([cluster(), cluster("other")], tmp_path) as it:
        await it.watch.polls("c1", 1)
        it.simulator["c1"].password = "changed"
        await it.watch.until("c1", failed(Reason.UNAUTHORIZED))
        received = len(it.simulator["c1"].requests)
        await it.watch.more_polls("other", 5)
        assert len(it.simulator["c1"].requests) == received
        assert it.simulator["c1"].failed_logins == 1


async def test_a_login_that_was_refused_to_another_user_of_the_account_is_shown(tmp_path: Path) -> None:
    async with polled([cluster(), cluster("other")], tmp_path) as it:
        await it.watch.until("c1", lambda status: status.up)
        access = it.accesses["c1"]
        access.account.refusals.add(asyncio.get_running_loop().time(), access.client.credentials.known)
        status = await it.watch.until("c1", failed(Reason.UNAUTHORIZED))
        assert status.failures[Reason.UNAUTHORIZED] == 1
        await it.watch.more_polls("other", 5)
        assert status.polls == (await it.watch.polls("c1", 1)).polls  # nothing is sent, so it is shown once


async def test_a_changed_password_file_ends_the_pause_at_once(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old")

    def from_file(simulated: SimulatedCluster, ca_file: Path) -> ClusterSettings:
        login = BasicLogin(username=simulated.username, password=Secret(file=file))
        return cluster_config(simulated, ca_file, login=login)

    async with polled([cluster(password="new")], tmp_path, configure=from_file) as it:
        await it.watch.until("c1", failed(Reason.UNAUTHORIZED))
        file.write_text("new\n")
        status = await it.watch.until("c1", lambda status: status.up)
        assert status.polls == 2


def polled_once(simulated: SimulatedCluster, ca_file: Path) -> ClusterSettings:
    """Configure a cluster of which a test sees one poll, unless a reload leads to another; not so "other"."""
    is_other = simulated.name == "other"
    return cluster_config(simulated, ca_file, poll_interval=timedelta(seconds=0.1 if is_other else 3600))


@pytest.mark.parametrize("kind", [FaultKind.UNAUTHORIZED, FaultKind.FORBIDDEN, FaultKind.UNAVAILABLE])
async def test_a_reload_is_no_reason_to_poll_a_cluster_that_has_refused_these_credentials(
    kind: FaultKind, tmp_path: Path
) -> None:
    refusing = cluster(faults=[Fault(FaultKind.UNAUTHORIZED, times=1), Fault(kind)])
    async with polled(
        [refusing, cluster("other")], tmp_path, configure=polled_once, first_pause_seconds=0.01
    ) as it:
        await it.watch.until("c1", failed(Reason.UNAUTHORIZED))
        received = len(it.simulator["c1"].requests)
        for _ in range(5):
            await it.watch.more_polls("other", 2)  # the pause is over
            await it.reload()
        await it.watch.more_polls("other", 2)
        assert len(it.simulator["c1"].requests) == received


async def test_a_reload_tries_a_changed_password_at_once(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old")

    def from_file(simulated: SimulatedCluster, ca_file: Path) -> ClusterSettings:
        login = BasicLogin(username=simulated.username, password=Secret(file=file))
        return replace(polled_once(simulated, ca_file), login=login)

    async with polled([cluster(password="new")], tmp_path, configure=from_file) as it:
        await it.watch.until("c1", failed(Reason.UNAUTHORIZED))
        access = it.accesses["c1"]
        file.write_text("new")
        await it.reload()
        assert (await it.watch.until("c1", lambda status: status.up)).polls == 2
        assert it.accesses["c1"] is access


async def test_a_disk_with_refused_passwords_that_hangs_delays_no_other_cluster(tmp_path: Path) -> None:
    answers = threading.Event()
    answers.set()

    def read(login: Login, headers: tuple[Header, ...], files: tuple[Path, ...]) -> LoginContent:
        assert getattr(login, "username", "") != "sick" or answers.wait(WAIT_SECONDS)
        return read_login(login, headers, files)

    def configure(simulated: SimulatedCluster, ca_file: Path) -> ClusterSettings:
        if simulated.name == "other":
            return cluster_config(simulated, ca_file)
        login = BasicLogin(username="sick", password=Secret(file=tmp_path / "missing"))
        return cluster_config(simulated, ca_file, login=login)

    sick = [f"sick{number}" for number in range(6)]
    clusters = [cluster(name) for name in (*sick, "other")]
    async with polled(clusters, tmp_path, configure=configure, read_login=read, max_concurrent_polls=4) as it:
        for name in sick:
            await it.watch.until(name, failed(Reason.UNAUTHORIZED))
        answers.clear()
        async with asyncio.timeout(WAIT_SECONDS / 2):
            await it.watch.more_polls("other", 5)
        answers.set()


async def test_a_pause_that_is_over_sends_the_password_as_it_is_now(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old")

    def from_file(simulated: SimulatedCluster, ca_file: Path) -> ClusterSettings:
        login = BasicLogin(username=simulated.username, password=Secret(file=file))
        return cluster_config(simulated, ca_file, login=login, poll_interval=timedelta(seconds=0.5))

    simulated = cluster(password="new")
    async with polled([simulated], tmp_path, configure=from_file, first_pause_seconds=0.01) as it:
        await it.watch.until("c1", failed(Reason.UNAUTHORIZED))
        file.write_text("new")
        status = await it.watch.until("c1", lambda status: status.up)
        assert status.failures[Reason.UNAUTHORIZED] == 1


async def test_a_cluster_that_asks_for_a_pause_gets_it(tmp_path: Path) -> None:
    faults = [Fault(FaultKind.TOO_MANY_REQUESTS, retry_after="600")]
    async with polled([cluster(faults=faults), cluster("other")], tmp_path) as it:
        await it.watch.until("c1", failed(Reason.RATE_LIMITED))
        await it.watch.more_polls("other", 5)
        assert len(it.simulator["c1"].requests) == 1


async def test_a_pause_that_a_fact_asks_for_stops_no_poll(tmp_path: Path) -> None:
    faults = [Fault(FaultKind.TOO_MANY_REQUESTS, path=SOFTWARE_PATH, exact=True, retry_after="600")]
    async with polled([cluster(faults=faults)], tmp_path) as it:
        status = await it.watch.polls("c1", 3)
        assert status.up


async def test_an_identity_that_may_not_be_read_costs_only_itself(tmp_path: Path) -> None:
    faults = [Fault(FaultKind.FORBIDDEN, path=CLUSTER_PATH, exact=True)]
    async with polled([cluster(faults=faults)], tmp_path) as it:
        status = await it.watch.polls("c1", 2)
        assert status.up
        assert status.inventory is not None
        assert status.inventory.identity is None
        assert status.inventory.versions_in_use == frozenset({"9.14.1P2"})


async def test_software_that_may_not_be_read_leaves_the_use_unknown(tmp_path: Path) -> None:
    faults = [Fault(FaultKind.FORBIDDEN, path=SOFTWARE_PATH, exact=True)]
    async with polled([cluster(faults=faults)], tmp_path) as it:
        status = await it.watch.polls("c1", 2)
        assert status.up
        assert status.inventory is not None
        assert status.inventory.identity is not None
        assert status.inventory.versions_in_use is None


async def test_facts_that_hang_cost_only_themselves(tmp_path: Path) -> None:
    def in_a_hurry(simulated: SimulatedCluster, ca_file: Path) -> ClusterSettings:
        return cluster_config(simulated, ca_file, poll_timeout=timedelta(seconds=0.5))

    faults = [Fault(FaultKind.HANG, path=SOFTWARE_PATH, exact=True)]
    async with polled([cluster(faults=faults)], tmp_path, configure=in_a_hurry) as it:
        # On a busy machine, a poll may have no time left for more than its handshake: any good poll will do.
        asked = it.simulator["c1"].requests_to
        status = await it.watch.until("c1", lambda status: status.up and bool(asked(SOFTWARE_PATH)))
        assert versions(status) == ["9.13.1", "9.14.1P2"]


async def test_refused_facts_are_not_asked_for_again_soon_while_the_listing_goes_on(tmp_path: Path) -> None:
    faults = [Fault(FaultKind.UNAUTHORIZED, path=CLUSTER_PATH, exact=True)]
    async with polled([cluster(faults=faults)], tmp_path) as it:
        status = await it.watch.polls("c1", 4)
        assert status.up
        asked = [request.path for request in it.simulator["c1"].requests if request.path != PACKAGES_PATH]
        assert asked == [CLUSTER_PATH]


async def test_a_forbidden_fact_shows_that_the_login_is_accepted_again(tmp_path: Path) -> None:
    faults = [
        Fault(FaultKind.UNAUTHORIZED, path=CLUSTER_PATH, exact=True, times=1),
        Fault(FaultKind.FORBIDDEN, path=SOFTWARE_PATH),
    ]
    async with polled([cluster(faults=faults)], tmp_path, first_pause_seconds=0.01) as it:
        await it.watch.until("c1", lambda _: bool(it.simulator["c1"].requests_to(SOFTWARE_PATH)))
        await it.watch.polls("c1", 3)
        assert not it.accesses["c1"].account.fact_refusals.in_a_row


@pytest.mark.parametrize(
    ("version", "configured_seconds", "asked_seconds"), [("9.6", 0, 5), ("9.13.1", 2, 2), ("9.13.1", 30, 5)]
)
async def test_node_versions_are_read_if_software_does_not_name_them(
    version: str, configured_seconds: int, asked_seconds: int, tmp_path: Path
) -> None:
    simulated = cluster(nodes=[Node("n1", version), Node("n2", "9.14.1P2")], version=version)
    simulated.software_document = {"version": version}

    def configure(cluster: SimulatedCluster, ca_file: Path) -> ClusterSettings:
        return cluster_config(cluster, ca_file, return_timeout_seconds=configured_seconds)

    async with polled([simulated], tmp_path, configure=configure) as it:
        status = await it.watch.polls("c1", 1)
        assert status.inventory is not None
        assert status.inventory.versions_in_use == frozenset({version, "9.14.1P2"})
        assert simulated.requests_to(NODES_PATH)[0].target == (
            f"{NODES_PATH}?fields=version&return_timeout={asked_seconds}"
        )


async def test_an_empty_software_document_leaves_the_use_unknown(tmp_path: Path) -> None:
    async with polled([cluster(software_document={})], tmp_path) as it:
        status = await it.watch.polls("c1", 1)
        assert status.up
        assert status.inventory is not None
        assert status.inventory.versions_in_use is None


async def test_a_slow_cluster_delays_nobody(tmp_path: Path) -> None:
    slow = [cluster(f"slow{number}", faults=[Fault(FaultKind.HANG)]) for number in range(8)]
    async with polled([*slow, cluster()], tmp_path) as it:
        status = await it.watch.polls("c1", 5)
        assert status.polls >= 5
        assert not any(it.board.get(one.name).last_poll for one in slow)  # type: ignore[union-attr]
        assert it.board.unpolled == 8


async def test_no_more_polls_run_at_once_than_allowed(tmp_path: Path) -> None:
    held = [cluster(f"c{number}", faults=[Fault(FaultKind.HANG)]) for number in range(6)]

    def hung() -> list[SimulatedCluster]:
        return [one for one in held if one.requests]

    async with polled(held, tmp_path, max_concurrent_polls=2) as it:

        async def are_two_of_six_polled() -> bool:
            return len(hung()) == 2 and it.board.lateness.waiting == 4

        while len(held) >= 2:
            await eventually(are_two_of_six_polled, seconds=WAIT_SECONDS, what="two polls, four that wait")
            released = hung()[0]  # first polls begin in any order
            held.remove(released)
            released.faults.clear()
            await it.watch.polls(released.name, 1)
        held[0].faults.clear()
        await it.watch.polls(held[0].name, 1)
        assert it.board.unpolled == 0


async def test_clusters_that_hang_never_keep_the_others_waiting_twice(tmp_path: Path) -> None:
    def in_a_hurry(simulated: SimulatedCluster, ca_file: Path) -> ClusterSettings:
        return cluster_config(simulated, ca_file, poll_timeout=timedelta(seconds=1))

    hung = [cluster(f"hung{number}", faults=[Fault(FaultKind.HANG)]) for number in range(4)]
    async with polled([*hung, cluster()], tmp_path, configure=in_a_hurry, max_concurrent_polls=2) as it:
        await it.watch.polls("hung3", 1)
        before = it.board.get("c1")
        assert before is not None
        after = await it.watch.polls("hung0", 3)
        assert after.failures[Reason.TIMEOUT] == 3
        now = it.board.get("c1")
        assert now is not None
        assert now.polls - before.polls >= 10


async def test_an_unreachable_cluster_fails_and_recovers(tmp_path: Path) -> None:
    async with polled([cluster()], tmp_path) as it:
        await it.watch.polls("c1", 1)
        await it.simulator.stop("c1")
        status = await it.watch.until("c1", failed(Reason.CONNECTION))
        assert versions(status) == ["9.13.1", "9.14.1P2"]
        await it.simulator.start("c1")
        await it.watch.until("c1", lambda status: status.up)


async def test_a_poll_that_takes_too_long_is_a_timeout(tmp_path: Path) -> None:
    def in_a_hurry(simulated: SimulatedCluster, ca_file: Path) -> ClusterSettings:
        return cluster_config(simulated, ca_file, poll_timeout=timedelta(seconds=0.2))

    async with polled([cluster(faults=[Fault(FaultKind.HANG)])], tmp_path, configure=in_a_hurry) as it:
        status = await it.watch.until("c1", failed(Reason.TIMEOUT))
        assert status.last_poll is not None
        assert 0.2 <= status.last_poll.duration_seconds < 30


async def test_due_times_that_pass_during_a_poll_are_counted_as_missed(tmp_path: Path) -> None:
    def in_a_hurry(simulated: SimulatedCluster, ca_file: Path) -> ClusterSettings:
        return cluster_config(simulated, ca_file, poll_timeout=timedelta(seconds=0.5))

    async with polled([cluster(faults=[Fault(FaultKind.HANG)])], tmp_path, configure=in_a_hurry) as it:
        await it.watch.polls("c1", 1)
        await it.watch.polls("c1", 2)
        assert 3 <= it.board.lateness.missed <= 300


async def test_a_poll_that_waits_for_a_slot_of_the_limiter_counts_as_late(
    tmp_path: Path,
) -> None:
    clock = asyncio.get_running_loop().time
    held = [cluster("c0", faults=[Fault(FaultKind.HANG)]), cluster("c1")]
    async with polled(held, tmp_path, max_concurrent_polls=1) as it:
        await it.simulator["c0"].wait_for_requests(1)
        lateness = it.board.lateness

        async def waits() -> bool:
            return lateness.waiting == 1 and lateness.delay_seconds(clock()) > 0.1

        await eventually(waits, seconds=WAIT_SECONDS, what="the poll that waits")
        now = clock()
        due = now - lateness.delay_seconds(now)  # what a busy machine has added to the wait does not count
        assert lateness.keeping_up(due + 0.5)
        assert not lateness.keeping_up(due + 2)
        it.simulator["c0"].faults.clear()
        await it.watch.polls("c1", 1)


async def test_states_are_logged_when_they_change_and_not_at_every_poll(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as lines:
        async with polled([cluster()], tmp_path) as it:
            await it.watch.polls("c1", 1)
            it.simulator["c1"].faults.add(Fault(FaultKind.SERVER_ERROR))
            await it.watch.until("c1", lambda status: status.failures[Reason.API_ERROR] >= 3)
            it.simulator["c1"].faults.clear()
            await it.watch.until("c1", lambda status: status.up)
    logged = [(line["event"], line.get("reason")) for line in lines if line["log_level"] != "debug"]
    assert logged == [("poll failed", "api_error"), ("cluster answers again", None)]


@pytest.mark.parametrize("mistake", [RuntimeError, asyncio.CancelledError])
async def test_a_mistake_of_ours_costs_one_poll_of_one_cluster_and_is_logged_once(
    mistake: type[BaseException], tmp_path: Path
) -> None:
    is_broken = True

    def read(login: Login, headers: tuple[Header, ...], files: tuple[Path, ...]) -> LoginContent:
        if is_broken and isinstance(login, BasicLogin) and login.username == "broken":
            raise mistake("nobody has thought of this")
        return read_login(login, headers, files)

    clusters = [cluster(username="broken"), cluster("other")]
    with structlog.testing.capture_logs() as lines:
        async with polled(clusters, tmp_path, read_login=read) as it:
            status = await it.watch.until("c1", lambda status: status.polls >= 3)
            assert status.failures[Reason.INTERNAL_ERROR] == status.polls
            assert status.last_poll is not None
            assert status.last_poll.failure == PollFailure(
                reason=Reason.INTERNAL_ERROR, message=f"{mistake.__name__}: nobody has thought of this"
            )
            assert (await it.watch.polls("other", 1)).up
            is_broken = False
            assert (await it.watch.until("c1", lambda status: status.up)).inventory is not None
    (line,) = [line for line in lines if line["log_level"] == "error"]
    assert (line["event"], line["cluster"], line["reason"]) == ("poll failed", "c1", "internal_error")
    assert line["exception"].startswith("Traceback")
    assert line["exception"].rstrip().endswith("nobody has thought of this")


async def test_the_traceback_of_a_mistake_holds_no_secret(tmp_path: Path) -> None:
    is_broken = False

    def read(login: Login, headers: tuple[Header, ...], files: tuple[Path, ...]) -> LoginContent:
        content = read_login(login, headers, files)
        if is_broken:
            raise KeyError(content.secret)
        return content

    simulated = cluster(password="s3cr3t-password")
    with structlog.testing.capture_logs() as lines:
        async with polled([simulated], tmp_path, read_login=read) as it:
            await it.watch.polls("c1", 1)
            is_broken = True
            status = await it.watch.until("c1", failed(Reason.INTERNAL_ERROR))
    assert "KeyError" in str(status)
    assert "KeyError" in str(lines)
    assert "s3cr3t-password" not in f"{status} {lines}"


async def test_a_bug_outside_of_polls_ends_everything_loudly(tmp_path: Path) -> None:
    class BugError(Exception):
        pass

    def broken(status: ClusterStatus) -> None:
        if status.polls:
            raise BugError

    async with polled([], tmp_path) as it:
        simulated = await it.simulator.add(cluster())
        async with open_session() as session:
            config = cluster_config(simulated, it.simulator.ca_file)
            accesses = AccessOpener(session=session, counts=RequestCounts()).open([config])

            async def poll() -> None:
                async with asyncio.timeout(WAIT_SECONDS), asyncio.TaskGroup() as group:
                    fleet = Fleet(group=group, board=Board(on_change=broken))
                    await fleet.poll(accesses, max_concurrent_polls=1)
                    fleet.begin()

            with pytest.raises(ExceptionGroup) as caught:
                await poll()
            assert caught.group_contains(BugError)
