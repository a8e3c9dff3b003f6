"""One simulated cluster: its repository, its nodes and versions, its jobs and faults, and what it received.

Every attribute may be changed while the cluster is served; the next request sees it.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

from exporter.simulator.api.ontap_replies import error_message
from exporter.simulator.faults.fault import Fault, Faults
from exporter.simulator.state.cluster_facts import Deletion, DownloadState, Node, stable_uuid
from exporter.simulator.state.next_links import Paging
from exporter.simulator.state.package_repository import Package, PackageLike, Repository
from exporter.simulator.state.received_requests import ReceivedRequest, RequestLog
from exporter.simulator.state.simulated_clock import SimulatedClock
from exporter.simulator.state.simulated_jobs import Job, Jobs, JobScript

DEFAULT_VERSION = "9.14.1P2"
DEFAULT_WAIT_SECONDS = 10.0
DEFAULT_KEPT_REQUESTS = 10_000
JOB_RETENTION_SECONDS = 300.0


def _two_nodes(name: str, version: str) -> tuple[Node, ...]:
    return (Node(f"{name}-01", version), Node(f"{name}-02", version))


def _record(record: object) -> object:
    return record.record if isinstance(record, Package) else record


@asynccontextmanager
async def _deadline(seconds: float, what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise TimeoutError(f"waited {seconds} s for {what}") from error


class SimulatedCluster:
    """A cluster to be served by a `Simulator`.

    Args:
        name: Its name, by which the simulator knows it and which it states itself.
        packages: What its repository holds, in the order of arrival; a version alone is a package too.
        version: The ONTAP version that it states: as in ONTAP, the lowest among its nodes.
        nodes: Its nodes; two that run its version by default.
        uuid: Its identity; made from its name by default.
        pending_version: The version of an update that is under way.
        update_state: Where its software update stands; None where none ever ran. Any word may be given.
        download_state: Where its package download stands. Any word may be given.
        username: The account's name; with a client certificate, its common name.
        password: The account's password.
        bearer_token: A token that is accepted too.
        lock_after_failures: Locks the account after so many wrong passwords in a row; None never does.
        require_client_certificate: Whether TLS asks for a certificate of the simulator's CA.
        plain_http: Whether it is served without TLS.
        minimum_tls: The lowest TLS version it speaks.
        maximum_tls: The highest TLS version it speaks.
        reachable: Whether it listens once it is served.
        labels: What the generated configuration says of it.
        job_seconds: How long a job takes.
        download_seconds: How long a download takes.
        job_retention_seconds: How long a job stays readable after its end.
        record_seconds: How long ONTAP takes to collect one package of a listing.
        num_records: Whether listings state `num_records`.
        node_key: What `GET /api/cluster/software` calls a node's name: `name`, or `node` as some releases do.
        software_document: Replaces that document; `{}` for the empty record that some releases give.
        in_use_code: The error code of a DELETE for the version that the cluster or a node runs.
        refuses_during_update: Whether a DELETE during an update is refused, as releases up to 9.15.1 do.
        code_as_number: Whether error bodies state the code as a number.
        keepalive_seconds: After how long an idle connection is dropped; 0 closes after every reply.
        keepalive_requests: After how many requests a connection is closed.
        faults: Those in force from the beginning.
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
        minimum_tls: ssl.TLSVersion | None = None,
        maximum_tls: ssl.TLSVersion | None = None,
        reachable: bool = True,
        labels: Mapping[str, str] | None = None,
        job_seconds: float = 0.1,
        download_seconds: float = 0.1,
        job_retention_seconds: float = JOB_RETENTION_SECONDS,
        record_seconds: float = 0.0,
        num_records: bool = True,
        node_key: str = "name",
        software_document: Mapping[str, object] | None = None,
        in_use_code: int = 8,
        refuses_during_update: bool = True,
        code_as_number: bool = False,
        keepalive_seconds: float = 5.0,
        keepalive_requests: int = 100,
        faults: Iterable[Fault] = (),
    ) -> None:
        self.name = name
        self.version = version
        self.nodes = tuple(nodes) if nodes is not None else _two_nodes(name, version)
        self.uuid = uuid or stable_uuid(f"cluster/{name}")
        self.pending_version = pending_version
        self.update_state = update_state
        self._download_state = str(download_state)
        self._download_job: Job | None = None
        self.username = username
        self.password = password
        self.bearer_token = bearer_token
        self.lock_after_failures = lock_after_failures
        self.failed_logins = 0
        self.require_client_certificate = require_client_certificate
        self.plain_http = plain_http
        self.minimum_tls = minimum_tls
        self.maximum_tls = maximum_tls
        self.reachable = reachable
        self.labels = dict(labels or {})
        self.job_seconds = job_seconds
        self.download_seconds = download_seconds
        self.job_retention_seconds = job_retention_seconds
        self.job_script = JobScript()
        self.download_script = JobScript()
        self.job_scripts: dict[str, JobScript] = {}
        self.record_seconds = record_seconds
        self.num_records = num_records
        self.node_key = node_key
        self.software_document = software_document
        self.in_use_code = in_use_code
        self.refuses_during_update = refuses_during_update
        self.code_as_number = code_as_number
        self.keepalive_seconds = keepalive_seconds
        self.keepalive_requests = keepalive_requests
        self.faults = Faults(faults)
        self.paging = Paging()
        self.repository = Repository(packages)
        self.delete_attempts: Counter[str] = Counter()
        self.collection_deletes = 0
        self.connections_opened = 0
        self.open_connections = 0
        self._deletions: list[Deletion] = []
        self._address: str | None = None
        self.clock = SimulatedClock()
        self.jobs = Jobs(self.clock, error_message)
        self.log = RequestLog(DEFAULT_KEPT_REQUESTS)

    def __repr__(self) -> str:
        return f"SimulatedCluster({self.name!r}, address={self._address!r})"

    def served_on(self, address: str | None, *, clock: SimulatedClock, kept_requests: int) -> None:
        """Tell the cluster where it is served and on which clock; its log starts afresh."""
        self._address = address
        self.clock = clock
        self.jobs.clock = clock
        self.log = RequestLog(kept_requests)

    @property
    def address(self) -> str:
        """Where it is served: host and port.

        Raises:
            RuntimeError: It is not served.
        """
        if self._address is None:
            raise RuntimeError(f"cluster {self.name!r} is not served by any simulator")
        return self._address

    @property
    def url(self) -> str:
        """Where it is served, with the scheme and without a path."""
        return f"{'http' if self.plain_http else 'https'}://{self.address}"

    @property
    def packages(self) -> tuple[Package, ...]:
        """What its repository holds now, in the order of arrival."""
        self.jobs.settle()
        return self.repository.packages

    @property
    def versions(self) -> tuple[str | None, ...]:
        """The versions that its repository holds now, in the order of arrival."""
        return tuple(package.version for package in self.packages)

    def add_package(self, package: PackageLike) -> None:
        """Put a package into the repository, at the end."""
        self.repository.add(package)

    def remove_package(self, version: str) -> bool:
        """Take a package out of the repository, as if by another's hand; tell whether it was there."""
        return self.repository.remove(version)

    def script_pages(self, pages: Sequence[Sequence[object]] | None) -> None:
        """Serve exactly these pages as the packages listing, with honest next links; None ends it.

        Args:
            pages: The records of every page: packages, or any JSON, which is given as it is.
        """
        self.paging.script = None if pages is None else tuple(tuple(map(_record, page)) for page in pages)

    @property
    def deletions(self) -> tuple[Deletion, ...]:
        """The packages really deleted so far, in their order."""
        self.jobs.settle()
        return tuple(self._deletions)

    def delete(self, job: Job, *, by_collection: bool = False) -> None:
        """Delete the package that a job was started for: the effect of that job."""
        if self.repository.remove(job.subject):
            self._deletions.append(
                Deletion(
                    version=job.subject,
                    time=job.ended or self.clock.now(),
                    job_uuid=job.uuid,
                    by_collection=by_collection,
                )
            )

    async def wait_for_deletions(
        self, number: int = 1, *, timeout_seconds: float = DEFAULT_WAIT_SECONDS
    ) -> tuple[Deletion, ...]:
        """Wait until so many packages are really deleted, and give their record.

        Raises:
            TimeoutError: It did not come to that within `timeout_seconds` of real time.
        """
        async with _deadline(timeout_seconds, f"{number} deletions on {self.name}"):
            while len(self.deletions) < number:
                due = min((job.due_seconds for job in self.jobs.live()), default=float("inf"))
                left = due - self.clock.seconds()
                await self.clock.pause(left if left > 0 else float("inf"))
        return self.deletions

    @property
    def download_state(self) -> str:
        """Where the package download stands, in the API's words."""
        self.jobs.settle()
        job = self._download_job
        if job is None:
            return self._download_state
        if not job.over:
            return DownloadState.RUNNING
        return DownloadState.SUCCESS if job.script.effective else DownloadState.FAILURE

    @download_state.setter
    def download_state(self, state: str) -> None:
        self._download_job = None
        self._download_state = str(state)

    def download(self, version: str) -> Job:
        """Start the job that downloads a package, which is in the repository from its end on."""
        self._download_job = self.jobs.start(
            "POST /api/cluster/software/download",
            subject=f"download of {version}",
            script=self.download_script,
            seconds=self.download_seconds,
            retention_seconds=self.job_retention_seconds,
            effect=lambda job: self.repository.add(Package(version, job.ended)),
        )
        return self._download_job

    def job_document(self, job: Job) -> dict[str, object]:
        """A job's record with all its fields."""
        return self.jobs.document(job, node=self.nodes[0].name if self.nodes else self.name)

    def job_documents(self) -> Iterator[dict[str, object]]:
        """The records of the jobs that can still be read, oldest first."""
        return (self.job_document(job) for job in self.jobs.readable())

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
        """The requests received whose path begins so, oldest first."""
        return self.log.matching(method=method, path=path)

    async def wait_for_requests(
        self,
        number: int,
        *,
        method: str | None = None,
        path: str = "",
        timeout_seconds: float = DEFAULT_WAIT_SECONDS,
    ) -> tuple[ReceivedRequest, ...]:
        """Wait until so many such requests came in, counted from the beginning, and give them.

        Raises:
            TimeoutError: They did not come within `timeout_seconds` of real time.
        """
        return await self.log.wait(
            lambda request: method in (None, request.method) and request.path.startswith(path),
            number,
            timeout_seconds,
        )

    async def wait_for_request(
        self,
        condition: Callable[[ReceivedRequest], bool],
        *,
        timeout_seconds: float = DEFAULT_WAIT_SECONDS,
    ) -> ReceivedRequest:
        """Wait for a request that meets the condition, and give the first that did.

        Raises:
            TimeoutError: None came within `timeout_seconds` of real time.
        """
        return (await self.log.wait(condition, 1, timeout_seconds))[0]
