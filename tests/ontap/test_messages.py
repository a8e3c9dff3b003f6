"""What an answer means, before its content is read."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.ontap.errors import (
    ApiError,
    BadResponse,
    Forbidden,
    LoginPaused,
    OntapError,
    RateLimited,
    Reason,
    Unauthorized,
)
from exporter.ontap.redaction import redact, spellings
from exporter.ontap.requests.messages import Response, failure_of, get, read_object, text_or_none


def error_body(code: object = "4", message: str = "entry doesn't exist") -> bytes:
    return json.dumps({"error": {"message": message, "code": code, "target": "uuid"}}).encode()


OntapErrorOf = BadResponse
HTML = b"<html><body>Bad gateway</body></html>"


@pytest.mark.parametrize("body", [error_body(), HTML, b"", b'{"error": '])
@pytest.mark.parametrize(("status", "expected"), [(401, Unauthorized), (403, Forbidden), (429, RateLimited)])
def test_some_failures_count_by_status_whatever_the_body(
    status: int, expected: type[OntapError], body: bytes
) -> None:
    assert type(failure_of(Response(status=status, body=body))) is expected


@pytest.mark.parametrize("status", [400, 404, 405, 409, 500, 502, 503])
@pytest.mark.parametrize("code", ["4", 4])
def test_an_error_that_ontap_states_is_an_api_error_with_its_code(status: int, code: object) -> None:
    failure = failure_of(Response(status=status, body=error_body(code)))
    assert isinstance(failure, ApiError)
    assert (failure.status, failure.code) == (status, "4")
    assert str(failure) == f"HTTP {status}: entry doesn't exist (code 4)"


@pytest.mark.parametrize("body", [HTML, b"", b"[]", b'{"error": "no"}', b'{"error": null}', b'{"err'])
@pytest.mark.parametrize("status", [400, 404, 500, 502, 503])
def test_an_error_that_ontap_does_not_state_is_a_bad_response(status: int, body: bytes) -> None:
    failure = failure_of(Response(status=status, body=body))
    assert type(failure) is BadResponse
    assert str(failure).startswith(f"HTTP {status} without an error of ONTAP's")


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
@pytest.mark.parametrize("body", [error_body(), b""])
def test_a_redirect_is_a_bad_response_or_an_error_but_never_followed(status: int, body: bytes) -> None:
    failure = failure_of(Response(status=status, headers={"location": "https://other/"}, body=body))
    assert type(failure) is BadResponse
    assert "never followed" in str(failure)


def test_a_success_is_no_failure() -> None:
    assert failure_of(Response(status=200, body=b"{}")) is None
    assert failure_of(Response(status=202, body=b"{}")) is None


@pytest.mark.parametrize(
    ("status", "transient"), [(429, True), (503, True), (500, False), (401, False), (403, False)]
)
def test_only_429_and_503_may_pass_by_themselves(*, status: int, transient: bool) -> None:
    for body in (error_body(), HTML):
        failure = failure_of(Response(status=status, body=body))
        assert failure is not None
        assert failure.transient is transient


@pytest.mark.parametrize(
    "message",
    ["Temporarily locked", "The repository is temporarily locked.", f"/{'x' * 250} is temporarily locked"],
)
def test_what_is_temporarily_locked_may_pass_by_itself(message: str) -> None:
    failure = failure_of(Response(status=404, body=error_body(message=message)))
    assert isinstance(failure, ApiError)
    assert (failure.code, failure.transient) == ("4", True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        (" 1.5 ", 1.5),
        ("-3", 0.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:27:00 GMT", 0.0),
        ("Wed, 21 Oct 2026 07:28:30 -0000", 30.0),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("Sun, 06 Nov 1994 08:49:37 +9999999999999", None),
        ("Sun, 06 Nov 99999 08:49:37 GMT", None),
        ("1 2 3 4 5 6 7 8", None),
    ],
)
def test_retry_after_is_read_in_seconds_or_as_a_date(value: str, seconds: float | None) -> None:
    headers = {"retry-after": value, "date": "Wed, 21 Oct 2026 07:28:00 GMT"}
    for status in (429, 503):
        failure = failure_of(Response(status=status, headers=headers, body=b""))
        assert failure is not None
        assert failure.retry_after_seconds == seconds


def test_retry_after_as_a_date_counts_from_our_clock_if_the_answer_has_no_date() -> None:
    for headers in (
        {"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"},
        {"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "today"},
    ):
        response = Response(status=503, headers=headers, body=b"", received_timestamp_seconds=1792567700.0)
        failure = failure_of(response)
        assert failure is not None
        assert failure.retry_after_seconds == 10


def test_an_error_in_a_success_is_an_error() -> None:
    body = b'{"records": [], "error": {"message": "results are partial", "code": "262275"}}'
    with pytest.raises(ApiError, match=r"HTTP 200, but results are partial \(code 262275\)") as caught:
        read_object(Response(status=200, body=body))
    assert caught.value.code == "262275"


SECRET = "S3cretPassw0rd"


def redacting(text: str) -> str:
    return redact(text, spellings([SECRET, "1055", "99999999"]))


@pytest.mark.parametrize(
    ("stated", "code"),
    [
        (4, "4"),
        ("10551367", "10551367"),  # a short secret within is there by chance
        ("E-17.b_2", "E-17.b_2"),
        (99999999, "unreadable"),
        (SECRET, "unreadable"),
        (f"x-{SECRET}", "unreadable"),
        ("\ud800", "unreadable"),
        ("two words", "unreadable"),
        ("9" * 33, "unreadable"),
        (10**3000, "unreadable"),
        ("", ""),
        (True, ""),
        (None, ""),
        ([], ""),
        (1.5, ""),
    ],
)
def test_a_code_is_a_short_word_that_is_no_secret(stated: object, code: str) -> None:
    failure = failure_of(Response(status=500, body=error_body(stated), redact=redacting))
    assert failure is not None
    assert failure.code == code
    assert SECRET not in str(failure)


@pytest.mark.parametrize("position", range(170, 201))
def test_no_text_is_cut_within_a_secret(position: int) -> None:
    text = "." * position + SECRET + "." * 1000
    for status, body in (
        (500, text.encode()),
        (500, error_body(message=text)),
        (500, json.dumps([text]).encode()),
        (500, ("[" + json.dumps(text)).encode()),
    ):
        failure = failure_of(Response(status=status, body=body, redact=redacting))
        assert "S3" not in str(failure)
    with pytest.raises(BadResponse) as caught:
        read_object(Response(status=200, body=text.encode(), redact=redacting))
    assert "S3" not in str(caught.value)


def test_a_message_is_redacted_before_it_is_cut() -> None:
    error = BadResponse("." * 995 + SECRET)
    error.redact(redacting)
    assert str(error) == "." * 995 + "<secr"


def test_a_message_is_cut() -> None:
    assert len(str(OntapErrorOf("x" * 10_000))) == 1_000


@given(status=st.integers(100, 599), body=st.binary(max_size=200), value=st.text(max_size=40))
def test_any_answer_is_an_object_or_an_error_of_ours(status: int, body: bytes, value: str) -> None:
    response = Response(status=status, headers={"retry-after": value, "date": value}, body=body)
    failure = failure_of(response)
    assert (failure is None) == (200 <= status <= 202)
    if failure is None:
        with suppress(BadResponse):
            assert isinstance(read_object(response), dict)


def test_every_reason_but_a_mistake_of_ours_has_exactly_one_error() -> None:
    reasons = [error.reason for error in OntapError.__subclasses__() if error is not LoginPaused]
    assert sorted([*reasons, Reason.INTERNAL_ERROR]) == sorted(Reason)


def test_a_query_keeps_its_commas_and_escapes_the_rest() -> None:
    assert get("/api/cluster", {"fields": "name,uuid", "q": "a b&c"}).target == (
        "/api/cluster?fields=name,uuid&q=a+b%26c"
    )


@given(st.one_of(st.none(), st.integers(), st.text(st.characters(), max_size=5), st.lists(st.text())))
def test_text_is_encodable_or_none(value: object) -> None:
    text = text_or_none(value)
    assert text is None or text.encode("utf-8")
