"""A campaign: real daemons clean simulated clusters while everything breaks, and then the account is checked.

What must hold is checked against the simulator's own record, see :class:`support.warden.Warden`, and against
the journal: every accepted DELETE has exactly one outcome there, and the counters are the journal's.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import Phase
from exporter.ontap.requests.facts import DOWNLOAD_PATH
from exporter.ontap.requests.jobs import JOBS_PATH
from exporter.ontap.requests.listing import PACKAGES_PATH
from exporter.simulator import DownloadState, Fault, FaultKind, JobOutcome, JobScript, Node, UpdateState
from exporter.simulator.faults.fault import LISTING_KINDS
from support.client_connections import close
from support.daemon_process import Daemon, started
from support.held_resources import Held, held_by
from support.programs import UNPACKED
from support.waiting import eventually
from support.warden import KEPT, RUNNING, Warden

POLICY = "retire-old"
BUSY = 10551367
STOP_SECONDS = 10.0
START_SECONDS = 90.0
SCRAPE_SECONDS = 10.0
ROOT = Path(__file__).parents[2]
CONFIGURED_LABEL = "round"
"""Of clusters; each reload may change its value."""
_COUNTERS = ("ontap_cleanup_jobs_total", "ontap_cleanup_job_errors_total", "ontap_cleanup_job_duration")
_COUNT = "ontap_software_packages"
_PACKAGE = "ontap_software_package_info"
MOST_HELD = Held(mib=200, descriptors=300, threads=60, tasks=600)
"""What a daemon may hold at any time."""
_LIBFAKETIME = "usr/lib/*/faketime/libfaketimeMT.so.1"
_DELETIONS = (
    "SELECT cluster_uuid, version, phase, attempts, job_uuid, outcome, code, id"
    " FROM cleanup_deletions ORDER BY id"
)
_TOTALS = f"SELECT cluster, {', '.join(f'ended_{one}' for one in Outcome)} FROM cleanup_policies"  # noqa: S608


def cleanup_config(state: str, *, takeover_after: str = "30s", max_deletes_per_run: int = 10) -> str:
    """Return a cleanup section that deletes all the time."""
    return f"""cleanup:
  state: "{state}"
  takeover_after: {takeover_after}
  max_concurrent_clusters: 32
  policies:
    - name: {POLICY}
      every: 1s
      older_than: 30d
      exclude: ["9.9*"]
      seen_for: 0s
      stop_after_failures: 0
      max_deletes_per_run: {max_deletes_per_run}
      job_timeout: 2m
      retry_busy_for: 2s
      dry_run: false
"""


@dataclass(slots=True, kw_only=True)
class Life(Daemon):
    """One life of a daemon, a process that may be killed at any moment, even before it listens."""

    @property
    def last_lines(self) -> str:
        """What it has written of late."""
        return "\n".join(self.lines[-200:])

    @property
    def has_started(self) -> bool:
        """Whether it has loaded everything that it needs; without descriptors, it could not have."""
        return any("msg=polling" in line for line in self.lines)

    async def until_listening(self) -> None:
        """Wait until it serves.

        Raises:
            AssertionError: it has ended; the message shows what it wrote.
        """
        async with asyncio.timeout(START_SECONDS):
            await self.listens.wait()
        assert self.url, self.last_lines

    async def samples_of(
        self, prefix: str = "ontap_cleanup_"
    ) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Return the samples of its metrics whose names begin so, by name and labels."""
        _, text = await self.get("/metrics")
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name.startswith(prefix)
        }

    def held(self) -> Held:
        """Return what its process holds now."""
        return held_by(self.process.pid, self.lines)

    async def holds(self) -> set[str]:
        """Return the clusters that it may clean now; none where it does not answer."""
        with suppress(aiohttp.ClientError, TimeoutError):
            async with asyncio.timeout(2):
                samples = await self.samples_of("ontap_cleanup_lease_held")
                return {dict(labels)["cluster"] for (_, labels), value in samples.items() if value == 1}
        return set()

    async def may_take_over(self) -> bool:
        """Say whether its journal is open and knows all its clusters, so that it can clean any of them."""
        with suppress(aiohttp.ClientError, TimeoutError):
            async with asyncio.timeout(2):
                samples = await self.samples_of("ontap_")
                names = Counter(name for name, _ in samples)
                is_open = samples.get(("ontap_cleanup_journal_open", ())) == 1
                return is_open and names["ontap_cluster_info"] == names["ontap_cleanup_lease_held"] > 0
        return False

    async def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process.returncode is None, self.last_lines
        self.process.kill()
        await self.process.wait()

    async def end_in_order(self) -> None:
        """Stop it in order, and check how it ends."""
        assert self.process.returncode is None, self.last_lines
        begun = time.monotonic()
        self.process.terminate()
        async with asyncio.timeout(START_SECONDS):
            code = await self.process.wait()
        assert code == 0, self.last_lines
        assert time.monotonic() - begun < STOP_SECONDS, self.last_lines

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Let it stand still, as a machine does that is suspended."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            # Until all its threads do, it may still write.
            options = os.WSTOPPED | os.WEXITED | os.WNOWAIT
            await asyncio.to_thread(os.waitid, os.P_PID, self.process.pid, options)
            yield
        finally:
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)

    @contextmanager
    def without_disk(self) -> Iterator[None]:
        """Let every write to a file fail, as on a full disk."""
        with self._limited(resource.RLIMIT_FSIZE, 0):
            yield

    @contextmanager
    def without_descriptors(self) -> Iterator[None]:
        """Let it open no more files and connections than it has open now."""
        with self._limited(resource.RLIMIT_NOFILE, self.held().descriptors):
            yield

    @contextmanager
    def _limited(self, kind: int, limit: int) -> Iterator[None]:
        soft, hard = resource.prlimit(self.process.pid, kind)
        resource.prlimit(self.process.pid, kind, (limit, hard))
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                resource.prlimit(self.process.pid, kind, (soft, hard))


