"""A reload applies the changes of the files at once, and nothing else changes."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporter.ontap.requests.listing import PACKAGES_PATH
from exporter.simulator import Fault, FaultKind, SimulatedCluster, Simulator
from exporter.simulator.exporter_configuration import write_secret
from support.daemon_process import Daemon, program
from support.waiting import eventually

WAIT_SECONDS = 60.0
RELOADED = (200, "The configuration was reloaded.\n")


def cluster(number: int, **settings: object) -> SimulatedCluster:
    return SimulatedCluster(f"c{number:03d}", packages=["9.13.1", "9.14.1P2"], **settings)  # type: ignore[arg-type]


def entry(one: SimulatedCluster, **keys: object) -> dict[str, Any]:
    return {"name": one.name, "address": one.address, **keys}


@dataclass(slots=True, kw_only=True)
class Scene:
    """A simulator, a program that polls it, and the program's configuration."""

    simulator: Simulator
    directory: Path
    defaults: dict[str, Any] = field(default_factory=dict)
    daemon: Daemon = field(init=False)

    @property
    def file(self) -> Path:
        return self.directory / "config.yaml"

    @property
    def password_file(self) -> Path:
        return self.directory / "password"

    def write(self, entries: Iterable[dict[str, Any]], **sections: object) -> None:
        """Write the configuration; JSON is YAML."""
        defaults = {
            "poll_interval": "30d",  # so that no poll becomes due by itself
            "basic_auth": {"username": "monitor", "password_file": str(self.password_file)},
            "tls_config": {"ca_file": str(self.simulator.ca_file)},
            **self.defaults,
        }
        write_secret(
            self.file, json.dumps({"defaults": defaults, "clusters": list(entries), **sections}, indent=1)
        )

    def write_all(self) -> None:
        self.write(map(entry, self.simulator.clusters))

    async def reload(self) -> None:
        assert await self.daemon.post("/-/reload") == RELOADED

    async def until_polled(self, polls: dict[str, float]) -> None:
        """Wait until the clusters are these, and each has been polled this many times."""

        async def polled() -> bool:
            return await self.daemon.by_cluster("ontap_polls_total") == polls

        await eventually(polled, seconds=WAIT_SECONDS, what=f"the polls {polls}")


@asynccontextmanager
async def scene(
    directory: Path, clusters: Iterable[SimulatedCluster], *flags: str, **defaults: object
) -> AsyncIterator[Scene]:
    """Poll clusters with the real program; they are configured to be polled once an hour."""
    async with Simulator(clusters, directory=directory) as simulator:
        it = Scene(simulator=simulator, directory=directory, defaults=defaults)
        write_secret(it.password_file, "simulated\n")
        it.write_all()
        flags = flags or ("--web.enable-lifecycle",)
        listen = "--web.listen-address=127.0.0.1:0"
        async with program("run", f"--config.file={it.file}", listen, *flags) as it.daemon:
            await it.daemon.until_ready()
            yield it


async def test_of_200_clusters_only_the_5_that_changed_are_polled_anew(tmp_path: Path) -> None:
    async with scene(tmp_path, map(cluster, range(200))) as it:
        clusters = it.simulator.clusters
        asked = {one.name: len(one.requests) for one in clusters}
        ended = await it.daemon.by_cluster("ontap_last_poll_timestamp_seconds")
        changed = {one.name for one in clusters[20:25]}
        it.write(entry(one, **({"max_records": 7} if one.name in changed else {})) for one in clusters)
        await it.reload()
        await it.daemon.until_line("added=0 changed=5 removed=0 kept=195")
        await it.until_polled({one.name: 1.0 + (one.name in changed) for one in clusters})
        again = await it.daemon.by_cluster("ontap_last_poll_timestamp_seconds")
        assert {name for name in ended if again[name] != ended[name]} == changed
        assert {one.name for one in clusters if len(one.requests) != asked[one.name]} == changed
        assert set((await it.daemon.by_cluster("ontap_software_packages")).values()) == {2.0}


