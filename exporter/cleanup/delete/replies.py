"""What an answer to DELETE, or a failed job, means for the deletion. Pure.

Source: the error codes of DELETE /cluster/software/packages/{version}; ONTAP may put each of them into the
reply or into the failed job.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from exporter.ontap.errors import (
    ApiError,
    BadResponse,
    Forbidden,
    LoginPaused,
    OntapError,
    RateLimited,
    Unauthorized,
)
from exporter.ontap.requests.jobs import Job
from exporter.ontap.requests.messages import NO_ENTRY_CODE, is_locked

TRANSIENT_CODES = frozenset(
    {
        "10551346",  # a validation is in progress
        "10551347",  # an update is in progress
        "10551367",  # the repository is busy
    }
)
GONE_CODES = frozenset(
    {
        NO_ENTRY_CODE,
        "10551315",  # the repository does not contain any packages
        "10551325",  # the package could not be found
    }
)
UNKNOWN_TRANSIENT_CODES = frozenset({"10551388"})  # the delete operation timed out
UNKNOWN_CODES = frozenset(
    {
        "10551322",  # internal error while retrieving the cleanup status
        "10551323",  # internal error while removing the package information on a node
        "10551324",  # the same on several nodes
    }
)


class Meaning(StrEnum):
    """What follows from an answer."""

    TRANSIENT = "transient"  # nothing is under way; it may be tried again later
    GONE = "gone"  # ONTAP says that the package is not there: check the listing
    UNKNOWN = "unknown"  # it may be done, under way, or neither: check jobs and listing
    UNKNOWN_TRANSIENT = "unknown_transient"  # the same; if it is neither, it may be tried again later
    FAILURE = "failure"  # ONTAP refused, or tried and failed
    DENIED = "denied"  # 401 or 403: nothing more on this cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What an answer means, with what ONTAP said."""

    meaning: Meaning
    code: str
    message: str
    retry_after_seconds: float | None = None


def read_reply(error: OntapError, *, is_sent: bool = True) -> Diagnosis:
    """Say what a failed DELETE means.

    Args:
        error: what came instead of an acceptance.
        is_sent: whether DELETE may have gone out, so that the cluster may have it.
    """
    return Diagnosis(
        meaning=_meaning_of_reply(error, is_sent=is_sent),
        code=error.code,
        message=str(error),
        retry_after_seconds=error.retry_after_seconds,
    )


def read_failed_job(job: Job) -> Diagnosis:
    """Say what a failed job means."""
    return Diagnosis(
        meaning=_meaning_of_code(job.code, job.message) or Meaning.FAILURE,
        code=job.code,
        message=job.message or "the job failed without a message",
    )


def _meaning_of_reply(error: OntapError, *, is_sent: bool) -> Meaning:
    match error:
        case Unauthorized() | LoginPaused() | Forbidden():
            return Meaning.DENIED
        case _ if not is_sent:
            return Meaning.TRANSIENT
        case RateLimited():
            return Meaning.TRANSIENT
        case ApiError():
            return _meaning_of_code(error.code, str(error)) or _meaning_of_status(error.status)
        case BadResponse() if error.status >= HTTPStatus.MULTIPLE_CHOICES:
            return _meaning_of_status(error.status)  # something in between has answered
        case _:
            return Meaning.UNKNOWN


def _meaning_of_code(code: str, message: str) -> Meaning | None:
    if is_locked(message):
        return Meaning.TRANSIENT
    for codes, meaning in (
        (TRANSIENT_CODES, Meaning.TRANSIENT),
        (GONE_CODES, Meaning.GONE),
        (UNKNOWN_TRANSIENT_CODES, Meaning.UNKNOWN_TRANSIENT),
        (UNKNOWN_CODES, Meaning.UNKNOWN),
    ):
        if code in codes:
            return meaning
    return None


def _meaning_of_status(status: int) -> Meaning:
    if status == HTTPStatus.NOT_FOUND:
        return Meaning.GONE
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return Meaning.UNKNOWN_TRANSIENT
    has_no_verdict = (
        status < HTTPStatus.MULTIPLE_CHOICES  # accepted, and yet an error
        or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        or status == HTTPStatus.REQUEST_TIMEOUT
    )
    return Meaning.UNKNOWN if has_no_verdict else Meaning.FAILURE
