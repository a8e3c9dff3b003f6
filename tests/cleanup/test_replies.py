"""Every error code of ONTAP's, and every way in which an answer can fail, has exactly one meaning."""

from __future__ import annotations

import pytest

from exporter.cleanup.delete.replies import (
    GONE_CODES,
    TRANSIENT_CODES,
    UNKNOWN_CODES,
    UNKNOWN_TRANSIENT_CODES,
    Diagnosis,
    Meaning,
    read_failed_job,
    read_reply,
)
from exporter.ontap.errors import (
    ApiError,
    BadResponse,
    ConnectionFailed,
    DeadlineExceeded,
    Forbidden,
    IncompleteListing,
    LoginPaused,
    OntapError,
    RateLimited,
    TlsFailed,
    Unauthorized,
)
from exporter.ontap.requests.jobs import Job

BY_CODE = {
    "4": Meaning.GONE,
    "10551315": Meaning.GONE,
    "10551325": Meaning.GONE,
    "10551346": Meaning.TRANSIENT,
    "10551347": Meaning.TRANSIENT,
    "10551367": Meaning.TRANSIENT,
    "10551388": Meaning.UNKNOWN_TRANSIENT,
    "10551322": Meaning.UNKNOWN,
    "10551323": Meaning.UNKNOWN,
    "10551324": Meaning.UNKNOWN,
}
"""Codes whose meaning does not depend on the HTTP status."""
FAILURES = ("10551326", "10551892", "8", "3", "7", "2", "262179", "262197", "262198", "")


def test_the_table_holds_every_code_that_the_module_knows() -> None:
    assert set(BY_CODE) == TRANSIENT_CODES | GONE_CODES | UNKNOWN_TRANSIENT_CODES | UNKNOWN_CODES


@pytest.mark.parametrize("code", ["4", "", "8"])
def test_what_is_temporarily_locked_is_busy_and_not_gone(code: str) -> None:
    message = "HTTP 404: The package is Temporarily locked (code 4)"
    assert read_reply(ApiError(message, status=404, code=code)).meaning is Meaning.TRANSIENT
    job = Job(uuid="j", state="failure", code=code, message=message)
    assert read_failed_job(job).meaning is Meaning.TRANSIENT


@pytest.mark.parametrize("status", [400, 404, 409, 500, 503])
@pytest.mark.parametrize(("code", "meaning"), BY_CODE.items())
def test_a_known_code_in_the_reply_counts_whatever_the_status(
    code: str, meaning: Meaning, status: int
) -> None:
    error = ApiError("said", status=status, code=code)
    assert read_reply(error) == Diagnosis(meaning=meaning, code=code, message="said")


@pytest.mark.parametrize(("code", "meaning"), BY_CODE.items())
def test_a_known_code_in_a_failed_job_means_the_same(code: str, meaning: Meaning) -> None:
    job = Job(uuid="u", state="failure", code=code, message="said")
    assert read_failed_job(job) == Diagnosis(meaning=meaning, code=code, message="said")


@pytest.mark.parametrize("code", [*FAILURES, "262145", "999"])
def test_any_other_code_in_a_failed_job_is_a_failure(code: str) -> None:
    job = Job(uuid="u", state="failure", code=code, message="said")
    assert read_failed_job(job).meaning is Meaning.FAILURE


def test_a_failed_job_without_a_word_says_so() -> None:
    diagnosis = read_failed_job(Job(uuid="u", state="failure", code="", message=""))
    assert (diagnosis.meaning, diagnosis.message) == (Meaning.FAILURE, "the job failed without a message")


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (400, Meaning.FAILURE),
        (404, Meaning.GONE),
        (405, Meaning.FAILURE),
        (408, Meaning.UNKNOWN),
        (409, Meaning.FAILURE),
        (500, Meaning.UNKNOWN),
        (502, Meaning.UNKNOWN),
        (503, Meaning.UNKNOWN_TRANSIENT),
        (504, Meaning.UNKNOWN),
    ],
)
@pytest.mark.parametrize("code", FAILURES)
def test_any_other_code_in_the_reply_counts_by_its_status(code: str, status: int, meaning: Meaning) -> None:
    assert read_reply(ApiError("said", status=status, code=code)).meaning is meaning


ERRORS: list[tuple[OntapError, Meaning]] = [
    (Unauthorized("said", code="6691623"), Meaning.DENIED),
    (LoginPaused("said"), Meaning.DENIED),
    (Forbidden("said", code="6"), Meaning.DENIED),
    (ApiError("said", code="99", status=202), Meaning.UNKNOWN),
    (RateLimited("said", transient=True, code="262160"), Meaning.TRANSIENT),
    (ConnectionFailed("it broke", transient=True), Meaning.UNKNOWN),
    (DeadlineExceeded("said"), Meaning.UNKNOWN),
    (TlsFailed("said"), Meaning.UNKNOWN),
    (BadResponse("said"), Meaning.UNKNOWN),
    (BadResponse("204 without a word", status=204), Meaning.UNKNOWN),
    (BadResponse("206 of a proxy", status=206), Meaning.UNKNOWN),
    (BadResponse("a redirect", status=307), Meaning.FAILURE),
    (BadResponse("400 of a proxy", status=400), Meaning.FAILURE),
    (BadResponse("404 of a proxy", status=404), Meaning.GONE),
    (BadResponse("502 of a proxy", status=502), Meaning.UNKNOWN),
    (BadResponse("503 of a proxy", status=503, transient=True), Meaning.UNKNOWN_TRANSIENT),
    (IncompleteListing("said"), Meaning.UNKNOWN),
]


@pytest.mark.parametrize(
    ("error", "meaning"), ERRORS, ids=[f"{type(error).__name__}-{error}" for error, _ in ERRORS]
)
def test_every_class_of_error_has_its_meaning(error: OntapError, meaning: Meaning) -> None:
    diagnosis = read_reply(error)
    assert (diagnosis.meaning, diagnosis.code, diagnosis.message) == (meaning, error.code, str(error))


@pytest.mark.parametrize("error", [error for error, _ in ERRORS], ids=lambda error: type(error).__name__)
def test_what_was_not_sent_is_tried_again_unless_the_login_is_refused(error: OntapError) -> None:
    is_refused = isinstance(error, Unauthorized | LoginPaused | Forbidden)
    meaning = Meaning.DENIED if is_refused else Meaning.TRANSIENT
    assert read_reply(error, is_sent=False).meaning is meaning


def test_every_class_of_error_is_in_the_table() -> None:
    assert {type(error) for error, _ in ERRORS} | {ApiError} == set(OntapError.__subclasses__())


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_403_is_denied_whatever_the_code(code: str) -> None:
    assert read_reply(Forbidden("said", code=code)).meaning is Meaning.DENIED


def test_retry_after_is_handed_on() -> None:
    assert read_reply(RateLimited("said", retry_after_seconds=7.5)).retry_after_seconds == 7.5
    busy = ApiError("said", status=503, code="10551367", retry_after_seconds=3.0)
    assert read_reply(busy).retry_after_seconds == 3.0
