"""ONTAP versions are ordered as NetApp releases them; a version that cannot be parsed has no order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.ontap.requests.versions import Release, in_use, parse_release

IN_ORDER = [
    "8.3.2P12",
    "9.0",
    "9.1X7",
    "9.1RC1",
    "9.1",
    "9.1P1",
    "9.1P19",
    "9.3P4D2",
    "9.8",
    "9.9.1",
    "9.9.1D3",
    "9.9.1P1",
    "9.9.1P8",
    "9.9.1P9X3",
    "9.9.1P9X12",
    "Dayblazer__9.9.1P9",
    "9.10.1X9",
    "9.10.1X12",
    "9.10.1RC1X2",
    "9.10.1RC1",
    "9.10.1RC2",
    "9.10.1RC10",
    "9.10.1",
    "9.10.1P1",
    "9.10.1P2",
    "9.10.1P2D1",
    "9.10.1P2D10",
    "9.10.1P10",
    "9.14.1",
    "10.0.1",
]


def test_known_releases_come_in_the_order_of_their_release() -> None:
    releases = [parse_release(version) for version in IN_ORDER]
    assert None not in releases
    assert releases == sorted(releases)  # type: ignore[type-var]
    assert len(set(releases)) == len(releases)


SAME = [
    ("9.7", "9.7.0", "9.7.0.0", "9.07", "Dayblazer__9.7"),
    ("9.8P1", "9.8p1", "9.8.0P1", "Dayblazer__9.8p1", "R_2-x__9.8P1"),
    ("9.16.1RC1", "9.16.1rc1"),
    ("9.9.1P9X3D1", "9.9.1p9x3d1"),
]


@pytest.mark.parametrize("spellings", SAME, ids=lambda spellings: spellings[0])
def test_all_spellings_of_a_release_are_that_release(spellings: tuple[str, ...]) -> None:
    assert len({parse_release(one) for one in spellings}) == 1
    assert parse_release(spellings[0]) is not None
    for named in spellings:
        assert all(in_use(frozenset({named})).have(one) for one in (*spellings, f" {named}\n"))


NIGHTLY = "R9.18.1xN_251015_0400"


@pytest.mark.parametrize(
    ("named", "version", "is_in_use"),
    [
        (set(), "9.7", False),
        ({"9.7"}, "9.7.1", False),
        ({"9.7"}, NIGHTLY, False),
        ({"9.7", NIGHTLY}, "9.7.0", True),
        ({"9.7", NIGHTLY}, NIGHTLY.lower(), True),
        ({"9.7", NIGHTLY}, "9.8", None),
        ({"9.7", ""}, "9.8", None),
        ({"Dayblazer__nightly"}, "nightly", True),
    ],
)
def test_not_in_use_is_unknown_where_a_version_in_use_cannot_be_compared(
    named: set[str], version: str, *, is_in_use: bool | None
) -> None:
    assert in_use(frozenset(named)).have(version) is is_in_use


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9",
        "9.",
        ".9",
        "9.14.1P",
        "9.14.1Q2",
        "9.14.1P2P1",
        "9.10.1X9X3",
        "__9.14.1",
        "9__9.14.1",
        "9.14.1P2P3",
        "9.14.1RC1P1",
        "9.14.1 P2",
        " 9.14.1",
        "9.14.1\n",
        "9.14.1-rc1",
        "v9.14.1",
        "R9.14.1xN_240101_0000",
        "9.14.1.2.3",
        "९.१४.१",
        "9.99999.1",
        "latest",
    ],
)
def test_other_forms_have_no_order(text: str) -> None:
    assert parse_release(text) is None


NUMBERS = st.lists(st.integers(0, 99), min_size=2, max_size=3)


@given(NUMBERS, NUMBERS)
def test_numbers_compare_as_numbers(left: list[int], right: list[int]) -> None:
    ours, theirs = (parse_release(".".join(map(str, numbers))) for numbers in (left, right))
    assert ours is not None
    assert theirs is not None
    padded = [[*numbers, 0, 0][:4] for numbers in (left, right)]
    assert (ours < theirs) == (padded[0] < padded[1])


@given(NUMBERS, st.integers(1, 999), st.integers(1, 999))
def test_a_candidate_precedes_general_availability_and_patches_follow_it(
    numbers: list[int], first: int, second: int
) -> None:
    base = ".".join(map(str, numbers))
    order = [parse_release(base + suffix) for suffix in (f"X{first}", f"RC{second}", "", f"P{first}")]
    assert order == sorted(order)  # type: ignore[type-var]
    patches = [parse_release(f"{base}P{number}") for number in (first, second)]
    assert (patches[0] < patches[1]) == (first < second)  # type: ignore[operator]


RELEASES = st.builds(
    lambda numbers, suffix: parse_release(".".join(map(str, numbers)) + suffix),
    NUMBERS,
    st.sampled_from(["", "X3", "RC2", "P2", "P10", "P2D1", "P2D10", "D1", "P2X1", "P2X10", "RC2X1", "X3D1"]),
)


@given(RELEASES, RELEASES)
def test_sort_keys_sort_as_releases_do(ours: Release, theirs: Release) -> None:
    assert (ours < theirs) == (ours.sort_key < theirs.sort_key)
    assert (ours == theirs) == (ours.sort_key == theirs.sort_key)


@given(st.text())
def test_any_text_is_a_release_or_none(text: str) -> None:
    release = parse_release(text)
    assert release is None or release == parse_release(text)