async def test_a_cluster_that_is_removed_loses_its_series_at_once_and_one_that_is_added_is_polled(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, [cluster(1), cluster(2)]) as it:
        third = await it.simulator.add(cluster(3))
        first = it.simulator["c001"]
        it.write([entry(third), entry(first)])
        await it.reload()
        _, text = await it.daemon.get("/metrics")
        assert 'cluster="c002"' not in text
        assert (await it.daemon.get("/probe?target=c002"))[0] == 404
        assert await it.daemon.value("ontap_exporter_clusters") == 2
        await it.until_polled({"c003": 1.0, "c001": 1.0})
        _, listed = await it.daemon.get("/api/v1/clusters")
        assert [one["cluster"] for one in json.loads(listed)["clusters"]] == ["c003", "c001"]


async def test_a_poll_that_is_going_on_does_not_bring_a_removed_cluster_back(tmp_path: Path) -> None:
    async with scene(tmp_path, [cluster(1), cluster(2)], poll_interval="1s", poll_timeout="20s") as it:
        first, second = it.simulator.clusters
        second.faults.add(Fault(FaultKind.HANG))
        await second.wait_for_requests(len(second.requests) + 1, timeout_seconds=WAIT_SECONDS)
        it.write([entry(first)])
        await it.reload()
        second.faults.clear()
        await first.wait_for_requests(len(first.requests) + 6, timeout_seconds=WAIT_SECONDS)
        _, text = await it.daemon.get("/metrics")
        assert 'cluster="c002"' not in text


async def test_other_labels_and_times_need_no_new_poll(tmp_path: Path) -> None:
    async with scene(tmp_path, [cluster(1)]) as it:
        one = it.simulator["c001"]
        asked = len(one.requests)
        it.write([entry(one, labels={"site": "ams"}, poll_interval="20d", stale_after="60d")])
        await it.reload()
        assert await it.daemon.samples("ontap_software_packages") == {
            (("cluster", "c001"), ("site", "ams")): 2.0
        }
        assert await it.daemon.samples("ontap_polls_total") == {(("cluster", "c001"), ("site", "ams")): 1.0}
        assert len(one.requests) == asked


async def test_other_labels_leave_a_poll_that_is_going_on_alone(tmp_path: Path) -> None:
    async with scene(tmp_path, [cluster(1)], poll_interval="1s") as it:
        one = it.simulator["c001"]
        slow = Fault(FaultKind.HANG, path=PACKAGES_PATH)
        one.faults.add(slow)
        await one.wait_for_requests(len(one.requests_to(PACKAGES_PATH)) + 1, path=PACKAGES_PATH)
        asked = len(one.requests_to(PACKAGES_PATH))
        polls = (await it.daemon.by_cluster("ontap_polls_total"))["c001"]
        for site in ("ams", "fra", "lon"):
            it.write([entry(one, labels={"site": site})])
            await it.reload()
        assert await it.daemon.samples("ontap_polls_total") == {(("cluster", "c001"), ("site", "lon")): polls}
        assert len(one.requests_to(PACKAGES_PATH)) == asked
        one.faults.remove(slow)

        async def ended() -> bool:
            return (await it.daemon.by_cluster("ontap_polls_total"))["c001"] > polls

        await eventually(ended, seconds=WAIT_SECONDS, what="the end of the poll that was going on")


async def test_another_interval_holds_from_the_reload_on(tmp_path: Path) -> None:
    async with scene(tmp_path, [cluster(1)]) as it:
        it.write([entry(it.simulator["c001"], poll_interval="1s")])
        await it.reload()

        async def polled() -> bool:
            return (await it.daemon.by_cluster("ontap_polls_total"))["c001"] >= 3

        await eventually(polled, seconds=WAIT_SECONDS, what="polls at the new interval")


async def test_a_cluster_that_asked_for_a_pause_is_not_polled_even_if_its_configuration_changes(
    tmp_path: Path,
) -> None:
    busy = cluster(1, faults=[Fault(FaultKind.TOO_MANY_REQUESTS, retry_after=600)])
    async with scene(tmp_path, [busy]) as it:
        asked = len(busy.requests)
        for number in range(3):
            it.write([entry(busy, max_records=10 + number, labels={"round": str(number)})])
            await it.reload()
        await it.daemon.until_line('level=info msg="the configuration was reloaded"')
        assert await it.daemon.by_cluster("ontap_polls_total") == {"c001": 1.0}
        assert len(busy.requests) == asked


