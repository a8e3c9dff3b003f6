"""Whatever breaks, nothing is deleted that may not be, nothing twice, and nothing without an account.

``ONTAP_CHAOS_SEED`` and ``ONTAP_CHAOS_SECONDS`` repeat or prolong the storm.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import structlog

from exporter.cleanup import policy_scheduler as keeper_module
from exporter.cleanup.cleanup_board import CleanupBoard
from exporter.cleanup.journal import open_journal
from exporter.cleanup.kill_switch import KillSwitch
from exporter.cleanup.limits import Pace, Pauses
from exporter.cleanup.records import Deletion, Outcome, Phase, Run
from exporter.cleanup.service import CleanupService
from exporter.config import CleanupConfig, PolicyConfig, SourceLocation
from exporter.ontap.access import AccessOpener, ClusterAccess
from exporter.ontap.client import RequestCounts, open_session
from exporter.ontap.endpoint import Secret, TokenLogin
from exporter.ontap.facts import SOFTWARE_PATH
from exporter.ontap.jobs import JOBS_PATH
from exporter.ontap.listing import PACKAGES_PATH
from exporter.polling.board import Board, ClusterStatus
from exporter.polling.fleet import Fleet
from exporter.simulator import (
    DownloadState,
    Fault,
    FaultKind,
    JobOutcome,
    JobScript,
    Node,
    Package,
    SimulatedCluster,
    Simulator,
    UpdateState,
)
from support.cleaning import cleaning, cluster_with, limits, only
from support.fleet import cluster_config
from support.waiting import eventually

SEED = int(os.environ.get("ONTAP_CHAOS_SEED", "1"))
SECONDS = float(os.environ.get("ONTAP_CHAOS_SECONDS", "12"))
CLUSTERS = 50
SETTLE_SECONDS = 40.0
POLL_SECONDS = 2.0
TOKEN = "of-cleanup"
"""Cleanup signs in with a token and polls with a password, so that their requests can be told apart."""
RUNNING = "9.13.1"
NOW = datetime.now(UTC)
POLICY = PolicyConfig(
    name="retire-old",
    cluster_names=(),
    cluster_labels=(),
    schedule=None,
    every=timedelta(seconds=3),
    timezone="UTC",
    keep_newest=None,
    older_than=timedelta(days=90),
    include=("*",),
    exclude=("9.11.1*",),
    max_deletes_per_run=8,
    dry_run=False,
    return_timeout_seconds=0,
    job_timeout=timedelta(seconds=5),
    retry_busy_for=timedelta(seconds=1),
    location=SourceLocation(file="config.yaml", line=1),
)
POLICIES = (
    POLICY,
    replace(POLICY, name="retire-p", include=("*P*",), exclude=(), older_than=timedelta(days=400)),
)

PACE = Pace(
    job=Pauses(first_seconds=0.03, factor=2.0, longest_seconds=0.2),
    busy=Pauses(first_seconds=0.05, factor=2.0, longest_seconds=0.5),
    look=Pauses(first_seconds=0.03, factor=2.0, longest_seconds=0.2),
)
WHOLE_REQUESTS = (
    FaultKind.RESET,
    FaultKind.LOST_ANSWER,
    FaultKind.TRUNCATED_BODY,
    FaultKind.TRUNCATED_JSON,
    FaultKind.SLOW_BODY,
    FaultKind.EMPTY_BODY,
    FaultKind.HTML,
    FaultKind.WRONG_SHAPE,
    FaultKind.FORBIDDEN,
    FaultKind.TOO_MANY_REQUESTS,
    FaultKind.SERVER_ERROR,
    FaultKind.BAD_GATEWAY,
    FaultKind.UNAVAILABLE,
    FaultKind.REDIRECT,
    FaultKind.LATENCY,
    FaultKind.HANG,
)
"""Not 401, after which a cluster is left alone for longer than the storm lasts."""
LISTINGS = (
    FaultKind.EMPTY_PAGE,
    FaultKind.CUT_SHORT_LISTING,
    FaultKind.PAGING_LOOP,
    FaultKind.PAGING_BACK,
    FaultKind.ENDLESS_PAGING,
    FaultKind.FOREIGN_LINK,
    FaultKind.ABSOLUTE_LINK,
    FaultKind.MISSING_CREATE_TIME,
    FaultKind.ODD_CREATE_TIME,
    FaultKind.DUPLICATE_VERSIONS,
    FaultKind.NULL_VERSIONS,
    FaultKind.ODD_RECORDS,
)
BUSY_LOOPS = frozenset({FaultKind.EMPTY_PAGE, FaultKind.ENDLESS_PAGING})
"""Faults that keep a client asking without a pause, which would starve everything else in this process."""
CODES = (
    4,
    8,
    262145,
    10551315,
    10551322,
    10551323,
    10551324,
    10551325,
    10551326,
    10551346,
    10551347,
    10551367,
    10551388,
    10551892,
)
SCRIPTS = (
    JobScript(),
    JobScript(seconds=0.6),
    JobScript(seconds=0.6),
    JobScript(seconds=0.0),
    JobScript(seconds=0.2, retention_seconds=0.0),
    JobScript(seconds=0.1, running_state="paused"),
    JobScript(outcome=JobOutcome.FAILURE, code=10551892, seconds=0.1),
    JobScript(outcome=JobOutcome.FAILURE, code=10551367, old_style=True),
    JobScript(outcome=JobOutcome.FAILURE, code=10551346, seconds=0.2),
    JobScript(outcome=JobOutcome.FAILURE, code=10551388, takes_effect=True),
    JobScript(outcome=JobOutcome.FAILURE, code=10551388),
    JobScript(outcome=JobOutcome.FAILURE, code=10551323, takes_effect=True, old_style=True),
    JobScript(outcome=JobOutcome.FAILURE, retention_seconds=0.0),
)
PATHS = (None, None, PACKAGES_PATH, PACKAGES_PATH, JOBS_PATH, JOBS_PATH, SOFTWARE_PATH, "/api/cluster")


def may_go(policy: PolicyConfig, package: Package) -> bool:
    """Say, apart from the code under test, whether a policy retires a package that nothing guards."""
    assert isinstance(package.create_time, datetime)
    version = str(package.version)
    return (
        policy.older_than is not None
        and datetime.now(UTC) - package.create_time > policy.older_than
        and any(fnmatchcase(version, glob) for glob in policy.include)
        and not any(fnmatchcase(version, glob) for glob in policy.exclude)
    )


@dataclass(slots=True, eq=False)
class Warden:
    """Watches one cluster from within: every request that cleanup sends, at the moment when it arrives.

    What guards a package may change between the moment when ONTAP tells of it and the arrival of DELETE, and
    no client can know. So that the check can be strict, a guard that is put up in that short time is held
    back until cleanup reads everything afresh.
    """

    cluster: SimulatedCluster
    state: Path
    deciding: bool = False
    held_back: list[Callable[[], None]] = field(default_factory=list)
    arrived: Counter[str] = field(default_factory=Counter)
    removed_by_others: Counter[str] = field(default_factory=Counter)
    put_back: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def guard(self, change: Callable[[], None]) -> None:
        """Change what guards packages, now or as soon as cleanup reads it again."""
        if self.deciding:
            self.held_back.append(change)
        else:
            change()

    def note(self) -> None:
        """Look at the request that has just arrived."""
        request = self.cluster.requests[-1]
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return
        if request.method == "DELETE":
            self._check(request.target, request.path)
        if request.method == "DELETE" or request.path == PACKAGES_PATH:
            self.deciding = False
            for change in self.held_back:
                change()
            self.held_back.clear()
        elif request.path == SOFTWARE_PATH:
            self.deciding = True

    def _check(self, target: str, path: str) -> None:
        """Check one DELETE against everything that must hold when it arrives."""
        cluster, version = self.cluster, path.removeprefix(f"{PACKAGES_PATH}/")
        self.arrived[version] += 1
        live = [job.subject for job in cluster.jobs.live()]
        policy = self._intended_by(version)
        package = next((one for one in cluster.packages if one.version == version), None)
        in_use = {cluster.version, cluster.pending_version, *(node.version for node in cluster.nodes)}
        for violated, what in (
            (target != f"{PACKAGES_PATH}/{version}?return_timeout=0", f"target {target}"),
            (version in live, "while its own job lives"),
            (bool(live), f"while {live} is being deleted"),
            (policy is None, "without an intent in the journal"),
            (version in in_use, "while it is in use"),
            (cluster.update_state == UpdateState.IN_PROGRESS, "during an update"),
            (cluster.download_state == DownloadState.RUNNING, "during a download"),
            (
                package is not None and policy is not None and not may_go(policy, package),
                "against its policy",
            ),
        ):
            if violated:
                self.violations.append(f"{cluster.name} {version}: DELETE {what}")

    def _intended_by(self, version: str) -> PolicyConfig | None:
        """Return the policy whose intent to delete the version is on disk."""
        with sqlite3.connect(f"file:{self.state}?mode=ro", uri=True) as connection:
            rows = connection.execute(
                "SELECT policy FROM cleanup_deletions WHERE cluster = ? AND version = ? AND phase = ?",
                (self.cluster.name, version, str(Phase.INTENDED)),
            ).fetchall()
        connection.close()
        names = [name for (name,) in rows]
        return next((policy for policy in POLICIES if names == [policy.name]), None)


class Inspection(Fault):
    """No fault: shows every request to a warden."""

    def __init__(self, warden: Warden) -> None:
        super().__init__(FaultKind.LATENCY)
        object.__setattr__(self, "warden", warden)

    def matches(self, method: str, path: str, page: int | None) -> bool:
        """Look, and strike never."""
        del method, path, page
        warden: Warden = object.__getattribute__(self, "warden")
        warden.note()
        return False


@dataclass(slots=True, kw_only=True)
class Storm:
    """Breaks and changes clusters at random, and repairs them."""

    wardens: tuple[Warden, ...]
    randomness: random.Random
    numbers: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[SimulatedCluster, Fault]] = field(default_factory=list)

    def blow(self) -> None:
        """Do one thing to one cluster."""
        warden = self.randomness.choice(self.wardens)
        act, weight = zip(
            (self._break, 8),
            (self._repair, 7),
            (self._script, 3),
            (self._guard, 3),
            (self._download, 1),
            (self._add, 3),
            (self._remove, 1),
            strict=True,
        )
        self.randomness.choices(act, weight)[0](warden)

    def _break(self, warden: Warden) -> None:
        pick = self.randomness.choice
        kind = pick(
            (
                pick(WHOLE_REQUESTS),
                pick(WHOLE_REQUESTS),
                pick(LISTINGS),
                FaultKind.DELETE_ERROR,
                FaultKind.LOST_ANSWER,
            )
        )
        whole = kind in WHOLE_REQUESTS and kind is not FaultKind.LOST_ANSWER
        fault = Fault(
            kind,
            path=pick(PATHS) if whole else None,
            method=pick((None, None, "DELETE")) if whole else None if kind in LISTINGS else "DELETE",
            times=10 if kind in BUSY_LOOPS else pick((1, 1, 2, 3, None)),
            skip=pick((0, 0, 1)),
            seconds=0.2,
            code=pick(CODES),
            status=pick((400, 404, 409, 500)) if kind is FaultKind.DELETE_ERROR else None,
            retry_after=pick((0, 1)) if kind is FaultKind.TOO_MANY_REQUESTS else None,
        )
        warden.cluster.faults.add(fault)
        self.faults.append((warden.cluster, fault))

    def _repair(self, _: Warden) -> None:
        if self.faults:
            cluster, fault = self.faults.pop(self.randomness.randrange(len(self.faults)))
            cluster.faults.remove(fault)

    def _script(self, warden: Warden) -> None:
        warden.cluster.job_script = self.randomness.choice(SCRIPTS)

    def _guard(self, warden: Warden) -> None:
        """Let a version come into use, or an update begin; or let all that be over."""
        cluster = warden.cluster
        versions = [str(version) for version in cluster.versions] or [RUNNING]
        version = self.randomness.choice(versions)
        names = [node.name for node in cluster.nodes]

        def set_nodes() -> None:
            cluster.nodes = (Node(names[0], RUNNING), Node(names[1], version))

        def set_update() -> None:
            cluster.update_state = UpdateState.IN_PROGRESS

        def set_pending() -> None:
            cluster.pending_version = version

        warden.guard(
            self.randomness.choice((set_nodes, set_update, set_pending, calm(cluster), calm(cluster)))
        )

    def _download(self, warden: Warden) -> None:
        cluster = warden.cluster
        state = self.randomness.choice((DownloadState.RUNNING, DownloadState.SUCCESS, DownloadState.SUCCESS))

        def set_state() -> None:
            cluster.download_state = state

        warden.guard(set_state)

    def _add(self, warden: Warden) -> None:
        """Add a package that was never there, or an old one that was deleted."""
        gone = [deletion.version for deletion in warden.cluster.deletions]
        if gone and self.randomness.random() < 0.5:
            version = self.randomness.choice(gone)
            if version not in warden.cluster.versions:
                warden.cluster.add_package(old_package(version))
                warden.put_back[version] += 1
            return
        self.numbers[warden.cluster.name] += 1
        number = self.numbers[warden.cluster.name]
        old = self.randomness.random() < 0.7
        version = f"9.15.1P{number}"
        warden.cluster.add_package(old_package(version) if old else young_package(version))

    def _remove(self, warden: Warden) -> None:
        """Delete a package by another's hand."""
        if versions := warden.cluster.versions:
            version = str(self.randomness.choice(versions))
            warden.removed_by_others[version] += warden.cluster.remove_package(version)

    def end(self) -> None:
        """Let everything work again, and nothing be guarded but what the cluster runs."""
        for warden in self.wardens:
            cluster = warden.cluster
            for breaking in cluster.faults.active:
                if not isinstance(breaking, Inspection):
                    cluster.faults.remove(breaking)
            cluster.job_script = JobScript()
            warden.guard(calm(cluster))


