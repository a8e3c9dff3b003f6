"""A deletion names exactly one package, and only a job that says so is taken for its job."""

from __future__ import annotations

import json
import posixpath
import re
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from exporter.ontap.cluster_settings import Endpoint
from exporter.ontap.errors import ApiError, BadResponse, IncompleteListing
from exporter.ontap.redaction import redact, spellings
from exporter.ontap.requests.deletion import delete_package, is_safe_version
from exporter.ontap.requests.jobs import JOBS_PATH, MAX_JOB_PAGES, Job, JobSearch, find_job, read_job
from exporter.ontap.requests.listing import PACKAGES_PATH, CollectionQuery
from exporter.ontap.requests.messages import Conversation, Request, Response

T = TypeVar("T")

ENDPOINT = Endpoint(host="10.20.0.5")
QUERY = CollectionQuery(endpoint=ENDPOINT, return_timeout_seconds=15, max_records=500)
ORIGIN = ENDPOINT.origin
UUID = "8a4c6f0e-0f66-11ef-a1c2-005056a7b3c4"
ODD = st.text(st.sampled_from("9.1P-_/\\%2eE?#&=*;:@ +~\n\0é٩"), max_size=12)
VERSIONS = st.one_of(st.text(max_size=140), ODD, st.from_regex(r"[A-Za-z0-9._-]{1,12}", fullmatch=True))


def answer(document: object, status: int = 200) -> Response:
    return Response(status=status, body=json.dumps(document).encode())


def converse(conversation: Conversation[T], *answers: Response) -> tuple[T, list[Request]]:
    """Answer a conversation in turn; return its result and the requests that it made."""
    asked: list[Request] = []
    waiting = iter(answers)
    try:
        request = next(conversation)
        while True:
            asked.append(request)
            request = conversation.send(next(waiting))
    except StopIteration as stop:
        result: T = stop.value
        return result, asked


@given(VERSIONS)
def test_a_version_that_is_accepted_resolves_to_itself(version: str) -> None:
    """If a client, a proxy or ONTAP normalises the path, it still names this package."""
    if not is_safe_version(version):
        return
    path = f"{PACKAGES_PATH}/{version}"
    for resolved in (
        posixpath.normpath(path),
        URL(ORIGIN + path).path,
        URL(ORIGIN + path).raw_path,
        URL(ORIGIN + path, encoded=True).raw_path,
        URL(ORIGIN + PACKAGES_PATH + "/").join(URL(version)).path,
        urljoin(f"{PACKAGES_PATH}/", version),
        unquote(path),
        quote(path),
    ):
        assert resolved == path
    assert URL(ORIGIN + path).query_string == ""
    assert URL(ORIGIN + path).fragment == ""


@given(VERSIONS)
def test_a_version_is_accepted_only_if_it_is_safe_in_a_url(version: str) -> None:
    plain = re.fullmatch(r"[A-Za-z0-9._-]{1,128}", version) is not None
    assert is_safe_version(version) == (plain and version.strip(".") != "")


@pytest.mark.parametrize(
    "version",
    ["", ".", "..", "...", "a/b", "../x", "9.1?", "9.1#", "%2e", "%2F", "9.1\n", " ", "*", "é", "9" * 129],
)
def test_nothing_is_ever_sent_for_an_unsafe_version(version: str) -> None:
    with pytest.raises(ValueError, match="not safe in a URL"):
        next(delete_package(version, return_timeout_seconds=0))


@pytest.mark.parametrize(
    "version", ["9.14.1P2", "9.8", "9.16.1RC1", "9.14.1P2_custom-build", "..a", "9" * 128]
)
@pytest.mark.parametrize("seconds", [0, 15, 120])
def test_the_target_is_the_package_and_return_timeout_alone(version: str, seconds: int) -> None:
    request = next(delete_package(version, return_timeout_seconds=seconds))
    target = f"/api/cluster/software/packages/{version}?return_timeout={seconds}"
    assert request == Request(method="DELETE", target=target)


