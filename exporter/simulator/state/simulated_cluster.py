"""One simulated cluster: its repository, nodes and versions, jobs and faults, and the requests received."""

import asyncio
import math
import re
import ssl
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from exporter.simulator.faults.fault import Fault, Faults
from exporter.simulator.state.cluster_facts import Deletion, DownloadState, Node, stable_uuid
from exporter.simulator.state.package_repository import Package, PackageLike, Repository
from exporter.simulator.state.received_requests import ReceivedRequest, RequestLog
from exporter.simulator.state.simulated_clock import SimulatedClock
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
        name: Its name, by which the simulator knows it and which it states itself.
        packages: What its repository holds, in the order of arrival; a version alone is a package too.
        version: The ONTAP version that it states: as in ONTAP, the lowest among its nodes.
        nodes: Its nodes; two that run its version by default.
        uuid: Its identity; made from its name by default.
        pending_version: The version of an update that is under way.
        update_state: The state of its software update; None if none ever ran. Any word may be given.
        download_state: The state of its package download. Any word may be given.
        username: The account's name; with a client certificate, its common name.
        password: The account's password.
        bearer_token: A token that is accepted too.
        lock_after_failures: Locks the account after this many wrong passwords in a row; None never does.
        require_client_certificate: Whether TLS asks for a certificate of the simulator's CA.
        plain_http: Whether it is served without TLS.
        maximum_tls: The highest TLS version that it speaks.
        reachable: Whether it listens once it is served.
        labels: Its labels in the generated configuration.
        job_seconds: How long a job takes.
        job_retention_seconds: How long a job stays readable after its end.
        record_seconds: How long ONTAP takes to collect one package of a listing.
        num_records: Whether listings state `num_records`.
        software_document: Replaces the document of `GET /api/cluster/software`: `{}` is the empty record that
            some releases give.
        refuses_during_update: Whether a DELETE during an update is refused, as releases up to 9.15.1 do.
        keepalive_seconds: After how long an idle connection is dropped.
        keepalive_requests: After how many requests a connection is closed.
        clock_ahead_seconds: How far its clock is ahead of the real time, by the header `Date`.
        faults: Those that are active from the beginning.

    Attributes:
        job_script: How a job goes.
        job_scripts: How a job goes that deletes one of these versions.
        download_code: ONTAP's code beside the state of the package download; None if it states none.
        failed_logins: Wrong passwords in a row.
        delete_attempts: DELETE requests, by version.
        collection_deletes: DELETE requests for the whole collection.
        connections_opened: Connections so far.
        open_connections: Connections now.
    """

    def __init__(
        self,
        name: str,
        *,
        packages: Iterable[PackageLike] = (),
        version: str = DEFAULT_VERSION,
        nodes: Sequence[Node] | None = None,
        uuid: str | None = None,
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
        num_records: bool = True,
        software_document: Mapping[str, object] | None = None,
        refuses_during_update: bool = True,
        keepalive_seconds: float = 5.0,
        keepalive_requests: int = 100,
        clock_ahead_seconds: float = 0.0,
        faults: Iterable[Fault] = (),
    ) -> None:
        self.name = name
        self.version = version
        self.nodes = tuple(nodes or (Node(f"{name}-01", version), Node(f"{name}-02", version)))
        self.uuid = uuid or stable_uuid(f"cluster/{name}")
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
        self.record_seconds = record_seconds
        self.num_records = num_records
        self.software_document = software_document
        self.refuses_during_update = refuses_during_update
        self.keepalive_seconds = keepalive_seconds
        self.keepalive_requests = keepalive_requests
        self.clock_ahead_seconds = clock_ahead_seconds
        self.faults = Faults(faults)
        self.job_script = JobScript()
        self.job_scripts: dict[str, JobScript] = {}
        self.download_code: int | None = None
        self.repository = Repository(packages)
        self.clock = SimulatedClock()
        self.jobs = Jobs(self.clock, self._delete)
        self.log = RequestLog(DEFAULT_KEPT_REQUESTS)
        self.failed_logins = 0
        self.delete_attempts: Counter[str] = Counter()
        self.collection_deletes = 0
        self.connections_opened = 0
        self.open_connections = 0
        self._deletions: list[Deletion] = []
        self._address: str | None = None

    def __repr__(self) -> str:
        return f"SimulatedCluster({self.name!r}, address={self._address!r})"

    def served_on(self, address: str, *, clock: SimulatedClock, kept_requests: int) -> None:
        """Set the address and the clock, and empty the log of requests."""
        self._address = address
        self.clock = clock
        self.jobs.clock = clock
        self.log = RequestLog(kept_requests)

    @property
    def address(self) -> str:
        """The address at which it is served: host and port.

        Raises:
            RuntimeError: It is not served.
        """
        if self._address is None:
            raise RuntimeError(f"cluster {self.name!r} is not served by any simulator")
        return self._address

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
    def packages(self) -> tuple[Package, ...]:
        """What its repository holds now, in the order of arrival."""
        self.jobs.end_due()
        return self.repository.packages

    @property
    def versions(self) -> tuple[str | None, ...]:
        """The versions that its repository holds now, in the order of arrival."""
        return tuple(package.version for package in self.packages)

    def add_package(self, package: PackageLike) -> None:
        """Put a package into the repository, at the end."""
        self.repository.add(package)

    def remove_package(self, version: str) -> bool:
        """Take a package out of the repository, as another client would; return whether it was there."""
        return self.repository.remove(version)

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
                    due = min((job.due_seconds for job in self.jobs.live()), default=float("inf"))
                    left = due - self.clock.seconds()
                    await self.clock.pause(left if left > 0 else float("inf"))
        except TimeoutError as error:
            raise TimeoutError(f"waited {timeout_seconds} s for {number} deletions on {self.name}") from error
        return self.deletions

    def hold_jobs(self) -> None:
        """Keep every job from ending until released."""
        self.jobs.hold()

    def release_jobs(self) -> None:
        """Let jobs end again: those that are due at once."""
        self.jobs.release()

    @property
    def requests(self) -> tuple[ReceivedRequest, ...]:
        """The requests received, oldest first."""
        return self.log.requests

    def requests_to(self, path: str = "", *, method: str | None = None) -> tuple[ReceivedRequest, ...]:
        """The requests received whose path has this prefix, oldest first."""
        return tuple(filter(_sent_to(path, method), self.requests))

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
        return await self.log.wait(_sent_to(path, method), number, timeout_seconds)

    def _delete(self, job: Job) -> None:
        if self.repository.remove(job.subject):
            deleted = Deletion(version=job.subject, time=job.ended or self.clock.now(), job_uuid=job.uuid)
            self._deletions.append(deleted)


def _sent_to(path: str, method: str | None) -> Callable[[ReceivedRequest], bool]:
    """Return a condition: the request's path has this prefix and, unless None, its method is this one."""
    return lambda request: method in (None, request.method) and request.path.startswith(path)
