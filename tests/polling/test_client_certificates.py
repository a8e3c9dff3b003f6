"""A cluster that has refused a client certificate is asked again once there is another one, and only then."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from exporter.config import ClusterConfig
from exporter.ontap.access import AccessOpener, ClusterAccess
from exporter.ontap.client import RequestCounts, open_session
from exporter.ontap.endpoint import Tls
from exporter.ontap.errors import LoginPaused, Unauthorized
from exporter.ontap.facts import read_identity
from exporter.simulator import Fault, FaultKind, SimulatedCluster, Simulator
from support.fleet import cluster_config


@dataclass(slots=True, kw_only=True)
class Scene:
    """A cluster that wants a client certificate and has refused one."""

    simulator: Simulator
    directory: Path
    config: ClusterConfig
    opener: AccessOpener
    access: ClusterAccess

    def issue(self, name: str) -> Tls:
        """Put a new client certificate into files of a name."""
        issued = self.simulator.issue_client_certificate("monitor")
        certificate, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        shutil.copy(issued.cert_file, certificate)
        shutil.copy(issued.key_file, key)
        return Tls(ca_file=self.simulator.ca_file, cert_file=certificate, key_file=key)

    def reopen(self, **changes: object) -> ClusterAccess:
        config = replace(self.config, **changes)  # type: ignore[arg-type]
        return self.opener.open([config], before={"c1": self.access})["c1"]


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
    await scene.reopen().ask(read_identity())


async def test_a_reload_that_names_another_certificate_tries_it_at_once(scene: Scene) -> None:
    await scene.reopen(tls=scene.issue("second")).ask(read_identity())


async def test_a_reload_that_changes_no_certificate_ends_no_pause(scene: Scene) -> None:
    for access in (scene.reopen(), scene.reopen(max_records=7)):
        with pytest.raises(LoginPaused):
            await access.ask(read_identity())


async def test_a_reload_drops_the_contexts_that_are_no_longer_configured(scene: Scene) -> None:
    before = await scene.opener._contexts.context(scene.config.tls)
    scene.reopen()
    assert await scene.opener._contexts.context(scene.config.tls) is before
    scene.reopen(tls=Tls())
    assert await scene.opener._contexts.context(scene.config.tls) is not before
