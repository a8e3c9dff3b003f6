"""One deletion and the job that ONTAP makes of it. No I/O.

Source: DELETE /cluster/software/packages/{version}, GET /cluster/jobs, GET /cluster/jobs/{uuid} (ONTAP 9.6).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from exporter.ontap.endpoint import Endpoint
from exporter.ontap.errors import BadResponse
from exporter.ontap.listing import PACKAGES_PATH
from exporter.ontap.paging import next_target
from exporter.ontap.wire import (
    Conversation,
    Request,
    code_or_empty,
    get,
    read_object,
    read_record,
    text_or_none,
)

JOBS_PATH = "/api/cluster/jobs"
MAX_JOB_PAGES = 100

_JOB_FIELDS = "state,message,code,error"
_SAFE_VERSION = re.compile(r"(?!\.+\Z)[A-Za-z0-9._-]{1,128}")
_SAFE_UUID = re.compile(r"[A-Za-z0-9-]{1,64}")


class JobState(StrEnum):
    """What ONTAP says of a job; every other word counts as not over."""

    QUEUED = "queued"  # it waits
    RUNNING = "running"  # it works
    PAUSED = "paused"  # somebody has stopped it for a while
    SUCCESS = "success"  # it is over and did its work
    FAILURE = "failure"  # it is over and did not


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it was read.

    Attributes:
        uuid: its name.
        state: ONTAP's word.
        code: the error's code as digits, "" where there is none.
        message: what ONTAP says of it.
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
        """Whether it is over and did not."""
        return self.state == JobState.FAILURE


def is_safe_version(version: str) -> bool:
    """Say whether a version can stand in a URL and means nothing but itself there.

    DELETE on the collection, or on a path that ``.`` or ``..`` shortens to it, would delete every package.
    """
    return _SAFE_VERSION.fullmatch(version) is not None


def delete_package(version: str, *, return_timeout_seconds: int) -> Conversation[str | None]:
    """Ask for the deletion of one package; return the uuid of its job, None where ONTAP names none.

    Raises:
        ValueError: the version is not safe in a URL; nothing is sent.
        BadResponse: the answer is not of the described shape; the deletion may be under way.
    """
    if not is_safe_version(version):
        raise ValueError(f"not safe in a URL: {version!r}")
    target = f"{PACKAGES_PATH}/{version}?return_timeout={return_timeout_seconds}"
    document = read_object((yield Request(method="DELETE", target=target)))
    job = document.get("job")
    uuid = text_or_none(job.get("uuid")) if isinstance(job, dict) else None
    return uuid if uuid is not None and _SAFE_UUID.fullmatch(uuid) else None


def read_job(uuid: str) -> Conversation[Job]:
    """Read a job.

    Raises:
        BadResponse: the answer is not of the described shape.
    """
    document = read_record((yield get(f"{JOBS_PATH}/{uuid}", {"fields": _JOB_FIELDS})))
    return _job(uuid, document)


def find_job(version: str, *, endpoint: Endpoint) -> Conversation[Job | None]:
    """Look for a job that deletes a version: one that goes on, else the last one listed, else None.

    Raises:
        BadResponse: an answer is not of the described shape.
        IncompleteListing: paging leaves the cluster.
    """
    names_version = re.compile(rf"(?<![A-Za-z0-9._-]){re.escape(version)}(?![A-Za-z0-9_-]|\.[A-Za-z0-9])")
    found: Job | None = None
    request = get(JOBS_PATH, {"fields": f"description,{_JOB_FIELDS}", "description": f"*{version}*"})
    for _ in range(MAX_JOB_PAGES):
        page = read_object((yield request))
        records = page.get("records")
        if not isinstance(records, list):
            raise BadResponse("the page of jobs has no list of records")
        for record in records:
            job = _deleting(record, names_version)
            if job is not None and (found is None or found.failed or found.succeeded):
                found = job
        following = next_target(page, endpoint)
        if following is None:
            return found
        request = Request(method="GET", target=following)
    raise BadResponse(f"the jobs have more than {MAX_JOB_PAGES} pages")


def _deleting(record: object, names_version: re.Pattern[str]) -> Job | None:
    """Return the job of a record where its description says that it deletes the version."""
    if not isinstance(record, dict):
        return None
    uuid, description = text_or_none(record.get("uuid")), text_or_none(record.get("description"))
    if uuid is None or description is None or _SAFE_UUID.fullmatch(uuid) is None:
        return None
    if "delete" not in description.lower() or names_version.search(description) is None:
        return None
    return _job(uuid, record)


def _job(uuid: str, document: dict[str, Any]) -> Job:
    """Read a job's document; old releases put code and message into the job itself."""
    error = document.get("error")
    stated = error if isinstance(error, dict) else document
    state = text_or_none(document.get("state"))
    if state is None:
        raise BadResponse("the job has no state")
    message = text_or_none(stated.get("message")) or text_or_none(document.get("message")) or ""
    code = code_or_empty(stated.get("code")) if state == JobState.FAILURE else ""
    return Job(uuid=uuid, state=state, code=code, message=message)
