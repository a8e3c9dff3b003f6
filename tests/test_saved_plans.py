"""A plan is saved, compared with what is decided now, and limits what a policy may delete."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from exporter.cleanup.approval import SavedPlans
from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.policy_values import digest_of
from exporter.config import load_config
from exporter.config.plan_file import SavedPlan
from exporter.ontap.requests.jobs import JOBS_PATH
from exporter.simulator import Fault, FaultKind, Package, SimulatedCluster, Simulator
from exporter.simulator.exporter_configuration import exporter_config, write_secret
from support.cleaning import POLICY as ONE_POLICY
from support.cleaning import changed
from support.daemon_process import Daemon, program
from support.journal.journal_steps import end, intend, lease_of, new_run, opened
from support.plans import plan
from support.servicing import WAIT_SECONDS
from support.waiting import eventually

NOW = datetime.now(UTC)
LISTEN = "--web.listen-address=127.0.0.1:0"
POLICY = """
    - name: {name}
      every: 24h
      older_than: 90d
      max_deletes_per_run: {most}
      dry_run: {dry_run}
      seen_for: {seen_for}
"""


def cleanup(
    *names: str,
    approved_plan: Mapping[str, Path] | None = None,
    most: int = 5,
    seen_for: str = "0s",
    dry_run: str = "false",
) -> str:
    section = "\ncleanup:\n  state: sqlite:///state.db\n  policies:"
    for name in names:
        section += POLICY.format(name=name, most=most, seen_for=seen_for, dry_run=dry_run)
        if approved_plan is not None:
            section += f"      approved_plan: {approved_plan[name]}\n"
    return section


def old(version: str, days: int = 500) -> Package:
    return Package(version, NOW - timedelta(days=days))


def cluster_with_three() -> SimulatedCluster:
    """Simulate a cluster that runs 9.14.1P2 and holds three packages that are old enough."""
    return SimulatedCluster("c1", packages=[old("9.9.1", 600), old("9.10.1"), old("9.12.1", 400)])


async def reasons_after_a_run(daemon: Daemon) -> dict[str, dict[str, str]]:
    """Return the reason for each version by each policy, once every policy has made a run."""

    async def ran() -> dict[str, dict[str, str]] | None:
        document: dict[str, Any] = json.loads((await daemon.get("/api/v1/cleanup"))[1])
        ended = [run for run in document["runs"] if run["ended_timestamp_seconds"] is not None]
        if len(ended) < len(document["policies"]):
            return None
        return {run["policy"]: {one["version"]: one["reason"] for one in run["plan"]} for run in ended}

    found = await eventually(ran, seconds=60, what="a run of every policy")
    assert found is not None
    return found


async def test_the_difference_to_a_saved_plan_names_what_is_decided_otherwise_now(tmp_path: Path) -> None:
    cluster, saved = cluster_with_three(), tmp_path / "plan.json"
    policies = cleanup("retire-old")
    async with Simulator([cluster], directory=tmp_path) as simulator:
        done = await plan(simulator, tmp_path, f"--save={saved}", cleanup=policies)
        assert (done.returncode, done.stderr) == (0, "")
        assert "older than 90 d" in done.stdout, "the plan is printed too"
        done = await plan(simulator, tmp_path, f"--diff={saved}", cleanup=policies)
        assert (done.returncode, done.stdout) == (0, "nothing has changed since the plan was saved\n")
        moment = datetime.fromtimestamp(json.loads(saved.read_text())["saved_timestamp_seconds"], UTC)
        cluster.pending_version = "9.10.1"
        cluster.add_package(old("9.11.1"))
        cluster.remove_package("9.12.1")
        done = await plan(simulator, tmp_path, f"--diff={saved}", cleanup=policies)
        assert done.stdout.splitlines() == [
            "c1  retire-old  9.10.1: would have been deleted, is kept now: named by the pending update",
            "c1  retire-old  9.11.1: is new, would be deleted: older than 90 d",
            "c1  retire-old  9.12.1: would have been deleted, is gone",
            f"3 differences to the plan that was saved on {moment:%Y-%m-%d %H:%M} UTC",
        ]
        assert cluster.deletions == ()


async def test_a_cluster_that_cannot_be_read_has_not_lost_its_packages(tmp_path: Path) -> None:
    clusters = [cluster_with_three(), SimulatedCluster("c2", packages=[old("9.9.1")])]
    saved, policies = tmp_path / "plan.json", cleanup("retire-old")
    async with Simulator(clusters, directory=tmp_path) as simulator:
        await plan(simulator, tmp_path, f"--save={saved}", cleanup=policies)
        clusters[0].faults.add(Fault(FaultKind.FORBIDDEN))
        done = await plan(simulator, tmp_path, f"--diff={saved}", cleanup=policies)
        only, _ = done.stdout.splitlines()
        assert done.returncode == 1
        assert only.startswith("c1  retire-old  KEEP ALL: the listing could not be read: HTTP 403")
        await plan(simulator, tmp_path, f"--save={saved}", cleanup=policies)
        clusters[0].faults.clear()
        done = await plan(simulator, tmp_path, f"--diff={saved}", cleanup=policies)
        first, *packages, _ = done.stdout.splitlines()
        assert first.startswith("c1  retire-old  could not be planned then: the listing could not be read")
        assert len(packages) == 3


async def test_the_difference_is_about_the_clusters_that_are_named(tmp_path: Path) -> None:
    clusters = [cluster_with_three(), SimulatedCluster("c2", packages=[old("9.9.1")])]
    saved, policies = tmp_path / "plan.json", cleanup("retire-old")
    async with Simulator(clusters, directory=tmp_path) as simulator:
        await plan(simulator, tmp_path, f"--save={saved}", cleanup=policies)
        done = await plan(simulator, tmp_path, f"--diff={saved}", "--cluster=c1", cleanup=policies)
        assert done.stdout == "nothing has changed since the plan was saved\n"
        policies = cleanup("retire-old").replace("every: 24h", "every: 24h\n      clusters: {names: [c1]}")
        done = await plan(simulator, tmp_path, f"--diff={saved}", cleanup=policies)
        assert done.stdout.splitlines()[0].startswith("c2  retire-old  is not planned any more")


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot be read: No such file or directory"), ("[]", "not a saved plan: the document")],
)
async def test_a_file_that_is_no_saved_plan_is_not_compared(
    content: str | None, says: str, tmp_path: Path
) -> None:
    file = tmp_path / "plan.json"
    if content is not None:
        file.write_text(content)
    async with Simulator([SimulatedCluster("c1")], directory=tmp_path) as simulator:
        done = await plan(simulator, tmp_path, f"--diff={file}", cleanup=cleanup("retire-old"))
        assert (done.returncode, done.stdout) == (2, "")
        assert says in done.stderr


async def test_a_plan_that_cannot_be_saved_is_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "no-such-folder" / "plan.json"
    async with Simulator([SimulatedCluster("c1")], directory=tmp_path) as simulator:
        done = await plan(simulator, tmp_path, f"--save={file}", cleanup=cleanup("retire-old"))
        assert done.returncode == 1
        assert done.stderr.endswith(f"error: {file}: cannot be written: No such file or directory\n")


async def test_a_saved_plan_on_a_mount_that_hangs_occupies_one_thread(tmp_path: Path) -> None:
    begun, answers, reads = threading.Event(), threading.Event(), 0

    def read(path: Path) -> SavedPlan:
        nonlocal reads
        reads += 1
        begun.set()
        assert answers.wait(WAIT_SECONDS), path
        return SavedPlan(saved_timestamp_seconds=100.0, plans=())

    saved = SavedPlans(read=read, read_seconds=0.01)
    policy = changed(ONE_POLICY, approved_plan=tmp_path / "approved.json")
    for _ in range(3):
        approved = await saved.approval_of(policy, now=200.0)
        assert approved is not None
        assert approved.problem == "the approved plan could not be read in time"
    assert await asyncio.to_thread(begun.wait, WAIT_SECONDS)
    assert reads == 1
    answers.set()

    async def is_read() -> bool:
        approved = await saved.approval_of(policy, now=200.0)
        return approved is not None and not approved.problem

    await eventually(is_read, seconds=WAIT_SECONDS, what="the saved plan")


async def test_a_daemon_deletes_what_the_saved_plan_chose_and_no_more(tmp_path: Path) -> None:
    cluster, saved = cluster_with_three(), tmp_path / "plan.json"
    async with Simulator([cluster], directory=tmp_path) as simulator:
        await plan(simulator, tmp_path, f"--save={saved}", cleanup=cleanup("retire-old", most=1))
        policies = cleanup("retire-old", approved_plan={"retire-old": saved})
        write_secret(tmp_path / "config.yaml", exporter_config(simulator, extra=policies))
        async with program("run", f"--config.file={tmp_path}/config.yaml", LISTEN) as daemon:
            reasons = (await reasons_after_a_run(daemon))["retire-old"]
            assert await daemon.stop() == 0
    assert reasons == {"9.9.1": "retired", "9.10.1": "not_approved", "9.12.1": "not_approved"}
    assert set(cluster.versions) == {"9.10.1", "9.12.1"}


async def test_a_plan_is_saved_anew_while_the_policy_waits_for_it(tmp_path: Path) -> None:
    cluster, saved = cluster_with_three(), tmp_path / "plan.json"
    policies = cleanup("retire-old", approved_plan={"retire-old": saved})
    async with Simulator([cluster], directory=tmp_path) as simulator:
        for _ in range(2):  # once without a plan, once with one
            assert (await plan(simulator, tmp_path, f"--save={saved}", cleanup=policies)).returncode == 0
            chosen = [one["version"] for one in json.loads(saved.read_text())["plans"][0]["packages"]]
            assert chosen == ["9.9.1", "9.10.1", "9.12.1"]
        cluster.add_package(old("9.11.1", 450))
        found = await plan(simulator, tmp_path, f"--diff={saved}", cleanup=policies)
        assert "retire-old  9.11.1: is new, would be deleted" in found.stdout
        now = json.loads((await plan(simulator, tmp_path, "--output=json", cleanup=policies)).stdout)
        reasons = {one["version"]: one["reason"] for one in now["plans"][0]["packages"]}
        assert reasons["9.11.1"] == "not_approved"


async def test_a_saved_plan_that_does_not_count_approves_nothing(tmp_path: Path) -> None:
    cluster, saved = cluster_with_three(), tmp_path / "plan.json"
    async with Simulator([cluster], directory=tmp_path) as simulator:
        await plan(simulator, tmp_path, f"--save={saved}", cleanup=cleanup("retire-old"))
        good = json.loads(saved.read_text())
        of_another_cluster = json.loads(saved.read_text())
        of_another_cluster["plans"][0]["cluster_uuid"] = "00000000-0000-0000-0000-000000000001"
        too_old = {**good, "saved_timestamp_seconds": time.time() - 15 * 86_400}
        files = {
            "other-uuid": json.dumps(of_another_cluster),
            "too-old": json.dumps(too_old),
            "unreadable": "{",
        }
        for name, content in files.items():
            (tmp_path / f"{name}.json").write_text(content)
        approved = {name: tmp_path / f"{name}.json" for name in (*files, "missing")}
        policies = cleanup(*approved, approved_plan=approved)
        write_secret(tmp_path / "config.yaml", exporter_config(simulator, extra=policies))
        async with program("run", f"--config.file={tmp_path}/config.yaml", LISTEN) as daemon:
            found = await reasons_after_a_run(daemon)
            assert await daemon.stop() == 0
        nothing = dict.fromkeys(("9.9.1", "9.10.1", "9.12.1"), "not_approved")
        assert found == dict.fromkeys(approved, nothing)
        assert cluster.requests_to(method="DELETE") == ()


async def test_plan_reads_the_journal_that_a_daemon_holds_and_says_where_it_could_not(tmp_path: Path) -> None:
    policies = cleanup("retire-old", seen_for="1s", dry_run="true")
    async with Simulator([cluster_with_three()], directory=tmp_path) as simulator:

        async def planned() -> tuple[set[str], str]:
            done = await plan(simulator, tmp_path, "--output=json", cleanup=policies)
            packages = json.loads(done.stdout)["plans"][0]["packages"]
            return {one["reason"] for one in packages}, done.stderr

        reasons, errors = await planned()
        assert reasons == {"seen_unknown"}
        assert errors.startswith("warning: the journal could not be read, so no package counts as seen: ")
        assert not list(tmp_path.glob("state.db*"))
        async with program("run", f"--config.file={tmp_path}/config.yaml", LISTEN) as daemon:
            await reasons_after_a_run(daemon)

            async def seen() -> bool:
                return await planned() == ({"retired"}, "")

            await eventually(seen, seconds=60, what="the packages to be seen for a second")
            assert await daemon.value("ontap_cleanup_journal_open") == 1


@pytest.mark.parametrize("is_loop", [False, True], ids=["no journal", "a link to itself"])
async def test_plan_says_that_a_journal_could_not_be_read_whose_packages_it_does_not_need(
    tmp_path: Path, *, is_loop: bool
) -> None:
    file = tmp_path / "state.db"
    async with Simulator([cluster_with_three()], directory=tmp_path) as simulator:
        if is_loop:
            file.symlink_to(file)
        else:
            file.write_text("no journal")
        done = await plan(simulator, tmp_path, cleanup=cleanup("retire-old"))
        said = "warning: the journal could not be read, so what stops deleting is not known: "
        assert done.stderr.startswith(said)
        assert "delete" in done.stdout


async def test_plan_keeps_a_package_whose_earlier_deletion_may_still_be_at_work(tmp_path: Path) -> None:
    policies = cleanup("retire-old")
    cluster = cluster_with_three()
    cluster.faults.add(Fault(FaultKind.FORBIDDEN, path=JOBS_PATH))
    async with Simulator([cluster], directory=tmp_path) as simulator:
        async with opened(f"sqlite:///{tmp_path}/state.db") as journal:
            lease = await lease_of(journal, cluster.uuid)
            run_id = await new_run(journal, lease, now=time.time())
            intended = await intend(journal, lease, run_id, version="9.10.1", now=time.time())
            followed = await journal.deletions.follow(lease, intended, job_uuid=None)
            await end(journal, lease, followed, Outcome.TIMEOUT, now=time.time())
        done = await plan(simulator, tmp_path, "--output=json", cleanup=policies)
        packages = json.loads(done.stdout)["plans"][0]["packages"]
        assert [one["version"] for one in packages if one["reason"] == "being_deleted"] == ["9.10.1"]


async def test_plan_says_what_the_journal_has_against_deleting(tmp_path: Path) -> None:
    policies = cleanup("retire-old").replace("  policies:", "  max_deletes_per_day: 1\n  policies:")
    cluster = cluster_with_three()
    async with Simulator([cluster], directory=tmp_path) as simulator:
        assert (await plan(simulator, tmp_path, cleanup=policies)).stderr == ""
        config = load_config(tmp_path / "config.yaml", environ={})
        assert config.cleanup is not None
        (policy,) = config.cleanup.policies
        async with opened(f"sqlite:///{tmp_path}/state.db") as journal:
            lease = await lease_of(journal, cluster.uuid)
            run_id = await new_run(journal, lease, policy=policy.name)
            deletion = await intend(journal, lease, run_id, policy_digest=digest_of(policy))
            await end(journal, lease, deletion, Outcome.FAILURE, message="said no", stop_after_failures=1)
            await journal.stops.set_kill_switch(engaged=True)
        done = await plan(simulator, tmp_path, cleanup=policies)
        kill_switch, paused, limit = done.stderr.splitlines()
        assert kill_switch == "warning: the kill switch is on, so nothing is deleted"
        assert paused.startswith(
            "warning: policy retire-old is paused, so it deletes nothing: 1 deletions in a"
        )
        assert paused.endswith("said no")
        assert limit.startswith(
            "warning: max_deletes_per_day is used up: 1 deletions were begun in the last 24 hours, of 1"
        )
        assert "delete" in done.stdout
