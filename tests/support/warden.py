"""Watches a simulated cluster from within: every DELETE is checked at the moment when it arrives."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from exporter.cleanup.delete.driver import OLDEST_FACTS_SECONDS
from exporter.ontap.requests.facts import DOWNLOAD_PATH
from exporter.ontap.requests.jobs import JOBS_PATH
from exporter.ontap.requests.listing import PACKAGES_PATH
from exporter.simulator import DownloadState, Fault, FaultKind, Node, SimulatedCluster, UpdateState
from exporter.simulator.state.received_requests import ReceivedRequest
from exporter.simulator.state.simulated_jobs import Job

OLD = "2019-02-04T19:00:00+00:00"
RUNNING, EXCLUDED, YOUNG = "9.14.1P2", "9.9.1", "9.12.1"
KEPT = frozenset({RUNNING, EXCLUDED, YOUNG})
"""What no policy of a campaign may delete: it runs, an exclude pattern matches, it is too young."""
TOKEN = "of-another-daemon"
"""Logs in besides the password."""
JOB_RETENTION_SECONDS = 25.0
TRANSIT_SECONDS = 15.0
"""How much later than it was sent a DELETE may arrive on a busy machine."""


def watched_cluster(name: str, *, plain_http: bool) -> SimulatedCluster:
    """Simulate a cluster that holds what must not be deleted."""
    young = datetime.now(UTC).isoformat(timespec="seconds")
    return SimulatedCluster(
        name,
        packages=[(RUNNING, OLD), (EXCLUDED, OLD), (YOUNG, young)],
        version=RUNNING,
        nodes=(Node("n1", RUNNING), Node("n2", RUNNING)),
        update_state=UpdateState.COMPLETED,
        download_state=DownloadState.SUCCESS,
        job_seconds=0.05,
        job_retention_seconds=JOB_RETENTION_SECONDS,
        plain_http=plain_http,
        bearer_token=TOKEN,
    )


@dataclass(slots=True, eq=False)
class Warden:
    """Checks every DELETE that one cluster receives, and remembers what came of it.

    What guards a package may change between the moment when ONTAP reports it and the arrival of DELETE, and
    no client can know. So a guard that is put up in that short time takes effect when cleanup reads
    everything afresh; or when the facts are so old that nothing may be sent on them.

    Attributes:
        arrived: DELETEs received, by version.
        jobs: every job that was ever started, by uuid.
        violations: what must never happen, and did.
    """

    cluster: SimulatedCluster
    arrived: Counter[str] = field(default_factory=Counter)
    jobs: dict[str, Job] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    _number: int = 0
    _facts_read: float | None = None
    _downloads_read: int = 0
    _jobs_read: Counter[str] = field(default_factory=Counter)
    _deleted: Counter[str] = field(default_factory=Counter)
    _requests: int = 0
    _held_back: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cluster.faults.add(_Inspection.of(self))

    def guard(self, change: Callable[[], None]) -> None:
        """Change what guards packages, now or as soon as it can be known."""
        self._held_back.append(change)
        self._take_effect()

    def supply(self, packages: int) -> None:
        """Fill up the old packages; a version never comes twice."""
        for _ in range(packages - len(self.retired())):
            self._number += 1
            self.cluster.add_package((f"9.8P{self._number}", OLD))

    def retired(self) -> set[str]:
        """Return what is there and should be deleted in the end."""
        return {str(version) for version in self.cluster.versions} - KEPT

    def note(self, request: ReceivedRequest) -> None:
        """Look at a request that has just arrived."""
        self.remember_jobs()
        self._requests += 1
        sender = _sender(request)
        if request.method == "DELETE":
            self._check(request, sender)
        is_about_jobs = request.path.startswith(JOBS_PATH)
        # Who decides reads the list of jobs first. Reading alone does not say who has taken a cluster over:
        # a daemon that was suspended, or is cut off, may read everything before it learns of its lost lease.
        if request.path == JOBS_PATH:
            self._jobs_read[sender] = self._requests
        # Cleanup alone asks for jobs: what it has read before does not count any more.
        if request.method == "DELETE" or is_about_jobs:
            self._facts_read, self._downloads_read = None, 0
        self._take_effect()
        # The first of what may change. Polls read it as well, and one of them may come between.
        if request.path == DOWNLOAD_PATH and self._downloads_read < 2:
            self._facts_read = time.monotonic()
            self._downloads_read += 1

    def remember_jobs(self) -> None:
        """Keep the jobs that there are beyond the time for which ONTAP does."""
        self.jobs.update({job.uuid: job for job in self.cluster.jobs.readable()})

    def _take_effect(self) -> None:
        since = self._facts_read
        if since is None or time.monotonic() - since > OLDEST_FACTS_SECONDS + TRANSIT_SECONDS:
            for change in self._held_back:
                change()
            self._held_back.clear()

    def _check(self, request: ReceivedRequest, sender: str) -> None:
        """Check a DELETE against everything that must hold when it arrives."""
        cluster, version = self.cluster, request.path.removeprefix(f"{PACKAGES_PATH}/")
        since = self._jobs_read[sender]
        successors = [other for other, at in self._deleted.items() if other != sender and at > since]
        self._deleted[sender] = self._requests
        self._take_effect()
        self.arrived[version] += 1
        live = [job.subject for job in cluster.jobs.live()]
        in_use = {cluster.version, cluster.pending_version, *(node.version for node in cluster.nodes)}
        for is_violated, what in (
            (request.target != f"{PACKAGES_PATH}/{version}?return_timeout=0", f"as {request.target}"),
            (bool(live), f"while {live} is being deleted"),
            (version in in_use, "while it is in use"),
            (version in KEPT, "against the policy"),
            (cluster.update_state == UpdateState.IN_PROGRESS, "during an update"),
            (cluster.download_state == DownloadState.RUNNING, "during a download"),
            (bool(successors), f"by {sender}, which decided before {successors} deleted"),
        ):
            if is_violated:
                self.violations.append(f"{cluster.name} {version}: DELETE {what}")


def _sender(request: ReceivedRequest) -> str:
    """Tell daemons apart that reach the cluster by other spellings of its address, or with another login."""
    host, login = request.headers.get("Host", ""), request.headers.get("Authorization", "")
    return f"{host.rpartition(':')[0]} {login.partition(' ')[0]}"


class _Inspection(Fault):
    """No fault: shows every request to a warden."""

    @classmethod
    def of(cls, warden: Warden) -> _Inspection:
        class Inspection(cls):  # type: ignore[valid-type,misc]
            def matches(self, method: str, path: str, page: int | None) -> bool:
                del method, path, page
                warden.note(warden.cluster.requests[-1])
                return False

        return Inspection(FaultKind.LATENCY)
