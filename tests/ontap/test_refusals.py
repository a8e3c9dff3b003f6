"""The pauses after refused credentials grow."""

from __future__ import annotations

from exporter.ontap.refusals import REMEMBERED_SECONDS, SECRETS_TRIED_AT_ONCE, Refusals


def test_pauses_after_a_refusal_double_from_a_minute_to_an_hour() -> None:
    refusals = Refusals()
    pauses = []
    for _ in range(10_000):
        refusals.add(1000)
        pauses.append(refusals.paused_until - 1000)
    assert pauses[:8] == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert pauses[-1] == 3600


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
    refusals.add(1000, "old")
    assert not refusals.allows("old", 1010)
    assert refusals.allows("new", 1010)
    refusals.add(1010, "new")
    assert not refusals.allows("old", 1020)
    refusals.add(990 + REMEMBERED_SECONDS, "newest")
    assert not refusals.allows("old", 999 + REMEMBERED_SECONDS)
    assert refusals.allows("old", 1000 + REMEMBERED_SECONDS)


def test_many_different_secrets_do_not_follow_each_other_at_once() -> None:
    refusals = Refusals()
    for number in range(SECRETS_TRIED_AT_ONCE):
        assert refusals.allows(number, 1000)
        refusals.add(1000, number)
    assert not refusals.allows("yet another", 1001)


def test_an_acceptance_forgets_every_secret() -> None:
    refusals = Refusals()
    refusals.add(1000, "wrong")
    refusals.accepted()
    assert not refusals.must_be_remembered(1001)
    refusals.add(1001, "also wrong")
    assert refusals.allows("wrong", 1002)


def test_refusals_are_remembered_for_an_hour_after_the_pause() -> None:
    refusals = Refusals()
    refusals.add(1000, "wrong")
    assert refusals.must_be_remembered(refusals.paused_until + REMEMBERED_SECONDS - 1)
    assert not refusals.must_be_remembered(refusals.paused_until + REMEMBERED_SECONDS)


def test_while_the_account_is_paused_only_others_than_the_refused_credentials_are_allowed() -> None:
    refusals = Refusals()
    assert refusals.allows(None, 1000)
    refusals.add(1000, "wrong")
    assert not refusals.allows("wrong", 1059)
    assert not refusals.allows(None, 1059)
    assert refusals.allows("right", 1059)
    assert refusals.allows("wrong", 1060)