@given(VERSIONS.filter(is_safe_version))
def test_the_collection_is_never_the_target(version: str) -> None:
    target = URL(ORIGIN + next(delete_package(version, return_timeout_seconds=0)).target)
    assert target.path == f"{PACKAGES_PATH}/{version}"
    assert list(target.query) == ["return_timeout"]
    assert posixpath.dirname(posixpath.normpath(target.path)) == PACKAGES_PATH


@pytest.mark.parametrize(
    ("document", "uuid"),
    [
        ({"job": {"uuid": UUID, "_links": {"self": {"href": f"{JOBS_PATH}/{UUID}"}}}}, UUID),
        ({"job": {"uuid": UUID}}, UUID),
        ({}, None),
        ({"job": None}, None),
        ({"job": {}}, None),
        ({"job": {"uuid": ""}}, None),
        ({"job": {"uuid": 7}}, None),
        ({"job": [UUID]}, None),
        ({"job": {"uuid": "../../cluster/software/packages"}}, None),
        ({"job": {"uuid": f"{UUID}?fields=*"}}, None),
        ({"job": {"uuid": "."}}, None),
        ({"job": {"uuid": "a" * 65}}, None),
        ({"job": {"_links": {"self": {"href": f"{JOBS_PATH}/{UUID}"}}}}, UUID),
        ({"job": {"_links": {"self": {"href": f"{JOBS_PATH}/{UUID}/?fields=*"}}}}, UUID),
        ({"job": {"uuid": None, "_links": {"self": {"href": f"https://c1{JOBS_PATH}/{UUID}"}}}}, UUID),
        ({"job": {"_links": {"self": {"href": f"{JOBS_PATH}/.."}}}}, None),
        ({"job": {"_links": {"self": {"href": f"{JOBS_PATH}/{UUID}/x"}}}}, None),
        ({"job": {"_links": {"self": {"href": f"/api/cluster/software/packages/{UUID}"}}}}, None),
        ({"job": {"_links": {"self": {"href": JOBS_PATH + "/" + "a" * 4_000_000}}}}, None),
        ({"job": {"_links": {"self": {"href": 7}}}}, None),
        ({"job": {"_links": {"self": None}}}, None),
        ({"job": {"_links": []}}, None),
        ({"jobs": [{"uuid": UUID}]}, UUID),
        ({"jobs": [{"_links": {"self": {"href": f"{JOBS_PATH}/{UUID}"}}}]}, UUID),
        ({"job": {}, "jobs": [{"uuid": UUID}, {"uuid": UUID}]}, UUID),
        ({"jobs": [{"uuid": UUID}, {"uuid": "another"}]}, None),
        ({"jobs": [{"uuid": UUID}, {}]}, None),
        ({"jobs": []}, None),
        ({"jobs": {"uuid": UUID}}, None),
    ],
    ids=str,
)
@pytest.mark.parametrize("status", [200, 202])
def test_the_job_is_named_by_a_plain_uuid_or_not_at_all(
    document: object, uuid: str | None, status: int
) -> None:
    conversation = delete_package("9.13.1", return_timeout_seconds=0)
    assert converse(conversation, answer(document, status))[0] == uuid


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"job"', b"[]", b'"done"', b"\xff"])
def test_a_yes_that_cannot_be_read_names_no_job(body: bytes) -> None:
    conversation = delete_package("9.13.1", return_timeout_seconds=0)
    assert converse(conversation, Response(status=202, body=body))[0] is None


def test_an_error_inside_a_good_status_is_an_error() -> None:
    stated = {"error": {"code": "10551367", "message": "busy"}, "job": {"uuid": UUID}}
    with pytest.raises(ApiError) as caught:
        converse(delete_package("9.13.1", return_timeout_seconds=0), answer(stated))
    assert caught.value.code == "10551367"


