"""Names are looked up anew for each poll, as every other program on the machine does."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exporter.ontap.cluster_settings import ClusterSettings
from exporter.ontap.errors import Reason
from exporter.ontap.session import LookUp, SystemResolver
from exporter.simulator import SERVER_NAME, SimulatedCluster
from support.polled_fleet import cluster_config, polled

DEADLINE_SECONDS = 60.0
NAME = "cluster.example"
NETWORK_OF_ITS_OWN = ("unshare", "--map-root-user", "--mount", "--net")


def named(simulated: SimulatedCluster, ca_file: Path) -> ClusterSettings:
    """Configure a cluster by a name, whose address the test knows."""
    config = cluster_config(simulated, ca_file)
    return replace(
        config,
        endpoint=replace(config.endpoint, host=NAME),
        tls=replace(config.tls, server_name=SERVER_NAME),
    )


class Names:
    """A name service of one name, which may not exist yet, or not answer."""

    def __init__(self, address: str | None) -> None:
        self.address = address
        self.asked = 0
        self.answers = threading.Event()
        self.answers.set()

    def look_up(self, _: str, *args: Any) -> list[tuple[Any, ...]]:
        self.asked += 1
        assert self.answers.wait(DEADLINE_SECONDS)
        if self.address is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return socket.getaddrinfo(self.address, *args)


async def test_a_name_that_appears_is_found_by_the_next_poll(tmp_path: Path) -> None:
    names = Names(None)
    async with polled([SimulatedCluster("c1")], tmp_path, configure=named, look_up=names.look_up) as it:
        status = await it.watch.until("c1", lambda status: status.failures[Reason.CONNECTION] >= 2)
        assert status.last_poll is not None
        assert status.last_poll.failure is not None
        address, _, port = it.simulator["c1"].address.rpartition(":")
        message = f"no connection: {NAME}:{port}: Name or service not known"
        assert status.last_poll.failure.message == message
        assert names.asked == status.polls
        names.address = address
        await it.watch.until("c1", lambda status: status.up)


async def resolved(look_up: LookUp, host: str = NAME) -> list[str]:
    return [found["host"] for found in await SystemResolver(look_up).resolve(host, 443, socket.AF_UNSPEC)]


async def test_every_kind_of_address_is_found() -> None:
    def look_up(*_: Any) -> list[tuple[Any, ...]]:
        kinds = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [
            (socket.AF_INET, *kinds, ("192.0.2.7", 443)),
            (socket.AF_INET6, *kinds, ("2001:db8::7", 443, 0, 0)),
            (socket.AF_INET6, *kinds, ("fe80::7", 443, 0, socket.if_nametoindex("lo"))),
        ]

    assert await resolved(look_up) == ["192.0.2.7", "2001:db8::7", "fe80::7%lo"]


@pytest.mark.parametrize("host", ["cluster..invalid", "a" * 70, "\ud800"])
async def test_what_is_no_name_is_an_error_of_the_name(host: str) -> None:
    with pytest.raises(OSError, match=r"no name has this form|not known"):
        await resolved(socket.getaddrinfo, host)


async def test_a_name_server_that_does_not_answer_holds_one_thread_for_each_name() -> None:
    names = Names("127.0.0.1")
    names.answers.clear()
    resolver = SystemResolver(names.look_up)
    for _ in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await resolver.resolve(NAME, 443)
    assert names.asked == 1
    names.answers.set()
    assert [found["host"] for found in await resolver.resolve(NAME, 443)] == ["127.0.0.1"]


def may_have_a_network_of_its_own() -> bool:
    return subprocess.run([*NETWORK_OF_ITS_OWN, "true"], check=False, capture_output=True).returncode == 0


@pytest.mark.skipif(
    not may_have_a_network_of_its_own(), reason="this user may not make namespaces, so port 53 is not free"
)
def test_no_answer_of_a_name_server_is_kept() -> None:
    """A name that does not exist yet, one that moves, and a resolv.conf that is replaced."""
    code = "from support import name_servers; name_servers.main()"
    done = subprocess.run(
        [*NETWORK_OF_ITS_OWN, sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        ["Name or service not known", "192.0.2.1", "192.0.2.2", "192.0.2.3"],
    ), done.stderr
