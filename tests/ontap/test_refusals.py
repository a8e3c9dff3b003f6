"""A cluster that refuses the credentials is left alone for longer and longer."""

from __future__ import annotations

from exporter.ontap.refusals import (
    REMEMBERED_SECONDS,
    SECRETS_TRIED_AT_ONCE,
    Refusals,
    pause_after_unauthorized,
)


def test_pauses_after_a_refusal_double_from_a_minute_to_an_hour() -> None:
    pauses = [pause_after_unauthorized(refusals) for refusals in (1, 2, 3, 4, 5, 6, 7, 8, 10_000)]
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


def test_refusals_in_a_row_stretch_the_pause_until_one_is_accepted() -> None:
    refusals = Refusals()
    refusals.add(1000)
    refusals.add(1060)
    assert (refusals.in_a_row, refusals.paused_until) == (2, 1180)
    refusals.accepted()
    refusals.add(2000)
    assert refusals.paused_until == 2060


def test_a_secret_that_was_refused_is_not_tried_at_once_within_the_hour() -> None:
    refusals = Refusals()
    refusals.add(1000, b"old")
    assert not refusals.may_try(b"old", 1010)
    assert refusals.may_try(b"new", 1010)
    refusals.add(1010, b"new")
    assert not refusals.may_try(b"old", 1020)
    assert refusals.may_try(b"old", 1000 + REMEMBERED_SECONDS)


def test_many_different_secrets_do_not_follow_each_other_at_once() -> None:
    refusals = Refusals()
    for number in range(SECRETS_TRIED_AT_ONCE):
        assert refusals.may_try(str(number).encode(), 1000)
        refusals.add(1000, str(number).encode())
    assert not refusals.may_try(b"yet another", 1001)


def test_an_acceptance_forgets_every_secret() -> None:
    refusals = Refusals()
    refusals.add(1000, b"wrong")
    refusals.accepted()
    assert refusals.may_try(b"wrong", 1001)
    assert not refusals.outlasts(1001)


def test_refusals_are_remembered_for_an_hour_after_the_pause() -> None:
    refusals = Refusals()
    refusals.add(1000, b"wrong")
    assert refusals.outlasts(refusals.paused_until + REMEMBERED_SECONDS - 1)
    assert not refusals.outlasts(refusals.paused_until + REMEMBERED_SECONDS)