@pytest.mark.parametrize(
    ("document", "job"),
    [
        ({"state": "success", "message": "success", "code": 0}, ("success", "", "success")),
        (
            {"state": "running", "message": "The job is in progress."},
            ("running", "", "The job is in progress."),
        ),
        ({"state": "queued", "code": 7}, ("queued", "", "")),
        ({"state": "dissolved", "code": 7}, ("dissolved", "", "")),
        (
            {"state": "failure", "message": "old words", "error": {"code": "10551367", "message": "busy"}},
            ("failure", "10551367", "busy"),
        ),
        (
            {"state": "failure", "error": {"code": 10551367}, "message": "busy"},
            ("failure", "10551367", "busy"),
        ),
        (
            {"state": "failure", "message": "entry doesn't exist", "code": 4},
            ("failure", "4", "entry doesn't exist"),
        ),
        ({"state": "failure", "code": "4", "error": None}, ("failure", "4", "")),
        ({"state": "failure", "code": True, "message": 7}, ("failure", "", "")),
        ({"state": "failure", "error": {}}, ("failure", "", "")),
        ({"state": "error", "code": 10551367, "message": "busy"}, ("error", "10551367", "busy")),
        ({"state": "quit", "error": {"code": "8", "message": "ended"}}, ("quit", "8", "ended")),
        ({"state": "dead", "code": "4"}, ("dead", "4", "")),
        ({"state": "waiting", "code": 4}, ("waiting", "", "")),
        ({"state": "x" * 999, "message": "y" * 99_999}, ("x" * 64, "", "y" * 1000)),
    ],
    ids=[
        "success",
        "running",
        "queued",
        "unknown",
        "new",
        "number",
        "old",
        "old text",
        "odd",
        "nothing",
        "error",
        "quit",
        "dead",
        "waiting",
        "long",
    ],
)
def test_a_job_is_read_in_the_style_of_any_release(document: object, job: tuple[str, str, str]) -> None:
    found, (request,) = converse(read_job(UUID), answer(document))
    assert (found.uuid, found.state, found.code, found.message) == (UUID, *job)
    assert request == Request(method="GET", target=f"{JOBS_PATH}/{UUID}?fields=state,message,code,error")


SECRET = "S3cretPassw0rd"


def echo(document: object) -> Response:
    """Answer in the words of a cluster that echoes secrets, one of them so short that a uuid has it in it."""
    body = json.dumps(document).encode()
    return Response(status=202, body=body, redact=lambda text: redact(text, spellings([SECRET, UUID[:4]])))


def test_the_message_of_a_job_holds_no_secret() -> None:
    error = {"message": f"no login with {SECRET}", "code": SECRET}
    job, _ = converse(read_job(UUID), echo({"state": "failure", "message": SECRET, "error": error}))
    assert job == Job(uuid=UUID, state="failure", code="unreadable", message="no login with <secret>")
    record = {"uuid": UUID, "state": "failure", "description": "DELETE 9.13.1", "error": error}
    search, _ = converse(find_job("9.13.1", query=QUERY), echo({"records": [record]}))
    assert search.job == job


def test_a_secret_names_no_job_and_a_uuid_does_whatever_it_has_in_it() -> None:
    for uuid, named in ((UUID, UUID), (SECRET, None)):
        answered = echo({"job": {"uuid": uuid}})
        assert converse(delete_package("9.13.1", return_timeout_seconds=0), answered)[0] == named


@pytest.mark.parametrize("document", [{}, {"state": None}, {"state": ""}, {"state": 1}, [], None, "success"])
def test_a_job_without_a_state_is_a_bad_response(document: object) -> None:
    with pytest.raises(BadResponse):
        converse(read_job(UUID), answer(document))


@pytest.mark.parametrize(
    ("state", "over"),
    [
        ("success", (True, False)),
        ("failure", (False, True)),
        ("error", (False, True)),
        ("quit", (False, True)),
        ("dead", (False, True)),
        ("waiting", (False, False)),
        ("dormant", (False, False)),
        ("unknown", (False, False)),
        ("SUCCESS", (False, False)),
        ("done", (False, False)),
    ],
)
def test_only_the_words_for_an_end_are_an_end(state: str, over: tuple[bool, bool]) -> None:
    job = Job(uuid=UUID, state=state, code="", message="")
    assert (job.succeeded, job.failed) == over


def record(number: int, version: str, state: str = "running", **changes: object) -> dict[str, Any]:
    description = f"DELETE /api/cluster/software/packages/{version}"
    return {"uuid": f"job-{number}", "description": description, "state": state, **changes}