@dataclass(slots=True)
class BadScrapers:
    """Clients that keep connections without taking an answer, or without asking to the end."""

    most: int = 40
    opened: int = 0
    _open: deque[asyncio.StreamWriter] = field(default_factory=deque)

    async def come(self, life: Life, chance: random.Random) -> None:
        """Let one more come; the oldest goes without a word where there are too many."""
        host, _, port = life.url.removeprefix("http://").rpartition(":")
        with suppress(OSError):
            _, writer = await asyncio.open_connection(host, int(port), limit=1024)
            request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
            writer.write(chance.choice((request * 20, request[:-2], b"")))
            self._open.append(writer)
            self.opened += 1
        if len(self._open) > self.most:
            await self._leave()

    async def go(self) -> None:
        """Let all of them go."""
        while self._open:
            await self._leave()

    async def _leave(self) -> None:
        writer = self._open.popleft()
        writer.transport.abort()
        await close(writer)


@asynccontextmanager
async def uninvolved() -> AsyncIterator[tuple[str, Callable[[], int]]]:
    """Start a server that nobody may ever connect to; give its address, and how many have."""
    connections = 0

    async def note(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.transport.abort()
        await close(writer)

    async with await asyncio.start_server(note, "127.0.0.1") as server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}", lambda: connections


@dataclass(frozen=True, slots=True, kw_only=True)
class WallClock:
    """The wall clock of a daemon, which libfaketime sets without setting that of the machine.

    Attributes:
        file: says by how much it is ahead; libfaketime reads it every second.
    """

    file: Path

    @staticmethod
    def library() -> Path | None:
        """Return libfaketime; None where it is neither installed nor unpacked."""
        return next((found for root in (UNPACKED, Path("/")) for found in root.glob(_LIBFAKETIME)), None)

    def set_ahead(self, *, days: int) -> None:
        """Let it be so much ahead of the machine's, from the next second on."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{days:+d}d\n")
        new.replace(self.file)

    def environment(self) -> dict[str, str]:
        """Return the environment of a daemon that has this clock; its other clocks are the machine's."""
        return {
            "LD_PRELOAD": str(self.library()),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # with it, threads that wait for a moment wait for seconds
            "NO_FAKE_STAT": "1",
        }


@asynccontextmanager
async def living(
    config: Path,
    *,
    shard: Sequence[int] = (),
    clock: WallClock | None = None,
    wrapper: Sequence[str] = (),
) -> AsyncIterator[Life]:
    """Start a daemon; at the end kill it where it still runs.

    Args:
        config: its configuration.
        shard: its ordinal and how many there are; empty: it is the only one.
        clock: its wall clock; None: the machine's.
        wrapper: what starts it, in its own place.
    """
    environ = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "COUNT_TASKS": "1"}
    if clock is not None:
        environ |= clock.environment()
    command = (*wrapper, sys.executable, "-m", "support.hasty_daemon", str(config), *map(str, shard))
    async with started(Life, *command, folder=ROOT, environ=environ) as life:
        try:
            yield life
        except BaseException as exc:
            exc.add_note(f"the daemon wrote:\n{life.last_lines}")
            raise
    mistakes = [line for line in life.lines if "a bug ended" in line]
    assert not mistakes, life.last_lines


