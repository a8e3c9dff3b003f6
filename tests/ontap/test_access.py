"""After a cluster has refused credentials, only new credentials are sent at once."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from exporter.ontap.access import AccessOpener, ClusterAccess
from exporter.ontap.client import RequestCounts
from exporter.ontap.cluster_settings import BasicLogin, ClusterSettings, Header, Login, Secret, Tls
from exporter.ontap.credentials import LoginContent, read_login
from exporter.ontap.errors import LoginPaused, Unauthorized
from exporter.ontap.requests.facts import read_identity
from exporter.ontap.session import open_session
from exporter.simulator import Fault, FaultKind, SimulatedCluster, Simulator
from support.polled_fleet import WAIT_SECONDS, cluster_config
from support.waiting import eventually


@dataclass(slots=True, kw_only=True)
class Scene:
    """A cluster that wants a client certificate and has refused one."""

    simulator: Simulator
    directory: Path
    config: ClusterSettings
    opener: AccessOpener
    access: ClusterAccess

    def issue(self, name: str) -> Tls:
        """Put a new client certificate into files of a name."""
        issued = self.simulator.issue_client_certificate("monitor")
        certificate, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        shutil.copy(issued.cert_file, certificate)
        shutil.copy(issued.key_file, key)
        return Tls(ca_file=self.simulator.ca_file, cert_file=certificate, key_file=key)

    async def reopen(self, **changes: object) -> ClusterAccess:
        config = replace(self.config, **changes)  # type: ignore[arg-type]
        return (await self.opener.reopen([config], before={"c1": self.access}))["c1"]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    refusal = Fault(FaultKind.UNAUTHORIZED, times=1)
    cluster = SimulatedCluster("c1", require_client_certificate=True, faults=[refusal])
    async with Simulator([cluster], directory=tmp_path) as simulator, open_session() as session:
        opener = AccessOpener(session=session, counts=RequestCounts())
        config = cluster_config(cluster, simulator.ca_file, login=None)
        access = opener.open([config])["c1"]
        it = Scene(simulator=simulator, directory=tmp_path, config=config, opener=opener, access=access)
        it.config = replace(config, tls=it.issue("first"))
        it.access = opener.open([it.config])["c1"]
        with pytest.raises(Unauthorized):
            await it.access.ask(read_identity())
        with pytest.raises(LoginPaused):
            await it.access.ask(read_identity())
        yield it


async def test_a_renewed_certificate_ends_the_pause(scene: Scene) -> None:
    scene.issue("first")
    await scene.access.ask(read_identity())


async def test_a_reload_tries_a_renewed_certificate_at_once(scene: Scene) -> None:
    scene.issue("first")
    await (await scene.reopen()).ask(read_identity())


async def test_a_reload_that_names_another_certificate_tries_it_at_once(scene: Scene) -> None:
    await (await scene.reopen(tls=scene.issue("second"))).ask(read_identity())


async def test_a_reload_that_names_the_same_certificate_elsewhere_ends_no_pause(scene: Scene) -> None:
    copies = [scene.directory / name for name in ("copy.pem", "copy.key")]
    for file, copy in zip(scene.config.tls.certificate_files, copies, strict=True):
        shutil.copy(file, copy)
    moved = replace(scene.config.tls, cert_file=copies[0], key_file=copies[1])
    with pytest.raises(LoginPaused):
        await (await scene.reopen(tls=moved)).ask(read_identity())


async def test_a_reload_that_changes_no_certificate_ends_no_pause(scene: Scene) -> None:
    for access in (await scene.reopen(), await scene.reopen(max_records=7)):
        with pytest.raises(LoginPaused):
            await access.ask(read_identity())


async def test_refused_facts_are_remembered_while_the_cluster_is_not_configured(scene: Scene) -> None:
    scene.issue("first")
    await scene.access.ask(read_identity())
    scene.simulator["c1"].faults.add(Fault(FaultKind.UNAUTHORIZED, times=1))
    with pytest.raises(Unauthorized):
        await scene.access.ask(read_identity(), is_fact=True)
    await scene.opener.reopen([], before={"c1": scene.access})
    again = scene.opener.open([scene.config])["c1"]
    with pytest.raises(LoginPaused):
        await again.ask(read_identity(), is_fact=True)


async def test_a_reload_drops_the_contexts_that_are_no_longer_configured(scene: Scene) -> None:
    before = await scene.opener._contexts.context(scene.config.tls)
    await scene.reopen()
    assert await scene.opener._contexts.context(scene.config.tls) is before
    await scene.reopen(tls=Tls())
    assert await scene.opener._contexts.context(scene.config.tls) is not before


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A password file on a disk that answers while ``answers`` is set, and the access that reads it."""

    answers: threading.Event
    file: Path
    opener: AccessOpener
    config: ClusterSettings


@asynccontextmanager
async def disk(directory: Path, cluster: SimulatedCluster, *, password: str) -> AsyncIterator[Disk]:
    answers = threading.Event()
    answers.set()

    def read(login: Login, headers: tuple[Header, ...], files: tuple[Path, ...]) -> LoginContent:
        assert answers.wait(WAIT_SECONDS)
        return read_login(login, headers, files)

    file = directory / "password"
    file.write_text(password)
    login = BasicLogin(username=cluster.username, password=Secret(file=file))
    async with Simulator([cluster], directory=directory) as simulator, open_session() as session:
        opener = AccessOpener(session=session, counts=RequestCounts(), read_login=read)
        config = cluster_config(cluster, simulator.ca_file, login=login)
        try:
            yield Disk(answers=answers, file=file, opener=opener, config=config)
        finally:
            answers.set()


async def test_a_reload_waits_a_moment_at_most_for_a_disk_that_does_not_answer(tmp_path: Path) -> None:
    async with disk(tmp_path, SimulatedCluster("c1", password="right"), password="wrong") as it:
        before = it.opener.open([it.config])
        with pytest.raises(Unauthorized):
            await before["c1"].ask(read_identity())
        it.answers.clear()
        it.file.write_text("right")
        async with asyncio.timeout(WAIT_SECONDS / 2):
            after = await it.opener.reopen([it.config], before=before)
            with pytest.raises(LoginPaused):
                await after["c1"].ask(read_identity())
        it.answers.set()
        await ends_pause(after["c1"])


async def test_a_reload_with_other_times_keeps_the_passwords_that_are_known(tmp_path: Path) -> None:
    async with disk(tmp_path, SimulatedCluster("c1", password="second"), password="first-secret") as it:
        before = it.opener.open([it.config])
        with pytest.raises(Unauthorized):
            await before["c1"].ask(read_identity())
        it.file.write_text("second")
        await before["c1"].ask(read_identity())
        it.answers.clear()
        changed = replace(it.config, poll_timeout=it.config.poll_timeout / 2)
        after = await it.opener.reopen([changed], before=before)
        assert after["c1"] is not before["c1"]
        async with asyncio.timeout(WAIT_SECONDS / 2):  # less than the disk takes
            await after["c1"].ask(read_identity())
        assert after["c1"].client.credentials.redact("first-secret second") == "<secret> <secret>"


async def ends_pause(access: ClusterAccess) -> None:
    """Ask until the credentials have been read."""

    async def accepted() -> bool:
        with suppress(LoginPaused):
            await access.ask(read_identity())
            return True
        return False

    await eventually(accepted, seconds=WAIT_SECONDS, what="the pause's end")