def jobs_page(*records: object, following: object = None) -> Response:
    links = {} if following is None else {"next": {"href": following}}
    return answer({"records": list(records), "_links": links})


def search(version: str, *pages: Response) -> JobSearch:
    return converse(find_job(version, query=QUERY), *pages)[0]


def find(version: str, *pages: Response) -> str | None:
    """Return the uuid of the job that is found."""
    job = search(version, *pages).job
    return None if job is None else job.uuid


ALIKE = (
    "9.1",
    "9.14.1",
    "9.14.1P2",
    "9.14.1P20",
    "9.14.10",
    "19.14.1",
    "9.14.1RC1",
    "9.14",
    "9.14.1_x",
    "x-9.14.1",
)


@pytest.mark.parametrize("version", ALIKE)
def test_only_jobs_about_that_very_version_are_found(version: str) -> None:
    """The filter that is sent matches longer versions as well, and a server may ignore it."""
    everything = [record(number, other) for number, other in enumerate(ALIKE)]
    assert find(version, jobs_page(*everything)) == f"job-{ALIKE.index(version)}"
    others = [one for one in everything if one["uuid"] != f"job-{ALIKE.index(version)}"]
    assert find(version, jobs_page(*others)) is None


@pytest.mark.parametrize(
    ("description", "found"),
    [
        ("DELETE /api/cluster/software/packages/9.14.1", True),
        ("DELETE /api/cluster/software/packages/9.14.1?return_timeout=0", True),
        ("Delete package 9.14.1.", True),
        ('delete of package "9.14.1"', True),
        ("POST /api/cluster/software/download of 9.14.1", False),
        ("PATCH /api/cluster/software to 9.14.1", False),
        ("DELETE /api/cluster/software/packages/9x14x1", False),
        ("DELETE /api/cluster/software/packages", False),
        ("", False),
        (None, False),
        (7, False),
    ],
)
def test_a_job_counts_by_what_its_description_says(description: object, *, found: bool) -> None:
    uuid = find("9.14.1", jobs_page(record(1, "9.14.1", description=description)))
    assert (uuid is not None) == found


def test_every_job_is_asked_for_since_a_description_may_say_nothing() -> None:
    _, (request,) = converse(find_job("9.14.1P2", query=QUERY), jobs_page())
    target = f"{JOBS_PATH}?fields=description,state,message,code,error&max_records=500&return_timeout=15"
    assert request == Request(method="GET", target=target)


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        (replace(QUERY, return_timeout_seconds=9), 9),
        (replace(QUERY, return_timeout_seconds=0), 15),
        (replace(QUERY, return_timeout_seconds=0, confirmation_timeout_seconds=4), 4),
        (replace(QUERY, return_timeout_seconds=0, confirmation_timeout_seconds=0), 1),
    ],
)
def test_the_jobs_are_collected_no_longer_than_a_poll_may_take(query: CollectionQuery, seconds: int) -> None:
    _, (request,) = converse(find_job("9.14.1P2", query=query), jobs_page())
    assert request.target.endswith(f"&return_timeout={seconds}")
    late = replace(jobs_page(), elapsed_seconds=float(seconds))
    with pytest.raises(IncompleteListing, match="may have been cut short"):
        converse(find_job("9.14.1P2", query=query), late)


def refused(conversation: Conversation[T], status: int, code: str) -> Request:
    """Refuse the first request of a conversation; return the next one."""
    next(conversation)
    return conversation.throw(ApiError("refused", status=status, code=code))


def test_a_release_that_does_not_know_the_field_error_is_asked_again_without_it() -> None:
    asked = refused(read_job(UUID), 400, "262197")
    assert asked == Request(method="GET", target=f"{JOBS_PATH}/{UUID}?fields=state,message,code")
    fields = "fields=description,state,message,code"
    asked = refused(find_job("9.13.1", query=QUERY), 400, "262197")
    target = f"{JOBS_PATH}?{fields}&max_records=500&return_timeout=15"
    assert asked == Request(method="GET", target=target)