def calm(cluster: SimulatedCluster) -> Callable[[], None]:
    """Return what ends every guard but that of the running version."""

    def act() -> None:
        cluster.nodes = tuple(Node(node.name, RUNNING) for node in cluster.nodes)
        cluster.pending_version = None
        cluster.update_state = UpdateState.COMPLETED
        cluster.download_state = DownloadState.SUCCESS

    return act


def old_package(version: str) -> Package:
    return Package(version, NOW - timedelta(days=700))


def young_package(version: str) -> Package:
    return Package(version, NOW - timedelta(days=3))


def chaotic_cluster(number: int) -> SimulatedCluster:
    """Simulate a cluster with eight packages, most of which its policies may delete.

    Three in four do without TLS, which would take most of the processor's time.
    """
    olds = ("9.9.1P3", "9.10.1", "9.11.1", "9.11.1P7", "9.12.1", "9.12.1P4", RUNNING)
    return SimulatedCluster(
        f"c{number:02}",
        packages=[*map(old_package, olds), young_package("9.14.1")],
        version=RUNNING,
        bearer_token=TOKEN,
        job_seconds=0.05,
        plain_http=number % 4 != 0,
    )


@dataclass(slots=True, kw_only=True)
class Scene:
    """The fleet under the storm, with polls going on."""

    wardens: tuple[Warden, ...]
    accesses: Mapping[str, ClusterAccess]
    polls: Board
    state: str

    @asynccontextmanager
    async def cleaned(self) -> AsyncIterator[CleanupService]:
        """Clean the fleet for as long as the context lasts."""
        service = CleanupService(
            config=CleanupConfig(state=self.state, max_concurrent_clusters=32, policies=POLICIES),
            accesses=self.accesses,
            board=CleanupBoard(on_change=lambda _: None),
            kill_switch=KillSwitch(),
            pace=PACE,
            wall_clock=time.time,
        )
        for name in self.accesses:
            service.note_good_poll(name)
        task = asyncio.create_task(service.run(), name="cleanup")
        try:
            yield service
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@asynccontextmanager
async def scene(directory: Path) -> AsyncIterator[Scene]:
    clusters = [chaotic_cluster(number) for number in range(CLUSTERS)]
    state = directory / "state.db"
    wardens = tuple(Warden(cluster, state) for cluster in clusters)
    for warden in wardens:
        warden.cluster.faults.add(Inspection(warden))
    async with (
        Simulator(clusters, directory=directory, kept_requests=10) as simulator,
        open_session() as session,
        asyncio.TaskGroup() as group,
    ):
        configs = [
            cluster_config(
                cluster,
                simulator.ca_file,
                poll_interval=timedelta(seconds=POLL_SECONDS),
                poll_timeout=timedelta(seconds=3),
                return_timeout_seconds=1,
                max_records=6,
            )
            for cluster in clusters
        ]
        login = TokenLogin(type="Bearer", credentials=Secret(value=TOKEN))
        counts = RequestCounts()
        polling = AccessOpener(session=session, counts=counts).open(configs)
        cleaning_up = AccessOpener(session=session, counts=counts).open(
            [replace(config, login=login) for config in configs]
        )
        for name, access in cleaning_up.items():
            access.refusals = polling[name].refusals
        board = Board(on_change=lambda _: None)
        fleet = Fleet(group=group, board=board)
        fleet.poll(polling, max_concurrent_polls=64)
        try:
            yield Scene(wardens=wardens, accesses=cleaning_up, polls=board, state=f"sqlite:///{state}")
        finally:
            fleet.stop()


