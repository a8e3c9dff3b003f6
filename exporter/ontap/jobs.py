"""The jobs of a cluster: reads one job, and finds the job that deletes a package. No I/O.

Source: GET /cluster/jobs, GET /cluster/jobs/{uuid} (ONTAP 9.6).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from exporter.ontap.endpoint import Endpoint
from exporter.ontap.errors import BadResponse
from exporter.ontap.paging import next_target
from exporter.ontap.wire import (
    Conversation,
    Request,
    get,
    holds_secret,
    read_code,
    read_object,
    read_record,
    text_or_none,
)

JOBS_PATH = "/api/cluster/jobs"
MAX_JOB_PAGES = 100

_JOB_FIELDS = "state,message,code,error"
_SAFE_UUID = re.compile(r"[A-Za-z0-9-]{1,64}")


class JobState(StrEnum):
    """ONTAP's words for the state of a job; any other word means that it is not over."""

    QUEUED = "queued"  # it waits
    RUNNING = "running"  # it works
    PAUSED = "paused"  # somebody has paused it
    SUCCESS = "success"  # it is over and did its work
    FAILURE = "failure"  # it is over and did not


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What ONTAP answered about a job.

    Attributes:
        uuid: its identifier.
        state: ONTAP's word for its state.
        code: the error's code, "" if there is none.
        message: ONTAP's message, without secrets.
    """

    uuid: str
    state: str
    code: str
    message: str

    @property
    def succeeded(self) -> bool:
        """Whether it is over and did its work."""
        return self.state == JobState.SUCCESS

    @property
    def failed(self) -> bool:
        """Whether it is over and did not do its work."""
        return self.state == JobState.FAILURE

    @property
    def over(self) -> bool:
        """Whether it has ended, well or not."""
        return self.succeeded or self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSearch:
    """The result of searching the list of jobs for the deletion of one version.

    Attributes:
        job: the job whose description names the version: one that is not over, else the last one listed;
            None if no description names the version.
        open: whether another job that is not over may be the deletion, although its description does not
            name the version.
        listed_uuids: every job of the list, whatever it does.
    """

    job: Job | None
    open: bool
    listed_uuids: frozenset[str] = frozenset()

    @property
    def unfinished(self) -> bool:
        """Whether a job names the version and is not over."""
        return self.job is not None and not self.job.over


def read_job(uuid: str) -> Conversation[Job]:
    """Read a job.

    Raises:
        BadResponse: the answer is not of the described shape.
    """
    response = yield get(f"{JOBS_PATH}/{uuid}", {"fields": _JOB_FIELDS})
    return _job(uuid, read_record(response), response.redact)


def find_job(
    version: str, *, endpoint: Endpoint, earlier: Collection[str] | None = None
) -> Conversation[JobSearch]:
    """Search the list of jobs for the one that deletes a version.

    Args:
        version: the package's version.
        endpoint: where the cluster is.
        earlier: uuids of the jobs that were there before DELETE was sent, which are left out; any other that
            deletes the version is its job, even where it has succeeded. None: no DELETE was sent, so that one
            which has succeeded is of no interest.

    Raises:
        BadResponse: an answer is not of the described shape.
        IncompleteListing: paging leaves the cluster.
    """
    names_version = re.compile(rf"(?<![A-Za-z0-9._-]){re.escape(version)}(?![A-Za-z0-9_-]|\.[A-Za-z0-9])")
    found: Job | None = None
    might_be_it = False
    listed: set[str] = set()
    request = get(JOBS_PATH, {"fields": f"description,{_JOB_FIELDS}"})
    for _ in range(MAX_JOB_PAGES):
        response = yield request
        page = read_object(response)
        records = page.get("records")
        if not isinstance(records, list):
            raise BadResponse("the page of jobs has no list of records")
        listed.update(filter(None, (job_uuid(record, response.redact) for record in records)))
        for job, description in _described(records, response.redact):
            if job.uuid in (earlier or ()):
                continue
            if "delete" in description.lower() and names_version.search(description):
                is_of_interest = earlier is not None or not job.succeeded
                if is_of_interest and (found is None or found.over):
                    found = job
            elif not job.over and (not description or "package" in description.lower()):
                might_be_it = True
        following = next_target(page, endpoint)
        if following is None:
            return JobSearch(job=found, open=might_be_it, listed_uuids=frozenset(listed))
        request = Request(method="GET", target=following)
    raise BadResponse(f"the jobs have more than {MAX_JOB_PAGES} pages")


def job_uuid(job: object, redact: Callable[[str], str]) -> str | None:
    """Return the uuid of a job; None if it is missing, or not safe in a URL and in the log."""
    uuid = text_or_none(job.get("uuid")) if isinstance(job, dict) else None
    if uuid is None or _SAFE_UUID.fullmatch(uuid) is None or holds_secret(uuid, redact):
        return None
    return uuid


def _described(records: list[Any], redact: Callable[[str], str]) -> Iterator[tuple[Job, str]]:
    """Yield each job that can be read, with its description."""
    for record in records:
        uuid = job_uuid(record, redact)
        if uuid is not None and text_or_none(record.get("state")):
            yield _job(uuid, record, redact), text_or_none(record.get("description")) or ""


def _job(uuid: str, document: dict[str, Any], redact: Callable[[str], str]) -> Job:
    """Read a job's document; old releases put code and message into the job itself."""
    error = document.get("error")
    stated = error if isinstance(error, dict) else document
    state = text_or_none(document.get("state"))
    if state is None:
        raise BadResponse("the job has no state")
    message = text_or_none(stated.get("message")) or text_or_none(document.get("message")) or ""
    code = read_code(stated.get("code"), redact) or read_code(document.get("code"), redact)
    code = code if state == JobState.FAILURE else ""
    return Job(uuid=uuid, state=state, code=code, message=redact(message))