@pytest.mark.parametrize(("status", "code"), [(400, "262179"), (400, ""), (500, "262197"), (404, "4")])
def test_jobs_that_cannot_be_read_for_another_reason_are_not_asked_for_again(status: int, code: str) -> None:
    for conversation in (read_job(UUID), find_job("9.13.1", query=QUERY)):
        with pytest.raises(ApiError, match="refused"):
            refused(conversation, status, code)


def test_jobs_are_asked_for_again_only_once() -> None:
    conversation = read_job(UUID)
    refused(conversation, 400, "262197")
    with pytest.raises(ApiError, match="again"):
        conversation.throw(ApiError("again", status=400, code="262197"))


@pytest.mark.parametrize("states", [("running", "failure"), ("failure", "queued"), ("failure", "dissolving")])
def test_a_job_that_goes_on_is_preferred_to_one_that_is_over(states: tuple[str, str]) -> None:
    records = [record(number, "9.13.1", state) for number, state in enumerate(states)]
    live = next(number for number, state in enumerate(states) if state != "failure")
    assert find("9.13.1", jobs_page(*records)) == f"job-{live}"
    assert search("9.13.1", jobs_page(*records)).unfinished


def test_of_jobs_that_failed_the_last_one_listed_is_found() -> None:
    page = jobs_page(record(1, "9.13.1", "failure"), record(2, "9.13.1", "failure"))
    assert (find("9.13.1", page), search("9.13.1", page).unfinished) == ("job-2", False)


def test_a_job_that_succeeded_is_an_earlier_ones_as_long_as_the_package_is_there() -> None:
    page = jobs_page(record(1, "9.13.1", "failure"), record(2, "9.13.1", "success"))
    assert find("9.13.1", page) == "job-1"
    assert find("9.13.1", jobs_page(record(2, "9.13.1", "success"))) is None


def test_once_delete_was_sent_a_new_job_that_succeeded_is_its_job() -> None:
    page = jobs_page(record(1, "9.13.1", "success"), record(2, "9.13.1", "success"))
    for earlier, found in (({"job-1"}, "job-2"), ({"job-1", "job-2"}, None)):
        search, _ = converse(find_job("9.13.1", query=QUERY, earlier=earlier), page)
        assert (search.job and search.job.uuid) == found
        assert (search.unfinished, search.open) == (False, False)
        assert search.listed_uuids == {"job-1", "job-2"}


@pytest.mark.parametrize(
    ("description", "state", "is_open"),
    [
        (None, "running", True),
        ("", "queued", True),
        ("Removing a package", "running", True),
        ("Package cleanup", "paused", True),
        ("Package cleanup", "success", False),
        (None, "failure", False),
        ("Volume move", "running", False),
        ("DELETE /api/storage/volumes/9.14.1P2", "running", False),
    ],
)
def test_a_job_that_goes_on_and_might_be_it_leaves_the_question_open(
    description: object, state: str, *, is_open: bool
) -> None:
    found = search("9.14.1", jobs_page(record(1, "9.14.1", state, description=description)))
    assert (found.job, found.open) == (None, is_open)


@pytest.mark.parametrize("state", [None, "", 7, "unknown", "waiting"])
def test_a_job_whose_state_cannot_be_read_is_not_over(state: object) -> None:
    page = jobs_page(record(1, "9.13.1", state=state))  # type: ignore[arg-type]
    assert (find("9.13.1", page), search("9.13.1", page).unfinished) == ("job-1", True)
    nameless = jobs_page(record(1, "9.13.1", state=state, description=None))  # type: ignore[arg-type]
    assert search("9.13.1", nameless).open


@pytest.mark.parametrize(
    ("state", "is_over"),
    [("running", False), (None, False), ("success", True), ("failure", True), ("dead", True)],
)
@pytest.mark.parametrize("uuid", [None, "../x", 7])
def test_a_job_without_a_usable_uuid_is_no_proof_that_there_is_none(
    uuid: object, state: object, *, is_over: bool
) -> None:
    found = search("9.13.1", jobs_page({**record(1, "9.13.1"), "uuid": uuid, "state": state}))
    assert (found.job, found.unfinished, found.open) == (None, not is_over, not is_over)
    assert found.listed_uuids == frozenset()