class Sometimes(Fault):
    """A fault that strikes by chance."""

    struck: Counter[FaultKind]
    chance: random.Random
    probability: float

    def matches(self, method: str, path: str, page: int | None) -> bool:
        """Say whether the fault strikes this request."""
        strikes = super().matches(method, path, page) and self.chance.random() < self.probability
        self.struck[self.kind] += strikes
        return strikes


def _sometimes(
    chance: random.Random, struck: Counter[FaultKind], probability: float, kind: FaultKind, **settings: Any
) -> Fault:
    class Now(Sometimes):
        pass

    Now.chance, Now.probability, Now.struck = chance, probability, struck
    return Now(kind, **settings)


def troubles(chance: random.Random, struck: Counter[FaultKind]) -> Iterator[Fault]:
    """Give everything that goes wrong on a cluster at times, and count it."""
    sometimes = partial(_sometimes, chance, struck)
    yield sometimes(0.3, FaultKind.LATENCY, method="DELETE", seconds=0.05)
    yield sometimes(0.1, FaultKind.LATENCY, path=DOWNLOAD_PATH, seconds=0.05)
    yield sometimes(0.05, FaultKind.DELETE_ERROR, code=BUSY)
    yield sometimes(0.06, FaultKind.LOST_ANSWER, method="DELETE")
    yield sometimes(0.02, FaultKind.RESET, method="DELETE")
    yield sometimes(0.04, FaultKind.TRUNCATED_JSON, method="DELETE")
    yield sometimes(0.04, FaultKind.SLOW_BODY, method="DELETE", seconds=0.3)
    yield sometimes(0.02, FaultKind.JOB_FAILURE, code=10551326)
    yield sometimes(0.03, FaultKind.JOB_FAILURE, code=BUSY)
    yield sometimes(0.05, FaultKind.RESET, path=JOBS_PATH)
    yield sometimes(0.03, FaultKind.SERVER_ERROR, path=JOBS_PATH)
    yield sometimes(0.02, FaultKind.SERVER_ERROR, path=PACKAGES_PATH, method="GET")
    yield sometimes(0.01, FaultKind.TRUNCATED_BODY, path=PACKAGES_PATH, method="GET")


RARE = 0.001
"""How often one of the stranger faults strikes a request that it is about."""


def rarities(chance: random.Random, struck: Counter[FaultKind], *, elsewhere: str) -> Iterator[Fault]:
    """Give what goes wrong seldom, and count it: all kinds of faults that :func:`troubles` does not have.

    Args:
        chance: decides when.
        struck: counts them.
        elsewhere: the address of a server that is none of the clusters.
    """
    rare = partial(_sometimes, chance, struck, RARE)
    for kind in (
        FaultKind.HTML,
        FaultKind.REPLY,
        FaultKind.TOO_MANY_REQUESTS,
        FaultKind.UNAVAILABLE,
        FaultKind.UNDATED,
    ):
        yield rare(kind)
    for kind in (FaultKind.HANG, FaultKind.ENDLESS_BODY, FaultKind.FORBIDDEN, FaultKind.ERROR):
        yield rare(kind, method="GET")
    yield _sometimes(chance, struck, RARE / 10, FaultKind.UNAUTHORIZED)
    yield rare(FaultKind.REDIRECT, location=f"{elsewhere}{{target}}")
    yield rare(FaultKind.FOREIGN_LINK, location=f"{elsewhere}{{target}}")
    for kind in sorted(LISTING_KINDS - {FaultKind.FOREIGN_LINK}):
        yield rare(kind)


def chance_of(warden: Warden, *, seed: int) -> random.Random:
    """Return what decides about a cluster's faults: requests must not change what daemons suffer."""
    return random.Random(f"{seed} {warden.cluster.name}")  # noqa: S311 - to repeat it


