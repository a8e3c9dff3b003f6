"""A listing is whole or an error, however ONTAP cuts it into pages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.ontap.cluster_settings import Endpoint
from exporter.ontap.errors import BadResponse, IncompleteListing, OntapError
from exporter.ontap.requests.listing import MAX_PAGES, CollectionQuery, Listing, Package, read_listing
from exporter.ontap.requests.messages import Request, Response

ENDPOINT = Endpoint(host="10.20.0.5")
QUERY = CollectionQuery(endpoint=ENDPOINT, return_timeout_seconds=15, max_records=500)
PATH = "/api/cluster/software/packages"
IMPATIENT = CollectionQuery(endpoint=ENDPOINT, return_timeout_seconds=0, max_records=2)


def page(records: object, next_href: object = None, *, elapsed_seconds: float = 0.1) -> Response:
    links = {} if next_href is None else {"next": {"href": next_href}}
    body = json.dumps({"records": records, "_links": links}).encode()
    return Response(status=200, body=body, elapsed_seconds=elapsed_seconds)


def read(
    pages: Sequence[Response], query: CollectionQuery = QUERY, known: Listing | None = None
) -> tuple[Listing | OntapError, list[str]]:
    """Answer a conversation with these pages; return its end and the targets that it asked for."""
    asked: list[str] = []
    conversation = read_listing(query, known=known)
    answers = iter(pages)
    try:
        request: Request = next(conversation)
        while True:
            assert request.method == "GET"
            asked.append(request.target)
            request = conversation.send(next(answers))
    except StopIteration as stop:
        listing: Listing = stop.value
        return listing, asked
    except OntapError as exc:
        return exc, asked


def records_of(*versions: str) -> list[dict[str, Any]]:
    return [{"version": version, "create_time": "2019-02-04T19:00:00+00:00"} for version in versions]


def test_the_first_request_asks_for_the_fields_and_the_limits() -> None:
    _, asked = read([page([])])
    assert asked == [f"{PATH}?fields=version,create_time&max_records=500&return_timeout=15"]


def test_an_empty_repository_is_an_empty_listing() -> None:
    listing, _ = read([page([])])
    assert listing == Listing(packages=(), unnamed=0, pages=1)


def test_next_links_are_requested_exactly_as_given() -> None:
    href = "/api/cluster/software/packages?start.version=9.7&fields=%2A%2A&max_records=1&a=%2f"
    _, asked = read([page(records_of("9.7"), href), page(records_of("9.8"))])
    assert asked[1] == href


def test_an_empty_page_with_a_next_link_is_followed() -> None:
    listing, _ = read([page([], f"{PATH}?a"), page(records_of("9.8"))])
    assert isinstance(listing, Listing)
    assert [package.version for package in listing.packages] == ["9.8"]
    assert listing.pages == 2


VERSIONS = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), unique=True, max_size=12)


@given(versions=VERSIONS, data=st.data())
def test_any_split_into_pages_yields_the_same_packages(versions: list[str], data: st.DataObject) -> None:
    records = data.draw(st.permutations(records_of(*versions)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(records)), max_size=8)))
    chunks = [records[a:b] for a, b in zip([0, *cuts], [*cuts, len(records)], strict=True)]
    pages = [page(chunk, f"{PATH}?page={number}") for number, chunk in enumerate(chunks[:-1])]
    listing, asked = read([*pages, page(chunks[-1])])
    assert isinstance(listing, Listing)
    assert {package.version for package in listing.packages} == set(versions)
    assert len(listing.packages) == len(versions)
    assert listing.pages == len(asked) == len(chunks)
    assert listing.packages == tuple(sorted(listing.packages, key=lambda package: package.version))


def test_a_version_that_comes_twice_is_one_package_of_the_later_time() -> None:
    early, late = "2019-02-04T19:00:00Z", "2020-02-04T19:00:00Z"
    for first, second in ((early, late), (late, early), (late, None), (None, late)):
        listing, _ = read(
            [
                page([{"version": "9.8", "create_time": first}], f"{PATH}?a"),
                page([{"version": "9.8", "create_time": second}]),
            ]
        )
        assert isinstance(listing, Listing)
        assert listing.packages == (Package(version="9.8", create_timestamp_seconds=1580842800.0),)


@pytest.mark.parametrize("record", [{"version": None}, {}, {"version": ""}, {"version": 9}, "9.8", None, [1]])
def test_a_record_without_a_version_costs_only_itself(record: object) -> None:
    listing, _ = read([page([record, *records_of("9.8")])])
    assert isinstance(listing, Listing)
    assert [package.version for package in listing.packages] == ["9.8"]
    assert listing.unnamed == 1


@pytest.mark.parametrize("create_time", [None, "soon", 17, "2019-02-04"])
def test_an_unreadable_create_time_costs_only_the_age(create_time: object) -> None:
    listing, _ = read([page([{"version": "9.8", "create_time": create_time}, {"version": "9.9"}])])
    assert isinstance(listing, Listing)
    assert [package.create_timestamp_seconds for package in listing.packages] == [None, None]


def test_a_lone_surrogate_in_a_version_can_be_written_as_utf8() -> None:
    body = b'{"records": [{"version": "9\\ud800"}]}'
    listing, _ = read([Response(status=200, body=body)])
    assert isinstance(listing, Listing)
    assert listing.packages[0].version.encode() == "9\ufffd\ufffd\ufffd".encode()


@pytest.mark.parametrize(
    "href",
    [
        "https://other/api/cluster/software/packages?a",
        "//other/api",
        "@other/api",
        "@10.20.0.5/api",
        "http://10.20.0.5/api",
        "https://10.20.0.5:8443/api",
        "https://10.20.0.5@other/api",
        "https://user@10.20.0.5/api",
        "https://[/api",
        "https://10.20.0.5:99999/api",
        "api/cluster",
        "?page=2",
        "/\\other/api",
        "\\\\other/api",
        "/api\r\nHost: other",
        "/api cluster",
        "/api#fragment",
        "/äpi",
        "javascript:alert(1)",
        "https://10.20.0.5",
    ],
)
def test_a_next_link_off_the_cluster_is_not_followed(href: str) -> None:
    failure, asked = read([page(records_of("9.8"), href)])
    assert isinstance(failure, IncompleteListing)
    assert "leads off the cluster" in str(failure)
    assert len(asked) == 1


@pytest.mark.parametrize("origin", ["https://10.20.0.5", "https://10.20.0.5:443"])
def test_an_absolute_link_to_the_cluster_itself_is_followed(origin: str) -> None:
    _, asked = read([page(records_of("9.8"), f"{origin}/api/next?a=%2A"), page([])])
    assert asked[1] == "/api/next?a=%2A"


@pytest.mark.parametrize("href", [None, 5, "", [], {"a": 1}])
def test_a_next_link_of_a_wrong_shape_is_a_bad_response(href: object) -> None:
    body = json.dumps({"records": [], "_links": {"next": {"href": href}}}).encode()
    failure, _ = read([Response(status=200, body=body)])
    assert isinstance(failure, BadResponse)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"{}", b'{"records": null}', b'{"records": {}}', b"<html>", b"\xff\xfe"],
)
def test_a_page_of_a_wrong_shape_is_a_bad_response(body: bytes) -> None:
    failure, _ = read([Response(status=200, body=body)])
    assert isinstance(failure, BadResponse)


@pytest.mark.parametrize(
    "body", [b"[" * 200_000, b'{"records":' * 100_000, b'{"records": [' + b"9" * 10_000 + b"]}"]
)
def test_json_made_to_harm_is_a_bad_response_or_no_package(body: bytes) -> None:
    end, _ = read([Response(status=200, body=body)])
    assert isinstance(end, BadResponse) or (isinstance(end, Listing) and end.packages == ())


@pytest.mark.parametrize(
    "body", [b'{"num_records": 0}', b'{"num_records": 0, "records": null, "_links": {}}']
)
def test_no_packages_at_all_may_come_without_a_list(body: bytes) -> None:
    assert listed([Response(status=200, body=body)]).packages == ()
    late = Response(status=200, body=body, elapsed_seconds=15.0)
    assert isinstance(read([late])[0], IncompleteListing)


@pytest.mark.parametrize("count", [0, 1, 99, -1, None, "many"])
def test_what_a_page_says_about_its_number_of_records_does_not_matter(count: object) -> None:
    document = {"records": records_of("9.7", "9.8"), "num_records": count}
    listing = listed([Response(status=200, body=json.dumps(document).encode())])
    assert [package.version for package in listing.packages] == ["9.7", "9.8"]


@pytest.mark.parametrize("count", ["1", '"0"', "false", "0.0", "null", "[]"])
def test_a_page_without_a_list_says_in_so_many_words_that_it_is_empty(count: str) -> None:
    body = b'{"num_records": ' + count.encode() + b"}"
    assert isinstance(read([Response(status=200, body=body)])[0], BadResponse)


def test_links_of_a_wrong_shape_are_a_bad_response() -> None:
    failure, _ = read([Response(status=200, body=b'{"records": [], "_links": []}')])
    assert isinstance(failure, BadResponse)


def test_a_loop_is_incomplete() -> None:
    failure, asked = read(
        [page(records_of("9.8"), f"{PATH}?a"), page([], f"{PATH}?b"), page([], f"{PATH}?a")]
    )
    assert isinstance(failure, IncompleteListing)
    assert "loops" in str(failure)
    assert len(asked) == 3


def test_a_link_back_to_the_first_page_is_a_loop() -> None:
    failure, asked = read([page([], f"{PATH}?fields=version,create_time&max_records=500&return_timeout=15")])
    assert isinstance(failure, IncompleteListing)
    assert len(asked) == 1


def test_paging_that_never_ends_is_incomplete() -> None:
    failure, asked = read([page([], f"{PATH}?page={number}") for number in range(MAX_PAGES + 1)])
    assert isinstance(failure, IncompleteListing)
    assert len(asked) == MAX_PAGES


def test_more_packages_than_any_repository_has_are_incomplete() -> None:
    many = records_of(*(f"9.{number}" for number in range(6_000)))
    others = records_of(*(f"8.{number}" for number in range(6_000)))
    failure, _ = read([page(many, f"{PATH}?a"), page(others)])
    assert isinstance(failure, IncompleteListing)


def test_a_listing_larger_than_any_repository_is_a_bad_response() -> None:
    record = {"version": "9.8", "padding": "x" * 1_900_000}
    failure, asked = read([page([record], f"{PATH}?page={number}") for number in range(10)])
    assert isinstance(failure, BadResponse)
    assert len(asked) == 5


def test_a_version_too_long_to_be_one_costs_only_itself() -> None:
    listing, _ = read([page(records_of("9" * 257, "9.8"))])
    assert isinstance(listing, Listing)
    assert [package.version for package in listing.packages] == ["9.8"]
    assert listing.unnamed == 1


def test_the_confirmation_waits_no_longer_than_the_poll_may_take() -> None:
    hurried = replace(IMPATIENT, confirmation_timeout_seconds=3)
    _, asked = read([page([]), page([], elapsed_seconds=0.2)], hurried)
    assert asked[1].endswith("return_timeout=3")


@pytest.mark.parametrize("elapsed_seconds", [14.0, 14.9, 15.0, 16.0])
def test_an_empty_end_after_about_return_timeout_is_incomplete(elapsed_seconds: float) -> None:
    failure, _ = read([page([], elapsed_seconds=elapsed_seconds)])
    assert isinstance(failure, IncompleteListing)
    assert "cut short" in str(failure)


def test_an_empty_later_page_after_about_return_timeout_is_incomplete() -> None:
    failure, _ = read([page(records_of("9.8"), f"{PATH}?a"), page([], elapsed_seconds=15.1)])
    assert isinstance(failure, IncompleteListing)


@pytest.mark.parametrize(
    ("link", "elapsed_seconds"),
    [
        (f"{PATH}?a", 15.0),
        (f"{PATH}?a&return_timeout=", 15.0),
        (f"{PATH}?a&return_timeout=9.5", 15.0),
        (f"{PATH}?return_timeout={'9' * 5000}", 15.0),
        (f"{PATH}?a&return_timeout=20", 20.0),
        (f"{PATH}?return_timeout=0&a", 0.0),
    ],
    ids=["none", "empty", "no whole number", "far too long", "its own", "zero"],
)
@pytest.mark.parametrize("configured_seconds", [60, 30, 10])
def test_a_later_page_is_judged_by_the_return_timeout_of_its_link(
    link: str, elapsed_seconds: float, configured_seconds: int
) -> None:
    query = replace(QUERY, return_timeout_seconds=configured_seconds)
    first = page(records_of("9.8"), link)
    failure, _ = read([first, page([], elapsed_seconds=elapsed_seconds)], query)
    assert isinstance(failure, IncompleteListing)
    if elapsed_seconds:
        listing, _ = read([first, page([], elapsed_seconds=elapsed_seconds - 2)], query)
        assert isinstance(listing, Listing)


def test_an_empty_end_well_before_return_timeout_is_trusted() -> None:
    listing, _ = read([page([], elapsed_seconds=13.0)])
    assert isinstance(listing, Listing)


def test_a_slow_last_page_with_records_is_believed() -> None:
    listing, _ = read([page(records_of("9.8"), elapsed_seconds=20.0)])
    assert isinstance(listing, Listing)


def test_an_empty_answer_to_return_timeout_zero_is_confirmed_by_a_longer_one() -> None:
    listing, asked = read([page([]), page([], elapsed_seconds=0.2)], IMPATIENT)
    assert listing == Listing(packages=(), unnamed=0, pages=1)
    assert asked[1].endswith("return_timeout=15")


def test_a_listing_that_return_timeout_zero_cut_short_is_read_again_from_its_start() -> None:
    link = f"{PATH}?a&return_timeout=0"
    listing, asked = read(
        [page(records_of("9.8"), link), page([]), page(records_of("9.8", "9.9"))], IMPATIENT
    )
    assert isinstance(listing, Listing)
    assert [package.version for package in listing.packages] == ["9.8", "9.9"]
    assert len(asked) == 3


def test_an_empty_confirmation_that_takes_its_whole_time_is_incomplete() -> None:
    failure, _ = read([page([]), page([], elapsed_seconds=15.0)], IMPATIENT)
    assert isinstance(failure, IncompleteListing)


def listed(pages: Sequence[Response], known: Listing | None = None) -> Listing:
    listing, _ = read(pages, known=known)
    assert isinstance(listing, Listing)
    return listing


def test_a_page_that_is_the_same_to_the_byte_is_the_listing_that_is_known() -> None:
    known = listed([page(records_of("9.7", "9.8"))])
    assert listed([page(records_of("9.7", "9.8"))], known) is known


def test_the_same_packages_in_other_bytes_are_the_known_packages() -> None:
    known = listed([page(records_of("9.7", "9.8"))])
    again = listed([page(records_of("9.8", "9.7"))], known)
    assert again.packages is known.packages
    assert again.digest != known.digest


def test_an_empty_page_is_doubted_though_it_is_known() -> None:
    known = listed([page([])])
    listing, _ = read([page([], elapsed_seconds=15.0)], known=known)
    assert isinstance(listing, IncompleteListing)


def test_an_error_is_an_error_though_its_bytes_are_known() -> None:
    known = replace(listed([page(records_of("9.7"))]), digest=hashlib.blake2b(b"{}", digest_size=16).digest())
    listing, _ = read([page("none")], known=known)
    assert isinstance(listing, BadResponse)


SPLITS = st.lists(st.lists(st.sampled_from(["9.7", "9.8", "9.9"]), max_size=3), min_size=1, max_size=3)


def pages_of(split: list[list[str]]) -> list[Response]:
    hrefs = [f"{PATH}?page={number}" for number in range(1, len(split))]
    return [page(records_of(*versions), href) for versions, href in zip(split, [*hrefs, None], strict=True)]


@given(before=SPLITS, now=SPLITS)
def test_the_listing_does_not_depend_on_the_known_one(before: list[list[str]], now: list[list[str]]) -> None:
    known = listed(pages_of(before))
    assert listed(pages_of(now), known) == listed(pages_of(now))