@pytest.mark.parametrize("odd", [None, 7, "9.13.1", [], {}])
def test_what_cannot_be_read_among_the_jobs_may_be_any_job(odd: object) -> None:
    assert search("9.13.1", jobs_page(odd)).open


def test_a_job_may_be_known_by_its_link_alone() -> None:
    link = {"self": {"href": f"{JOBS_PATH}/{UUID}"}}
    page = jobs_page({**record(1, "9.13.1"), "uuid": None, "_links": link})
    assert find("9.13.1", page) == UUID
    assert search("9.13.1", page).listed_uuids == {UUID}


@pytest.mark.parametrize("elapsed_seconds", [14.0, 15.2])
def test_an_empty_page_after_about_return_timeout_is_not_no_job(elapsed_seconds: float) -> None:
    late = replace(jobs_page(), elapsed_seconds=elapsed_seconds)
    link = "/api/x?p=2"  # ONTAP's default counts where a link carries no return_timeout
    for pages in ([late], [jobs_page(record(1, "9.13.1", "failure"), following=link), late]):
        with pytest.raises(IncompleteListing, match="may have been cut short"):
            search("9.13.1", *pages)
    assert search("9.13.1", replace(late, elapsed_seconds=13.0)) == JobSearch(job=None, open=False)


def test_no_jobs_at_all_may_come_without_a_list() -> None:
    assert search("9.13.1", answer({"num_records": 0})) == JobSearch(job=None, open=False)


def test_every_page_of_jobs_is_read_to_the_letter() -> None:
    link = f"{JOBS_PATH}?start.uuid=a%2Ab&fields=%2A"
    pages = (jobs_page(following=link), jobs_page(record(1, "9.13.1", "failure"), following="/api/x?p=3"))
    last = jobs_page(record(2, "9.13.1"))
    found, asked = converse(find_job("9.13.1", query=QUERY), *pages, last)
    assert found.job is not None
    assert found.job.uuid == "job-2"
    assert [request.target for request in asked[1:]] == [link, "/api/x?p=3"]


@pytest.mark.parametrize(
    "link", ["https://elsewhere.invalid/api/cluster/jobs", "//elsewhere.invalid/", "jobs?p=2"]
)
def test_a_link_that_leaves_the_cluster_is_not_followed(link: str) -> None:
    conversation = find_job("9.13.1", query=QUERY)
    next(conversation)
    with pytest.raises(IncompleteListing):
        conversation.send(jobs_page(record(1, "9.13.1"), following=link))


def test_pages_of_jobs_that_never_end_are_given_up() -> None:
    conversation = find_job("9.13.1", query=QUERY)
    next(conversation)
    for number in range(MAX_JOB_PAGES - 1):
        conversation.send(jobs_page(following=f"{JOBS_PATH}?page={number}"))
    with pytest.raises(BadResponse, match=f"more than {MAX_JOB_PAGES} pages"):
        conversation.send(jobs_page(following=f"{JOBS_PATH}?page=last"))


@pytest.mark.parametrize("document", [{}, {"records": None}, {"records": {}}, [], None])
def test_a_page_of_jobs_of_another_shape_is_a_bad_response(document: object) -> None:
    with pytest.raises(BadResponse):
        find("9.13.1", answer(document))


@pytest.mark.parametrize("odd", [None, 7, "9.13.1", ["9.13.1"], {"uuid": "../x"}, {"uuid": None}])
def test_odd_records_among_the_jobs_are_passed_over(odd: object) -> None:
    if isinstance(odd, dict):
        odd = {**record(0, "9.13.1"), **odd}
    assert find("9.13.1", jobs_page(odd, record(1, "9.13.1"))) == "job-1"


def test_a_page_of_very_many_jobs_is_an_error() -> None:
    with pytest.raises(BadResponse, match="more than 2000 jobs"):
        converse(find_job("9.13.1", query=QUERY), answer({"records": [{}] * 2001}))
    search, _ = converse(find_job("9.13.1", query=QUERY), answer({"records": [{}] * 2000}))
    assert search.open
