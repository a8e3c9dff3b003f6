"""Where cleanup lacks what it needs, nothing is deleted, the daemon says so, and polling goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.cleanup.delete.limits import Pace
from exporter.ontap.requests.listing import PACKAGES_PATH
from exporter.simulator import Fault, FaultKind, SimulatedCluster, Simulator
from exporter.simulator.exporter_configuration import exporter_config, write_secret
from support.daemon_process import program
from support.programs import WITHOUT_ROOT_RIGHTS
from support.waiting import eventually

LISTEN = "--web.listen-address=127.0.0.1:0"
CLEANUP = """
cleanup:
  state: sqlite:///{state}
  policies:
    - {{name: retire-old, every: 24h, older_than: 90d, dry_run: false, seen_for: 0s}}
"""


async def test_a_cluster_that_hides_its_uuid_keeps_its_packages_and_the_next_one_is_cleaned(
    tmp_path: Path,
) -> None:
    hidden, clear = (SimulatedCluster(name, packages=("9.9.1", "9.14.1P2")) for name in ("c1", "c2"))
    hidden.faults.add(Fault(FaultKind.FORBIDDEN, path="/api/cluster", exact=True))
    async with Simulator([hidden, clear], directory=tmp_path) as simulator:
        extra = CLEANUP.format(state="state.db")
        write_secret(tmp_path / "config.yaml", exporter_config(simulator, extra=extra))
        async with program("run", f"--config.file={tmp_path}/config.yaml", LISTEN) as daemon:

            async def ended() -> bool:
                return await daemon.by_cluster("ontap_cleanup_last_run_success") == {"c1": 0, "c2": 1}

            await eventually(ended, seconds=60, what="a run on c2")
            await daemon.until_line("a cluster states no uuid, so nothing is deleted there")
            assert await daemon.by_cluster("ontap_cleanup_lease_held") == {"c1": 0, "c2": 1}
            assert await daemon.by_cluster("ontap_up") == {"c1": 1, "c2": 1}
            assert await daemon.stop() == 0
    assert hidden.requests_to(method="DELETE") == ()
    assert set(hidden.versions) == {"9.9.1", "9.14.1P2"}
    assert set(clear.versions) == {"9.14.1P2"}


async def test_a_journal_whose_folder_may_not_be_searched_stops_deleting_and_nothing_else(
    tmp_path: Path,
) -> None:
    cluster = SimulatedCluster("c1", packages=("9.9.1", "9.14.1P2"))
    folder = tmp_path / "closed" / "journal"
    folder.mkdir(parents=True)
    async with Simulator([cluster], directory=tmp_path) as simulator:
        extra = CLEANUP.format(state="closed/journal/state.db")
        write_secret(tmp_path / "config.yaml", exporter_config(simulator, extra=extra))
        folder.parent.chmod(0)
        try:
            async with program(
                f"{tmp_path}/config.yaml", wrapper=WITHOUT_ROOT_RIGHTS, is_hasty=True
            ) as daemon:
                warning = (
                    "its folder cannot be searched (Permission denied), so nothing is deleted until it can"
                )
                await daemon.until_line(warning)
                await daemon.until_ready()
                await daemon.until_line("closed/journal/state.db: cannot open it: Permission denied")
                assert await daemon.by_cluster("ontap_up") == {"c1": 1}
                assert await daemon.value("ontap_cleanup_journal_open") == 0
                assert cluster.requests_to(method="DELETE") == ()
                folder.parent.chmod(0o700)

                async def deleted() -> bool:
                    return set(cluster.versions) == {"9.14.1P2"}

                await eventually(deleted, seconds=60, what="the journal to be opened and the package deleted")
                assert await daemon.stop() == 0
        finally:
            folder.parent.chmod(0o700)


async def test_a_journal_without_a_folder_stops_deleting_and_nothing_else(tmp_path: Path) -> None:
    cluster = SimulatedCluster("c1", packages=("9.9.1", "9.14.1P2"))
    async with Simulator([cluster], directory=tmp_path) as simulator:
        extra = CLEANUP.format(state="no-such-folder/state.db")
        write_secret(tmp_path / "config.yaml", exporter_config(simulator, extra=extra))
        async with program("run", f"--config.file={tmp_path}/config.yaml", LISTEN) as daemon:
            await daemon.until_line("its folder does not exist, so nothing is deleted until it does")
            await daemon.until_ready()
            await daemon.until_line("the journal cannot be used, so nothing is deleted")
            assert await daemon.by_cluster("ontap_up") == {"c1": 1}
            assert await daemon.value("ontap_cleanup_journal_open") == 0
            assert await daemon.by_cluster("ontap_cleanup_lease_held") == {"c1": 0}
            assert cluster.requests_to(method="DELETE") == ()
            assert await daemon.stop() == 0


def move_folder(file: Path) -> None:
    file.parent.rename(file.parent.with_name("moved"))


@pytest.mark.parametrize(
    ("take_away", "why"),
    [
        (Path.unlink, "the journal has gone since it was last used"),
        (move_folder, "there is no folder"),
    ],
)
async def test_a_journal_that_goes_while_it_is_used_stops_deleting_and_is_not_begun_anew(
    take_away: Callable[[Path], None], why: str, tmp_path: Path
) -> None:
    cluster = SimulatedCluster("c1", packages=("9.9.1", "9.14.1P2"))
    file = tmp_path / "journal" / "state.db"
    file.parent.mkdir()
    often = CLEANUP.format(state=file).replace("every: 24h", "every: 1s") + "  takeover_after: 3s\n"
    async with Simulator([cluster], directory=tmp_path) as simulator:
        config = exporter_config(simulator, poll_interval="1s", extra=often)
        write_secret(tmp_path / "config.yaml", config)
        async with program("run", f"--config.file={tmp_path}/config.yaml", LISTEN) as daemon:
            await cluster.wait_for_deletions(1)
            assert await daemon.value("ontap_cleanup_journal_open") == 1
            take_away(file)
            cluster.add_package("9.9.1")
            await daemon.until_line("the journal cannot be used, so nothing is deleted")

            async def is_closed() -> bool:
                return await daemon.value("ontap_cleanup_journal_open") == 0

            # The journal itself is given up only after 30 s.
            await eventually(is_closed, seconds=20, what="the journal to count as closed")
            await daemon.until_line("a cluster cannot be cleaned")
            await until_polled_again(cluster)
            assert await daemon.by_cluster("ontap_up") == {"c1": 1}
            assert await daemon.stop() == 0
        async with program("run", f"--config.file={tmp_path}/config.yaml", LISTEN) as daemon:
            await daemon.until_line(why)
            await until_polled_again(cluster)
            assert await daemon.value("ontap_cleanup_journal_open") == 0
            assert await daemon.stop() == 0
    assert not file.exists()
    assert len(cluster.requests_to(method="DELETE")) == 1
    assert "9.9.1" in cluster.versions


async def until_polled_again(cluster: SimulatedCluster) -> None:
    """Wait until the cluster has been polled some more times."""
    listings = len(cluster.requests_to(PACKAGES_PATH, method="GET"))
    await cluster.wait_for_requests(listings + 3, method="GET", path=PACKAGES_PATH)


async def test_a_reload_shows_leases_as_configured_at_once_while_the_journal_is_closed(
    tmp_path: Path,
) -> None:
    clusters = [SimulatedCluster(name, packages=["9.14.1P2"]) for name in ("c1", "c2")]
    async with Simulator(clusters, directory=tmp_path) as simulator:
        file = tmp_path / "config.yaml"
        whole = exporter_config(simulator, extra=CLEANUP.format(state="no-such-folder/state.db"))
        write_secret(file, whole)
        arguments = ("run", f"--config.file={file}", LISTEN, "--web.enable-lifecycle")
        async with program(*arguments) as daemon:
            await daemon.until_line("the journal cannot be used, so nothing is deleted")
            assert await daemon.by_cluster("ontap_cleanup_lease_held") == {"c1": 0, "c2": 0}
            lines = [line for line in whole.splitlines() if '"c2"' not in line]
            labelled = "\n".join(lines).replace('"name": "c1"', '"name": "c1", "labels": {"site": "ams"}')
            write_secret(file, labelled)
            assert (await daemon.post("/-/reload"))[0] == 200

            async def shown() -> bool:
                samples = await daemon.samples("ontap_cleanup_lease_held")
                return samples == {(("cluster", "c1"), ("site", "ams")): 0}

            # Sooner than the journal is tried again, which would show it too.
            await eventually(shown, seconds=Pace().retry_seconds / 2, what="the leases as configured")
            assert await daemon.stop() == 0