async def test_a_new_address_forgets_what_was_at_the_old_one(tmp_path: Path) -> None:
    async with scene(tmp_path, [cluster(1), cluster(2, reachable=False)]) as it:
        first, second = it.simulator.clusters
        it.write([{"name": "c001", "address": second.address}])
        await it.reload()
        await it.until_polled({"c001": 1.0})
        assert await it.daemon.by_cluster("ontap_up") == {"c001": 0.0}
        assert await it.daemon.samples("ontap_software_packages") == {}
        it.write([{"name": "c001", "address": first.address}])
        await it.reload()

        async def counted() -> bool:
            return await it.daemon.by_cluster("ontap_software_packages") == {"c001": 2.0}

        await eventually(counted, seconds=WAIT_SECONDS, what="the packages at the address")


async def test_a_bad_file_changes_nothing_and_is_reported_with_its_lines(tmp_path: Path) -> None:
    async with scene(tmp_path, [cluster(1)]) as it:
        before = await it.daemon.value("ontap_exporter_config_last_reload_success_timestamp_seconds")
        write_secret(it.file, "clusters:\n  - address: 127.0.0.1\n    colour: red\n  - {}\n")
        status, text = await it.daemon.post("/-/reload")
        assert status == 500
        assert f"{it.file}:3: clusters[0].colour: unknown key" in text
        assert f"{it.file}:4: clusters[1]: address is missing" in text
        assert await it.daemon.value("ontap_exporter_config_last_reload_successful") == 0
        assert await it.daemon.value("ontap_exporter_config_last_reload_success_timestamp_seconds") == before
        assert await it.daemon.by_cluster("ontap_software_packages") == {"c001": 2.0}
        await it.daemon.until_line(f"source={it.file}:3 key=clusters[0].colour")
        _, applied = await it.daemon.get("/config")
        assert "colour" not in applied
        assert "c001" in applied

        it.write_all()
        await it.reload()
        assert await it.daemon.value("ontap_exporter_config_last_reload_successful") == 1
        assert await it.daemon.value("ontap_exporter_config_last_reload_success_timestamp_seconds") > before


async def test_a_file_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path, [cluster(1)]) as it:
        it.file.unlink()
        status, text = await it.daemon.post("/-/reload", method="PUT")
        assert (status, str(it.file) in text) == (500, True)
        assert await it.daemon.by_cluster("ontap_up") == {"c001": 1.0}


async def test_without_the_flag_reloading_by_http_is_forbidden_and_sighup_reloads(tmp_path: Path) -> None:
    async with scene(tmp_path, [cluster(1)], "--log.level=debug") as it:
        it.write([])
        status, text = await it.daemon.post("/-/reload")
        assert status == 403
        assert "--web.enable-lifecycle" in text
        it.write([entry(it.simulator["c001"], labels={"site": "fra"})])
        it.daemon.process.send_signal(signal.SIGHUP)
        await it.daemon.until_line("the configuration was reloaded")
        assert (("cluster", "c001"), ("site", "fra")) in await it.daemon.samples("ontap_up")


async def test_reading_is_no_way_to_reload(tmp_path: Path) -> None:
    async with scene(tmp_path, [cluster(1)]) as it:
        assert (await it.daemon.get("/-/reload"))[0] == 405


async def test_a_password_that_was_refused_is_tried_again_only_once_it_has_changed(tmp_path: Path) -> None:
    async with scene(tmp_path, [cluster(1)]) as it:
        one = it.simulator["c001"]
        write_secret(it.password_file, "wrong")
        await it.reload()
        it.write([entry(one, max_records=9)])
        await it.reload()
        await it.until_polled({"c001": 2.0})
        assert await it.daemon.by_cluster("ontap_up") == {"c001": 0.0}
        refused = one.failed_logins
        it.write([entry(one, max_records=10)])
        await it.reload()
        await it.reload()
        write_secret(it.password_file, "simulated")
        await it.reload()
        await it.until_polled({"c001": 3.0})
        assert await it.daemon.by_cluster("ontap_up") == {"c001": 1.0}
        assert one.failed_logins in {refused, 0}


