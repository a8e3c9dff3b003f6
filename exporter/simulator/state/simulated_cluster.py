"""One simulated cluster: its repository, nodes and versions, jobs and faults, and the requests received."""

import asyncio
import math
import re
import ssl
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence

from exporter.simulator.faults.fault import Fault, Faults
from exporter.simulator.state.cluster_facts import (
    Deletion,
    DownloadState,
    Node,
    Package,
    PackageLike,
    stable_uuid,
)
from exporter.simulator.state.received_requests import ReceivedRequest
from exporter.simulator.state.simulated_clock import Broadcast, SimulatedClock
from exporter.simulator.state.simulated_jobs import Job, Jobs, JobScript

DEFAULT_VERSION = "9.14.1P2"
DEFAULT_WAIT_SECONDS = 60.0
DEFAULT_KEPT_REQUESTS = 10_000
JOB_RETENTION_SECONDS = 300.0


class SimulatedCluster:
    """A cluster to be served by a `Simulator`.

    Every attribute may be changed while the cluster is served, and the next request sees it; those of TLS are
    read when the cluster starts to listen.

    Args:
        name: By which the simulator knows it, and which it states itself.
        packages: What its repository holds, in the order of arrival.
        version: The ONTAP version that it states: as in ONTAP, the lowest among its nodes.
        nodes: Two that run its version by default.
        pending_version: The version of an update that is under way.
        update_state: Any word may be given; None if no update ever ran.
        download_state: Any word may be given.
        username: The account's name; with a client certificate, its common name.
        password: The account's password.
        bearer_token: Is accepted too.
        lock_after_failures: Locks the account after this many wrong passwords in a row.
        require_client_certificate: Whether TLS asks for a certificate of the simulator's CA.
        plain_http: Whether it is served without TLS.
        maximum_tls: The highest TLS version that it speaks, 1.2 or newer.
        reachable: Whether it listens once it is served.
        labels: Its labels in the generated configuration.
        job_seconds: How long a job takes.
        job_retention_seconds: How long a job stays readable after its end.
        record_seconds: How long ONTAP takes to collect one package of a listing.
        software_document: Replaces the document of `GET /api/cluster/software`: `{}` is the empty record that
            some releases give.
        clock_ahead_seconds: How far its clock is ahead of the real time, by the header `Date`.
        faults: Those that are active from the beginning.
    """

    download_code: int | None = None
    """ONTAP's code beside the state of the package download; None if it states none."""
    keepalive_seconds = 5.0
    """After how long an idle connection is dropped."""
    keepalive_requests = 100
    """After how many requests a connection is closed."""
    refuses_during_update = True
    """Whether a DELETE during an update is refused, as releases up to 9.15.1 do."""
    num_records = True
    """Whether listings state `num_records`."""
    failed_logins = 0
    """Wrong passwords in a row."""
    collection_deletes = 0
    """DELETE requests for the whole collection."""
    address = ""
    """Host and port at which it is served; empty before."""
    connections_opened = 0
    open_connections = 0
    requests_received = 0
    """How many, those no longer kept included."""

    def __init__(
        self,
        name: str,
        *,
        packages: Iterable[PackageLike] = (),
        version: str = DEFAULT_VERSION,
        nodes: Sequence[Node] | None = None,
        pending_version: str | None = None,
        update_state: str | None = None,
        download_state: str = DownloadState.NOT_STARTED,
        username: str = "monitor",
        password: str = "simulated",  # noqa: S107 - guards nothing but simulated clusters
        bearer_token: str | None = None,
        lock_after_failures: int | None = None,
        require_client_certificate: bool = False,
        plain_http: bool = False,
        maximum_tls: ssl.TLSVersion | None = None,
        reachable: bool = True,
        labels: Mapping[str, str] | None = None,
        job_seconds: float = 0.1,
        job_retention_seconds: float = JOB_RETENTION_SECONDS,
        record_seconds: float = 0.0,
        software_document: Mapping[str, object] | None = None,
        clock_ahead_seconds: float = 0.0,
        faults: Iterable[Fault] = (),
    ) -> None:
        self.name = name
        self.uuid = stable_uuid(f"cluster/{name}")
        self.version = version
        self.nodes = tuple(nodes or (Node(f"{name}-01", version), Node(f"{name}-02", version)))
        self.pending_version = pending_version
        self.update_state = update_state
        self.download_state = download_state
        self.username = username
        self.password = password
        self.bearer_token = bearer_token
        self.lock_after_failures = lock_after_failures
        self.require_client_certificate = require_client_certificate
        self.plain_http = plain_http
        self.maximum_tls = maximum_tls
        self.reachable = reachable
        self.labels = dict(labels or {})
        self.job_seconds = job_seconds
        self.job_retention_seconds = job_retention_seconds
        self.job_script = JobScript()
        """How a job goes."""
        self.job_scripts: dict[str, JobScript] = {}
        """How a job goes that deletes one of these versions."""
        self.record_seconds = record_seconds
        self.software_document = software_document
        self.clock_ahead_seconds = clock_ahead_seconds
        self.faults = Faults(faults)
        self.clock = SimulatedClock()
        self.jobs = Jobs(self.clock, self._delete)
        self.delete_attempts: Counter[str] = Counter()
        """DELETE requests, by version."""
        self._requests: deque[ReceivedRequest] = deque(maxlen=DEFAULT_KEPT_REQUESTS)
        self._request_came = Broadcast()
        self._numbered: dict[int, Package] = {}
        self._packages_arrived = 0
        self._deletions: list[Deletion] = []
        for package in packages:
            self.add_package(package)

    def __repr__(self) -> str:
        return f"SimulatedCluster({self.name!r}, address={self.address!r})"

    def served_on(self, address: str, *, kept_requests: int) -> None:
        """Set the address, and empty the log of requests."""
        self.address = address
        self._requests = deque(maxlen=kept_requests)

    @property
    def url(self) -> str:
        """The URL at which it is served, with the scheme and without a path."""
        return f"{'http' if self.plain_http else 'https'}://{self.address}"

    @property
    def release(self) -> tuple[float, int]:
        """The two numbers of the ONTAP release that it runs; a version without them counts as the newest."""
        numbers = re.match(r"(\d+)\.(\d+)", self.version)
        return (math.inf, 0) if numbers is None else (int(numbers[1]), int(numbers[2]))

    @property
    def numbered_packages(self) -> dict[int, Package]:
        """What its repository holds now, by the number of arrival.

        A package keeps its number when others come and go. A listing that is read page by page therefore
        continues at the right package, and one that is deleted and downloaded again appears a second time.
        """
        self.jobs.end_due()
        return dict(self._numbered)

    @property
    def packages(self) -> tuple[Package, ...]:
        """What its repository holds now, in the order of arrival."""
        return tuple(self.numbered_packages.values())

    @property
    def versions(self) -> tuple[str | None, ...]:
        """The versions that its repository holds now, in the order of arrival."""
        return tuple(package.version for package in self.packages)

    def add_package(self, package: PackageLike) -> None:
        """Put a package into the repository, at the end."""
        if isinstance(package, str):
            package = Package(package)
        elif isinstance(package, tuple):
            package = Package(*package)
        self._packages_arrived += 1
        self._numbered[self._packages_arrived] = package

    def remove_package(self, version: str) -> bool:
        """Take a package out of the repository, as another client would; return whether it was there."""
        kept = {number: one for number, one in self._numbered.items() if one.version != version}
        was_there = len(kept) < len(self._numbered)
        self._numbered = kept
        return was_there

    @property
    def deletions(self) -> tuple[Deletion, ...]:
        """The packages really deleted so far, in their order."""
        self.jobs.end_due()
        return tuple(self._deletions)

    def start_deletion(self, version: str, script: JobScript | None = None) -> Job:
        """Start the job that deletes a package; it goes as the script says, or else `job_scripts`."""
        return self.jobs.start(
            version,
            script or self.job_scripts.get(version, self.job_script),
            seconds=self.job_seconds,
            retention_seconds=self.job_retention_seconds,
        )

    async def wait_for_deletions(
        self, number: int = 1, *, timeout_seconds: float = DEFAULT_WAIT_SECONDS
    ) -> tuple[Deletion, ...]:
        """Wait until this many packages are really deleted, and give their record.

        Raises:
            TimeoutError: There were fewer after `timeout_seconds` of real time.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                while len(self.deletions) < number:
                    due = min((job.due_seconds for job in self.jobs.live()), default=math.inf)
                    left = due - self.clock.seconds()
                    await self.clock.pause(left if left > 0 else math.inf)
        except TimeoutError as error:
            raise TimeoutError(f"waited {timeout_seconds} s for {number} deletions on {self.name}") from error
        return self.deletions

    def hold_jobs(self) -> None:
        """Keep every job from ending until released."""
        self.jobs.hold()

    def release_jobs(self) -> None:
        """Let jobs end again: those that are due at once."""
        self.jobs.release()

    def receive(self, request: ReceivedRequest) -> None:
        """Keep a request and wake those who wait for it."""
        self.requests_received += 1
        self._requests.append(request)
        self._request_came.notify_all()

    @property
    def requests(self) -> tuple[ReceivedRequest, ...]:
        """The requests kept, oldest first."""
        return tuple(self._requests)

    def requests_to(self, path: str = "", *, method: str | None = None) -> tuple[ReceivedRequest, ...]:
        """The requests kept whose path has this prefix, oldest first."""
        return tuple(
            request
            for request in self._requests
            if method in (None, request.method) and request.path.startswith(path)
        )

    async def wait_for_requests(
        self,
        number: int,
        *,
        method: str | None = None,
        path: str = "",
        timeout_seconds: float = DEFAULT_WAIT_SECONDS,
    ) -> tuple[ReceivedRequest, ...]:
        """Wait until this many such requests came in, counted from the beginning, and give them.

        Raises:
            TimeoutError: They did not come within `timeout_seconds` of real time.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                while len(met := self.requests_to(path, method=method)) < number:
                    await self._request_came.wait()
        except TimeoutError as error:
            raise TimeoutError(f"waited {timeout_seconds} s for {number} requests") from error
        return met

    def _delete(self, job: Job) -> None:
        if self.remove_package(job.subject):
            self._deletions.append(Deletion(version=job.subject, job_uuid=job.uuid))