async def blow_for(storm: Storm, seconds: float) -> None:
    """Let the storm blow, some two things a second to every cluster."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        storm.blow()
        await asyncio.sleep(0.5 / CLUSTERS)


def retired(warden: Warden) -> set[str]:
    """Return what should be gone once all is well."""
    return {
        str(package.version)
        for package in warden.cluster.packages
        if package.version != RUNNING and any(may_go(policy, package) for policy in POLICIES)
    }


async def settled(it: Scene, service: CleanupService, storm: Storm) -> None:
    """Wait until everything that should be gone is gone, and every run and poll succeeds again."""
    storm.end()
    begun = time.time()

    def well(run: Run) -> bool:
        return run.started_timestamp_seconds > begun and run.success is True

    async def all_is_well() -> bool:
        if any(retired(warden) for warden in it.wardens) or service.journal is None:
            return False
        if not all(polled_since(status, begun) for status in it.polls.statuses()):
            return False
        runs = await service.journal.recent_runs(4 * CLUSTERS)
        return len({(run.cluster, run.policy) for run in runs if well(run)}) == CLUSTERS * len(POLICIES)

    try:
        await eventually(all_is_well, seconds=SETTLE_SECONDS, what="everything to be well")
    except TimeoutError as exc:
        left = {warden.cluster.name: found for warden in it.wardens if (found := retired(warden))}
        bad = [status for status in it.polls.statuses() if not polled_since(status, begun)]
        violations = [violation for warden in it.wardens for violation in warden.violations]
        raise TimeoutError(f"violations: {violations}; left: {left}; not polled: {bad}") from exc


def polled_since(status: ClusterStatus, begun: float) -> bool:
    return status.up and status.inventory_timestamp_seconds > begun


def account_differs(warden: Warden, deletions: list[Deletion]) -> list[str]:
    """Compare what was really deleted on a cluster with the journal, and return what may not be.

    A deletion that really happened has an entry of the journal, always, and its outcome is success, but for
    what nobody can see from outside:

    * TIMEOUT, where nothing could be read for as long as cleanup looks;
    * FAILURE or BUSY, where somebody put the package back before cleanup could look whether it had gone.

    A success that did not happen is one where somebody else removed the package after DELETE was sent, and
    before cleanup could look.
    """
    differences: list[str] = []
    really = Counter(deletion.version for deletion in warden.cluster.deletions)
    by_outcome: dict[Outcome | None, Counter[str]] = {outcome: Counter() for outcome in Outcome}
    for deletion in deletions:
        by_outcome[deletion.outcome][deletion.version] += 1
    successes, failures = by_outcome[Outcome.SUCCESS], by_outcome[Outcome.FAILURE] + by_outcome[Outcome.BUSY]
    unseen = by_outcome[Outcome.TIMEOUT] + (failures & warden.put_back)
    for version in really.keys() | successes.keys():
        missing = really[version] - successes[version]
        if missing > unseen[version]:
            differences.append(f"{missing} deletions of {version} are not accounted for")
        if -missing > warden.removed_by_others[version]:
            differences.append(f"{-missing} successes of {version} did not happen")
    attempts = Counter[str]()
    for deletion in deletions:
        attempts[deletion.version] += deletion.attempts
    more = warden.arrived - attempts
    differences += [f"{count} DELETEs of {version} without an intent" for version, count in more.items()]
    if differences:
        differences += map(str, (*deletions, *warden.cluster.deletions))
    return [f"{warden.cluster.name}: {difference}" for difference in differences]


@pytest.mark.timeout(SECONDS + SETTLE_SECONDS + 60)
async def test_a_storm_deletes_nothing_wrong_and_leaves_a_true_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half-way, the service stops in the midst of everything and a new one goes on from its state."""
    monkeypatch.setattr(keeper_module, "KEPT_RUNS", 1_000_000)
    print(f"ONTAP_CHAOS_SEED={SEED} ONTAP_CHAOS_SECONDS={SECONDS:g}")  # noqa: T201 - to repeat it
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    try:
        async with scene(tmp_path) as it:
            storm = Storm(wardens=it.wardens, randomness=random.Random(SEED))  # noqa: S311 - to repeat it
            async with it.cleaned():
                await blow_for(storm, SECONDS / 2)
            async with it.cleaned() as service:
                await blow_for(storm, SECONDS / 2)
                await settled(it, service, storm)
    finally:
        structlog.reset_defaults()
    async with open_journal(it.state) as journal:
        assert await journal.unended() == ()
        runs = await journal.recent_runs(1_000_000)
        totals = await journal.totals()
    deletions = [deletion for run in runs for deletion in run.deletions]
    outcomes = Counter(deletion.outcome for deletion in deletions)
    print(dict(outcomes), f"DELETEs: {sum(warden.arrived.total() for warden in it.wardens)}")  # noqa: T201
    assert [violation for warden in it.wardens for violation in warden.violations] == []
    of_cluster = {
        warden.cluster.name: [one for one in deletions if one.cluster == warden.cluster.name]
        for warden in it.wardens
    }
    found = [one for warden in it.wardens for one in account_differs(warden, of_cluster[warden.cluster.name])]
    assert not found, "\n".join(found)
    assert [warden.cluster.collection_deletes for warden in it.wardens] == [0] * CLUSTERS
    peaks = Counter(warden.cluster.jobs.peak for warden in it.wardens)
    assert peaks.keys() <= {0, 1}
    assert peaks[1] > CLUSTERS * 0.8  # a busy machine may leave a cluster without its turn in so short a time
    counted = Counter[Outcome]()
    for total in totals.values():
        counted.update(total.outcomes)
    assert counted == outcomes
    assert outcomes[Outcome.SUCCESS] > CLUSTERS
    for warden in it.wardens:
        assert {"9.11.1", "9.14.1", RUNNING} - warden.removed_by_others.keys() <= set(warden.cluster.versions)