async def test_a_cluster_that_leaves_and_comes_back_is_not_sent_a_refused_password_again(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, [cluster(1), cluster(2)]) as it:
        first, second = it.simulator.clusters
        wrong = {"username": "monitor", "password": "wrong"}
        it.write([entry(first), entry(second, basic_auth=wrong)])
        await it.reload()
        await it.until_polled({"c001": 1.0, "c002": 2.0})
        assert second.failed_logins == 1
        for name in ("c002", "renamed", "c002", "renamed again"):
            it.write([entry(first)])
            await it.reload()
            it.write([entry(first), {**entry(second, basic_auth=wrong), "name": name}])
            await it.reload()
            await it.until_polled({"c001": 1.0, name: 1.0})
            assert (await it.daemon.by_cluster("ontap_up"))[name] == 0
            assert (await it.daemon.get("/-/ready"))[0] == 200
        for password in ("also wrong", "wrong", "also wrong", "wrong"):
            it.write([entry(first), entry(second, basic_auth={**wrong, "password": password})])
            await it.reload()
            await it.until_polled({"c001": 1.0, "c002": 1.0})
        assert second.failed_logins == 2
        it.write([entry(first), entry(second)])
        await it.reload()

        async def up() -> bool:
            return await it.daemon.by_cluster("ontap_up") == {"c001": 1.0, "c002": 1.0}

        await eventually(up, seconds=WAIT_SECONDS, what="the right password to be tried")


async def test_a_wrong_password_does_not_hold_up_a_right_one_of_the_same_account(tmp_path: Path) -> None:
    async with scene(tmp_path, [cluster(1)]) as it:
        one = it.simulator["c001"]
        wrong = {"username": "monitor", "password": "wrong"}
        it.write(
            [
                {**entry(one, poll_interval="1s"), "name": "right"},
                {**entry(one, poll_interval="1s", basic_auth=wrong), "name": "wrong"},
            ]
        )
        await it.reload()

        async def polled() -> bool:
            return (await it.daemon.by_cluster("ontap_polls_total")).get("right", 0) >= 6

        await eventually(polled, seconds=WAIT_SECONDS, what="polls with the right password")
        assert await it.daemon.by_cluster("ontap_up") == {"right": 1.0, "wrong": 0.0}


async def test_a_password_that_has_not_been_refused_is_read_again_for_the_next_poll(tmp_path: Path) -> None:
    async with scene(tmp_path, [cluster(1)], poll_interval="1s") as it:
        one = it.simulator["c001"]
        one.password = "rotated"
        write_secret(it.password_file, "rotated")
        await it.reload()
        polls = (await it.daemon.by_cluster("ontap_polls_total"))["c001"]

        async def polled() -> bool:
            return (await it.daemon.by_cluster("ontap_polls_total"))["c001"] >= polls + 2

        await eventually(polled, seconds=WAIT_SECONDS, what="two more polls")
        assert await it.daemon.by_cluster("ontap_up") == {"c001": 1.0}


async def test_many_reloads_at_once_are_all_answered(tmp_path: Path) -> None:
    async with scene(tmp_path, [cluster(1), cluster(2)]) as it:
        answers = await asyncio.gather(*(it.daemon.post("/-/reload") for _ in range(40)))
        assert set(answers) == {RELOADED}
        assert await it.daemon.by_cluster("ontap_polls_total") == {"c001": 1.0, "c002": 1.0}


async def test_the_program_stops_in_order_while_it_reloads(tmp_path: Path) -> None:
    async with scene(tmp_path, [cluster(1)]) as it:
        reloads = [asyncio.create_task(it.daemon.post("/-/reload")) for _ in range(8)]
        assert await it.daemon.stop() == 0
        await asyncio.gather(*reloads, return_exceptions=True)
        assert "Traceback" not in it.daemon.output


async def test_a_bad_web_configuration_refuses_the_whole_reload(tmp_path: Path) -> None:
    web = tmp_path / "web.yaml"
    write_secret(web, "rate_limit: {interval: 0s, burst: 1}\n")
    flags = ("--web.enable-lifecycle", f"--web.config.file={web}")
    async with scene(tmp_path, [cluster(1), cluster(2)], *flags) as it:
        it.write([entry(it.simulator["c001"])])
        write_secret(web, "rate_limit: {interval: soon, burst: 1}\n")
        status, text = await it.daemon.post("/-/reload")
        assert (status, f"{web}:1: rate_limit.interval: " in text) == (500, True)
        assert await it.daemon.value("ontap_exporter_config_last_reload_successful") == 0
        assert set(await it.daemon.by_cluster("ontap_up")) == {"c001", "c002"}
        write_secret(web, "{}\n")
        await it.reload()
        assert set(await it.daemon.by_cluster("ontap_up")) == {"c001"}