def scripts(chance: random.Random) -> JobScript:
    """Return how the next jobs go: mostly well."""
    return chance.choice(
        (
            JobScript(),
            JobScript(seconds=0.0),
            JobScript(seconds=0.3),
            JobScript(seconds=0.2, running_state="paused"),
            JobScript(outcome=JobOutcome.FAILURE, code=10551388, takes_effect=True),
            JobScript(outcome=JobOutcome.FAILURE, code=10551367, old_style=True, seconds=0.1),
        )
    )


def change_guards(warden: Warden, chance: random.Random) -> None:
    """Let a version come into use, or an update or a download begin; mostly, let all that be over."""
    cluster = warden.cluster
    version = chance.choice(sorted(str(one) for one in cluster.versions))
    first, second = (node.name for node in cluster.nodes)

    def in_use() -> None:
        cluster.nodes = (Node(first, RUNNING), Node(second, version))

    def pending() -> None:
        cluster.pending_version = version

    def update() -> None:
        cluster.update_state = UpdateState.IN_PROGRESS

    def download() -> None:
        cluster.download_state = DownloadState.RUNNING

    def calm() -> None:
        calm_down(warden)

    warden.guard(chance.choice((in_use, pending, update, download, *[calm] * 8)))


def calm_down(warden: Warden) -> None:
    """End every guard but that of the running version."""
    cluster = warden.cluster
    cluster.nodes = tuple(Node(node.name, RUNNING) for node in cluster.nodes)
    cluster.pending_version = None
    cluster.update_state, cluster.download_state = UpdateState.COMPLETED, DownloadState.SUCCESS


Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What the journal says in the end.

    Attributes:
        deletions: cluster uuid, version, phase, attempts, job uuid, outcome, code and id of each.
        totals: the cluster's name, and the deletions by outcome.
    """

    QUERIES = (_DELETIONS, _TOTALS)

    deletions: Rows
    totals: Rows

    def by_outcome(self) -> Mapping[tuple[str, str], int]:
        """Return the totals above zero, by cluster and outcome."""
        found = {
            (row[0], str(outcome)): int(count)
            for row in self.totals
            for outcome, count in zip(Outcome, row[1:], strict=True)
        }
        return {key: count for key, count in found.items() if count}

    @property
    def has_unfinished(self) -> bool:
        """Whether a deletion has no outcome yet."""
        return any(row[2] != Phase.ENDED for row in self.deletions)

    def differences(self, warden: Warden) -> list[str]:
        """Compare it with what has really happened on one cluster; return what does not agree."""
        warden.remember_jobs()
        # A job that failed while no daemon lived long enough to read it until the cluster had forgotten it.
        forgotten = {job.uuid for job in warden.jobs.values() if job.over and not job.script.effective}
        forgotten -= {job.uuid for job in warden.cluster.jobs.readable()}
        found: list[str] = list(warden.violations)
        cluster = warden.cluster
        rows = [row for row in self.deletions if row[0] == cluster.uuid]
        found += [f"not ended: {row}" for row in rows if row[2] != Phase.ENDED]
        started = Counter(job.subject for job in warden.jobs.values())
        # A DELETE that something else than ONTAP took, with a page that says 200.
        swallowed = {(version, None) for version in warden.arrived - started}
        timed_out = {(row[1], row[4]) for row in rows if row[5] == Outcome.TIMEOUT}
        found += [
            f"{version}: timed out for no reason, job {job}"
            for version, job in timed_out - swallowed
            if job not in forgotten
        ]
        found += [f"unexpected outcome: {row}" for row in rows if row[5] == Outcome.ALREADY_GONE]
        deleted = Counter(one.version for one in cluster.deletions)
        succeeded = Counter(row[1] for row in rows if row[5] == Outcome.SUCCESS)
        # A refused login ends a deletion at once, even if ONTAP has accepted it.
        denied = Counter(row[1] for row in rows if row[5] == Outcome.DENIED and row[4] is not None)
        found += [
            f"{version}: deleted {deleted[version]} times, {succeeded[version]} successes"
            for version in sorted(deleted.keys() | succeeded.keys())
            if not 0 <= deleted[version] - succeeded[version] <= denied[version]
        ]
        attempts = Counter[str]()
        for row in rows:
            attempts[row[1]] += row[3]
        found += [
            f"{count} DELETEs of {version} without an intent"
            for version, count in (warden.arrived - attempts).items()
        ]
        found += [
            f"{count} jobs for {version} without a DELETE"
            for version, count in (started - warden.arrived).items()
        ]
        for _, version, _, _, job_uuid, outcome, *_ in rows:
            job = warden.jobs.get(job_uuid)
            if job_uuid is not None and (job is None or job.subject != version or not job.over):
                found.append(f"{version}: no such job has ended: {job_uuid}")
            elif outcome == Outcome.DENIED:
                continue
            elif job is not None and job.script.effective != (outcome == Outcome.SUCCESS):
                found.append(f"{version}: {outcome}, but its job was to be effective: {job.script.effective}")
        counted = Counter(str(row[5]) for row in rows)
        totals = Counter(
            {outcome: count for (name, outcome), count in self.by_outcome().items() if name == cluster.name}
        )
        # Only the newest runs are kept, and those in which DELETE was sent within a day.
        if (totals - counted).keys() - {str(Outcome.PROTECTED)} or counted - totals:
            found.append(f"the totals are {dict(totals)}, the deletions {dict(counted)}")
        if cluster.jobs.peak > 1 or cluster.collection_deletes:
            found.append(f"{cluster.jobs.peak} jobs at a time, {cluster.collection_deletes} of collections")
        return [f"{cluster.name}: {one}" for one in found]


class Scraper:
    """Scrapes one life after another as Prometheus does, and checks what must hold at any time.

    Attributes:
        scrapes: how many answers it has had.
        most_held: the most that any life has held, as in MOST_HELD.
    """

    def __init__(self) -> None:
        self.scrapes = 0
        self.most_held: Mapping[str, float] = {}
        self._seen: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        """The greatest value that each counter of cleanup was ever seen with."""

    async def check(self, life: Life) -> None:
        """Compare with what a life shows; counters, once its journal is open.

        Raises:
            AssertionError: a counter has gone back, or is gone; a listing is not whole, or its number is not
                that of its packages; or the process holds too much.
            TimeoutError: a scrape takes longer than Prometheus waits.
        """
        async with asyncio.timeout(SCRAPE_SECONDS):
            samples = await life.samples_of("ontap_")
        self.scrapes += 1
        held = asdict(life.held())
        self.most_held = {what: max(found, self.most_held.get(what, 0)) for what, found in held.items()}
        assert all(held[what] <= most for what, most in asdict(MOST_HELD).items()), held
        labelled = [(name, dict(labels), value) for (name, labels), value in samples.items()]
        counts = {labels["cluster"]: value for name, labels, value in labelled if name == _COUNT}
        listed: dict[str, set[str]] = {cluster: set() for cluster in counts}
        for name, labels, _ in labelled:
            if name == _PACKAGE:
                listed[labels["cluster"]].add(labels["version"])
        wrong = {
            cluster: (counts[cluster], sorted(versions))
            for cluster, versions in listed.items()
            if counts[cluster] != len(versions) or not versions >= KEPT
        }
        assert not wrong, f"listings that are not whole: {wrong}"
        if samples.get(("ontap_cleanup_journal_open", ())) != 1:
            return
        now = {
            (name, tuple(label for label in labels if label[0] != CONFIGURED_LABEL)): value
            for (name, labels), value in samples.items()
            if name.startswith(_COUNTERS)
        }
        back = {key: (value, now.get(key)) for key, value in self._seen.items() if now.get(key, -1.0) < value}
        assert not back, f"counters have gone back: {back}"
        self._seen.update(now)


async def jobs_total(life: Life) -> Mapping[tuple[str, str], int]:
    """Return ontap_cleanup_jobs_total above zero, by cluster and outcome."""
    samples = await life.samples_of("ontap_cleanup_jobs_total")
    labelled = {key: (dict(key[1])["cluster"], dict(key[1])["outcome"]) for key in samples}
    return {labelled[key]: int(value) for key, value in samples.items() if value}


async def until_cleaned(wardens: Sequence[Warden], lives: Iterable[Life], *, seconds: float) -> None:
    """Wait until everything is gone that should be.

    Raises:
        TimeoutError: something is left; the message shows what the daemons wrote.
    """

    async def cleaned() -> bool:
        return not any(warden.retired() for warden in wardens)

    try:
        await eventually(cleaned, seconds=seconds, what="everything to be cleaned")
    except TimeoutError as exc:
        left = {warden.cluster.name: warden.retired() for warden in wardens if warden.retired()}
        violations = [warden.violations for warden in wardens if warden.violations]
        written = "\n\n".join(life.last_lines for life in lives)
        raise TimeoutError(f"left: {left}; violations: {violations}\n{written}") from exc