async def test_the_job_of_an_earlier_deletion_is_no_verdict_on_a_later_one(tmp_path: Path) -> None:
    """A package may come back while the job that deleted it before can still be read."""
    async with cleaning(cluster_with("9.12.1", "9.14.1P2"), tmp_path) as it:
        await it.run()
        it.cluster.add_package(old_package("9.12.1"))
        it.cluster.faults.add(Fault(FaultKind.RESET, method="DELETE"))
        run = await it.run()
        assert "9.12.1" in it.cluster.versions
        assert only(run).outcome is Outcome.FAILURE
        assert only(run).job_uuid is None


@pytest.mark.parametrize("code", [10551892, 10551367])
async def test_the_failed_job_of_an_earlier_deletion_is_no_verdict_either(code: int, tmp_path: Path) -> None:
    async with cleaning(cluster_with("9.12.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.job_script = JobScript(outcome=JobOutcome.FAILURE, code=code)
        await it.run(limits=limits(retry_busy_for_seconds=0.0))
        it.cluster.faults.add(Fault(FaultKind.RESET, method="DELETE"))
        deletion = only(await it.run(limits=limits(retry_busy_for_seconds=0.0)))
        assert (deletion.outcome, deletion.code, deletion.job_uuid) == (Outcome.FAILURE, "", None)


@pytest.mark.parametrize("lost", [FaultKind.LOST_ANSWER, FaultKind.TRUNCATED_JSON])
@pytest.mark.parametrize("unread", [FaultKind.SERVER_ERROR, FaultKind.HTML])
async def test_jobs_that_cannot_be_read_are_not_taken_for_none(
    lost: FaultKind, unread: FaultKind, tmp_path: Path
) -> None:
    """The answer is lost, the job runs, and nobody can tell: the cluster gets no other DELETE meanwhile."""
    async with cleaning(cluster_with("9.11.1", "9.12.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.job_script = JobScript(seconds=0.5)
        # Before DELETE is sent, the jobs are asked once.
        it.cluster.faults.add(Fault(unread, path=JOBS_PATH, skip=1, times=8))
        it.cluster.faults.add(Fault(lost, method="DELETE", times=1))
        outcomes: list[Outcome | None] = []
        while len(outcomes) < 2:
            # Where the jobs cannot be read before a DELETE either, the run ends, and the next one goes on.
            outcomes += [deletion.outcome for deletion in (await it.run()).deletions]
        assert (it.cluster.jobs.peak, it.deletes()) == (1, 2)
        assert outcomes == [Outcome.SUCCESS] * 2


async def test_a_job_that_is_given_up_is_still_the_only_one_on_its_cluster(tmp_path: Path) -> None:
    """One deletion at a time per cluster: what outlasts job_timeout may still be going on."""
    async with cleaning(cluster_with("9.11.1", "9.12.1", "9.14.1P2"), tmp_path) as it:
        it.cluster.hold_jobs()
        await it.run(limits=limits(job_timeout_seconds=0.2))
        await it.run(limits=limits(job_timeout_seconds=0.2))
        assert it.cluster.jobs.peak == 1
        assert it.deletes() == 1