async def test_a_refused_reload_does_not_come_into_force_with_the_next_cluster_file(tmp_path: Path) -> None:
    web, more = tmp_path / "web.yaml", tmp_path / "more.json"
    write_secret(web, "{}\n")
    flags = ("--web.enable-lifecycle", f"--web.config.file={web}")
    async with scene(tmp_path, [cluster(1), cluster(2), cluster(3)], *flags) as it:
        first, second, third = it.simulator.clusters
        write_secret(more, json.dumps([entry(second)]))
        it.write([entry(first)], cluster_files=["more.json"])
        await it.reload()
        it.write([], cluster_files=["more.json"])
        write_secret(more, json.dumps([entry(second, labels={"site": "ams"})]))
        write_secret(web, "rate_limit: nothing\n")
        assert (await it.daemon.post("/-/reload"))[0] == 500
        await it.daemon.until_line('msg="cluster files have changed" added=0 changed=1 removed=0 kept=1')
        write_secret(more, json.dumps([entry(second), entry(third)]))
        await it.until_polled({"c001": 1.0, "c002": 1.0, "c003": 1.0})
        assert (("cluster", "c002"),) in await it.daemon.samples("ontap_up")


async def test_cleanup_is_switched_on_changed_and_switched_off(tmp_path: Path) -> None:
    state = f"sqlite:///{tmp_path}/state.db"
    policy = {"name": "retire", "every": "1h", "older_than": "30d"}
    async with scene(tmp_path, [cluster(1)]) as it:
        assert await it.daemon.samples("ontap_cleanup_dry_run") == {}
        entries = [entry(it.simulator["c001"])]
        it.write(entries, cleanup={"state": state, "policies": [policy]})
        await it.reload()
        series = (("cluster", "c001"), ("policy", "retire"))

        async def planned() -> bool:
            return series in await it.daemon.samples("ontap_cleanup_last_run_timestamp_seconds")

        await eventually(planned, seconds=WAIT_SECONDS, what="the first run of the policy")
        assert await it.daemon.samples("ontap_cleanup_dry_run") == {series: 1.0}
        ran = await it.daemon.samples("ontap_cleanup_last_run_timestamp_seconds")
        it.write(entries, cleanup={"state": state, "policies": [{**policy, "dry_run": False}]})
        await it.reload()
        assert await it.daemon.samples("ontap_cleanup_dry_run") == {series: 0.0}
        assert await it.daemon.samples("ontap_cleanup_last_run_timestamp_seconds") == ran
        it.write(entries)
        await it.reload()
        assert await it.daemon.samples("ontap_cleanup_dry_run") == {}
        assert await it.daemon.samples("ontap_cleanup_journal_open") == {}
        _, text = await it.daemon.get("/api/v1/cleanup")
        assert json.loads(text)["configured"] is False


async def test_a_cluster_file_is_followed_without_a_reload(tmp_path: Path) -> None:
    folder = tmp_path / "clusters.d"
    folder.mkdir()
    async with scene(tmp_path, [cluster(1), cluster(2), cluster(3)]) as it:
        first, second, third = it.simulator.clusters
        it.write([entry(first)], cluster_files=["clusters.d/*.json"])
        await it.reload()
        assert await it.daemon.by_cluster("ontap_up") == {"c001": 1.0}

        more = folder / "more.json"
        write_secret(
            more, json.dumps([entry(second), {"targets": [third.address], "labels": {"site": "dr"}}])
        )
        host = third.address.partition(":")[0]
        await it.until_polled({"c001": 1.0, "c002": 1.0, host: 1.0})
        await it.daemon.until_line("added=2 changed=0 removed=0 kept=1")
        assert (("cluster", host), ("site", "dr")) in await it.daemon.samples("ontap_up")
        assert await it.daemon.value("ontap_exporter_cluster_files") == 1

        write_secret(more, '[{"name": "c002", "addr')
        await it.daemon.until_line("a cluster file is broken, its last good content stays applied")
        assert str(more) in it.daemon.output
        assert await it.daemon.value("ontap_exporter_cluster_files_failed") == 1
        assert set(await it.daemon.by_cluster("ontap_up")) == {"c001", "c002", host}

        write_secret(more, json.dumps([entry(second)]))
        await it.until_polled({"c001": 1.0, "c002": 1.0})
        await it.daemon.until_line("all cluster files can be used again")
        assert await it.daemon.value("ontap_exporter_cluster_files_failed") == 0

        more.unlink()
        await it.until_polled({"c001": 1.0})
