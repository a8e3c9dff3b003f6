"""A poll notes the cluster's clock, and when its certificate expires."""

from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path

import pytest

from exporter.ontap.cluster_settings import ClusterSettings, Tls
from exporter.ontap.errors import Reason
from exporter.ontap.requests.facts import DOWNLOAD_PATH
from exporter.ontap.requests.listing import PACKAGES_PATH
from exporter.polling.board import ClusterStatus, Poll
from exporter.simulator import Fault, FaultKind, SimulatedCluster
from support.polled_fleet import cluster_config, polled


def last_poll(status: ClusterStatus) -> Poll:
    assert status.last_poll is not None
    return status.last_poll


async def expiry_of(cluster: SimulatedCluster, ca_file: Path) -> float:
    host, _, port = cluster.address.rpartition(":")
    context = ssl.create_default_context(cafile=ca_file)
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    shown = writer.get_extra_info("peercert")
    writer.close()
    await writer.wait_closed()
    return float(ssl.cert_time_to_seconds(shown["notAfter"]))


@pytest.mark.parametrize("ahead_seconds", [0.0, 7200.0, -7200.0])
async def test_the_skew_is_the_clusters_clock_minus_ours(ahead_seconds: float, tmp_path: Path) -> None:
    cluster = SimulatedCluster("c1", clock_ahead_seconds=ahead_seconds)
    async with polled([cluster], tmp_path) as it:
        skew = last_poll(await it.watch.polls("c1", 1)).clock_skew_seconds
        assert skew is not None
        assert ahead_seconds - 60 < skew <= ahead_seconds


async def test_answers_without_a_date_do_not_lose_the_clock_that_another_has_shown(tmp_path: Path) -> None:
    last_of_each_poll = Fault(FaultKind.UNDATED, path=DOWNLOAD_PATH)
    cluster = SimulatedCluster(
        "c1", clock_ahead_seconds=7200.0, download_state="running", faults=[last_of_each_poll]
    )
    async with polled([cluster], tmp_path) as it:
        skew = last_poll(await it.watch.polls("c1", 1)).clock_skew_seconds
        assert cluster.faults.struck(last_of_each_poll) > 0
        assert skew is not None
        assert 7140 < skew <= 7200


async def test_a_poll_without_any_date_forgets_the_clock(tmp_path: Path) -> None:
    async with polled([SimulatedCluster("c1")], tmp_path) as it:
        assert last_poll(await it.watch.polls("c1", 1)).clock_skew_seconds is not None
        it.simulator["c1"].faults.add(Fault(FaultKind.UNDATED))
        forgotten = await it.watch.until("c1", lambda status: last_poll(status).clock_skew_seconds is None)
        assert forgotten.up


async def test_after_a_failed_poll_the_skew_is_not_known(tmp_path: Path) -> None:
    async with polled([SimulatedCluster("c1")], tmp_path) as it:
        await it.watch.polls("c1", 1)
        it.simulator["c1"].faults.add(Fault(FaultKind.SERVER_ERROR, path=PACKAGES_PATH))
        down = await it.watch.until("c1", lambda status: not status.up)
        assert last_poll(down).clock_skew_seconds is None


async def test_the_expiry_is_that_of_the_certificate_shown_last_even_while_polls_fail(tmp_path: Path) -> None:
    async with polled([SimulatedCluster("c1")], tmp_path) as it:
        expiry = await expiry_of(it.simulator["c1"], it.simulator.ca_file)
        assert expiry > time.time()
        up = await it.watch.polls("c1", 1)
        assert last_poll(up).certificate_expiry_timestamp_seconds == expiry
        it.simulator["c1"].faults.add(Fault(FaultKind.RESET))
        down = await it.watch.until("c1", lambda status: status.failures[Reason.CONNECTION] > 0)
        assert last_poll(down).certificate_expiry_timestamp_seconds == expiry


async def test_a_refused_login_shows_the_certificate_too(tmp_path: Path) -> None:
    cluster = SimulatedCluster("c1", faults=[Fault(FaultKind.UNAUTHORIZED)])
    async with polled([cluster], tmp_path) as it:
        down = await it.watch.polls("c1", 1)
        expiry = await expiry_of(it.simulator["c1"], it.simulator.ca_file)
        assert last_poll(down).certificate_expiry_timestamp_seconds == expiry


def unverified(cluster: SimulatedCluster, ca_file: Path) -> ClusterSettings:
    return cluster_config(cluster, ca_file, tls=Tls(insecure_skip_verify=True))


def plain(cluster: SimulatedCluster, ca_file: Path) -> ClusterSettings:
    return cluster_config(cluster, ca_file, tls=Tls())


async def test_what_is_not_verified_has_no_expiry(tmp_path: Path) -> None:
    async with polled([SimulatedCluster("c1")], tmp_path, configure=unverified) as it:
        assert last_poll(await it.watch.polls("c1", 1)).certificate_expiry_timestamp_seconds is None


async def test_without_tls_there_is_no_expiry(tmp_path: Path) -> None:
    async with polled([SimulatedCluster("c1", plain_http=True)], tmp_path, configure=plain) as it:
        status = await it.watch.polls("c1", 1)
        assert status.up
        assert last_poll(status).certificate_expiry_timestamp_seconds is None


async def test_every_poll_is_counted_by_its_duration(tmp_path: Path) -> None:
    async with polled([SimulatedCluster("c1"), SimulatedCluster("c2", reachable=False)], tmp_path) as it:
        await it.watch.polls("c1", 3)
        await it.watch.polls("c2", 2)
        polls = sum(status.polls for status in it.board.statuses())
        durations = it.board.poll_durations
        assert durations.cumulative()[-1] == polls
        assert durations.sum_seconds > 0
