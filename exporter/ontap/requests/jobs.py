"""The jobs of a cluster: reads one job, and finds the job that deletes a package. No I/O.

Source: GET /cluster/jobs, GET /cluster/jobs/{uuid} (ONTAP 9.6).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from exporter.ontap.errors import MAX_MESSAGE_CHARACTERS, ApiError, BadResponse, IncompleteListing
from exporter.ontap.requests.listing import CollectionQuery
from exporter.ontap.requests.messages import (
    INVALID_VALUE_CODE,
    Conversation,
    Request,
    Response,
    get,
    holds_secret,
    read_code,
    read_object,
    read_record,
    text_or_none,
)
from exporter.ontap.requests.paging import may_be_cut_short, next_target, records_of

JOBS_PATH = "/api/cluster/jobs"
MAX_JOB_PAGES = 100

_MAX_RECORDS = 500
_MOST_RECORDS = 4 * _MAX_RECORDS
"""A page may have more than was asked for, but not so many that reading them delays everything else."""
_OLD_JOB_FIELDS = "state,message,code"
_JOB_FIELDS = f"{_OLD_JOB_FIELDS},error"
"""``error`` came with ONTAP 9.9."""
_SAFE_UUID = re.compile(r"[A-Za-z0-9-]{1,64}")
_LINK = re.compile(rf".{{0,256}}{re.escape(JOBS_PATH)}/([^/?#]{{1,64}})/?(?:\?.{{0,256}})?")
_MAX_LINK_CHARACTERS = 1024
_MAX_STATE_CHARACTERS = 64
_SUCCEEDED = "success"
_FAILED = frozenset({"failure", "error", "quit", "dead"})
"""With these words and ``success``, a job is over; with any other word, a new one too, it is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What ONTAP answered about a job."""

    uuid: str
    state: str
    """ONTAP's word."""
    code: str
    """The error's code, "" if there is none."""
    message: str
    """Without secrets."""

    @property
    def succeeded(self) -> bool:
        """Whether it is over and did its work."""
        return self.state == _SUCCEEDED

    @property
    def failed(self) -> bool:
        """Whether it is over and did not do its work."""
        return self.state in _FAILED

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
        is_unfollowable: whether a record names the version and may not be over, but has no uuid.
        listed_uuids: every job of the list, whatever it does.
    """

    job: Job | None
    open: bool
    is_unfollowable: bool = False
    listed_uuids: frozenset[str] = frozenset()

    @property
    def unfinished(self) -> bool:
        """Whether a job names the version and is not over."""
        return self.is_unfollowable or (self.job is not None and not self.job.over)


def read_job(uuid: str) -> Conversation[Job]:
    """Read a job."""
    response = yield from _answer_of_any_release(get(f"{JOBS_PATH}/{uuid}", {"fields": _JOB_FIELDS}))
    document = read_record(response)
    if text_or_none(document.get("state")) is None:
        raise BadResponse("the job has no state")
    return _job(uuid, document, response.redact)


def find_job(
    version: str, *, query: CollectionQuery, earlier: Collection[str] | None = None
) -> Conversation[JobSearch]:
    """Search the list of jobs for the one that deletes a version.

    ``earlier``: uuids of jobs listed before DELETE was sent. They are ignored; any other job that deletes the
    version is this DELETE's, also one that has succeeded. None: no DELETE was sent, so jobs that have
    succeeded are ignored.

    Raises:
        IncompleteListing: paging leaves the cluster, or the list may have been cut short.
    """
    names_version = re.compile(rf"(?<![A-Za-z0-9._-]){re.escape(version)}(?![A-Za-z0-9_-]|\.[A-Za-z0-9])")
    found: Job | None = None
    might_be_it = is_unfollowable = False
    listed: set[str] = set()
    request = get(
        JOBS_PATH,
        {
            "fields": f"description,{_JOB_FIELDS}",
            "max_records": _MAX_RECORDS,
            "return_timeout": query.conclusive_return_timeout_seconds,
        },
    )
    for _ in range(MAX_JOB_PAGES):
        response = yield from _answer_of_any_release(request)
        page = read_object(response)
        records = records_of(page)
        for job, description in _described(records, response.redact):
            listed.update({job.uuid} - {""})
            if job.uuid in (earlier or ()):
                continue
            if "delete" in description.lower() and names_version.search(description):
                is_of_interest = earlier is not None or not job.succeeded
                if not job.uuid:
                    is_unfollowable = is_unfollowable or not job.over
                elif is_of_interest and (found is None or found.over):
                    found = job
            elif not job.over and (not description or "package" in description.lower()):
                might_be_it = True
        following = next_target(page, query.endpoint)
        if following is None:
            if not records and may_be_cut_short(request.target, elapsed_seconds=response.elapsed_seconds):
                raise IncompleteListing("the list of jobs may have been cut short")
            return JobSearch(
                job=found,
                open=might_be_it or is_unfollowable,
                is_unfollowable=is_unfollowable,
                listed_uuids=frozenset(listed),
            )
        request = Request(method="GET", target=following)
    raise BadResponse(f"the jobs have more than {MAX_JOB_PAGES} pages")


def _answer_of_any_release(request: Request) -> Conversation[Response]:
    """Send a request for jobs; where the release does not know the field ``error``, again without it."""
    try:
        return (yield request)
    except ApiError as exc:
        target = request.target.replace(_JOB_FIELDS, _OLD_JOB_FIELDS)
        is_refused = exc.status == HTTPStatus.BAD_REQUEST and exc.code == INVALID_VALUE_CODE
        if not is_refused or target == request.target:
            raise
    return (yield Request(method="GET", target=target))


def job_uuid(job: object, redact: Callable[[str], str]) -> str | None:
    """Return the uuid of a job, maybe from its link; None if it is missing, or not safe in a URL."""
    if not isinstance(job, dict):
        return None
    uuid = text_or_none(job.get("uuid")) or _uuid_in_link(job)
    if uuid is None or _SAFE_UUID.fullmatch(uuid) is None or holds_secret(uuid, redact):
        return None
    return uuid


def _uuid_in_link(job: dict[str, Any]) -> str | None:
    """Return the uuid in ``_links.self.href``; nothing else of the link is used."""
    links = job.get("_links")
    link = links.get("self") if isinstance(links, dict) else None
    href = text_or_none(link.get("href")) if isinstance(link, dict) else None
    match = _LINK.fullmatch(href) if href is not None and len(href) <= _MAX_LINK_CHARACTERS else None
    return match[1] if match else None


def _described(records: list[Any], redact: Callable[[str], str]) -> Iterator[tuple[Job, str]]:
    """Yield each job with its description; an unreadable record counts as any job, not over."""
    if len(records) > _MOST_RECORDS:
        raise BadResponse(f"a page has more than {_MOST_RECORDS} jobs")
    for record in records:
        document = record if isinstance(record, dict) else {}
        uuid = job_uuid(document, redact) or ""
        yield _job(uuid, document, redact), text_or_none(document.get("description")) or ""


def _job(uuid: str, document: dict[str, Any], redact: Callable[[str], str]) -> Job:
    """Read a job's document; old releases put code and message into the job itself."""
    error = document.get("error")
    stated = error if isinstance(error, dict) else document
    state = (text_or_none(document.get("state")) or "unknown")[:_MAX_STATE_CHARACTERS]
    message = text_or_none(stated.get("message")) or text_or_none(document.get("message")) or ""
    code = read_code(stated.get("code"), redact) or read_code(document.get("code"), redact)
    code = code if state in _FAILED else ""
    return Job(uuid=uuid, state=state, code=code, message=redact(message)[:MAX_MESSAGE_CHARACTERS])
